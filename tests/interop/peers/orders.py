# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How a peer takes orders: one JSON object a line from stdin, one answer a line on stdout.

Imports nothing but the standard library, so that it runs beside any version of anything.
"""

from __future__ import annotations

import json
import os
import sys
import traceback


def obey(target: object) -> None:
    """Calls the method that an order's ``do`` names, until there are no more orders."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever is printed shall not look like an answer.
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"answer": getattr(target, order.pop("do"))(**order)}
        except Exception:
            answer = {"failed": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
