# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Load on a served policy, and figures of how it bears it.

`load` calls from processes of its own, `summary` makes figures of what they recorded,
and `plot` a picture. Nothing here knows of terminals or of command lines.
"""

from .errors import BenchError, WorkerLostError
from .load import Progress, Recording, generate
from .payloads import PRESETS, Payload
from .plan import Plan
from .summary import Summary, summarize

__all__ = [
    "PRESETS",
    "BenchError",
    "Payload",
    "Plan",
    "Progress",
    "Recording",
    "Summary",
    "WorkerLostError",
    "generate",
    "summarize",
]
