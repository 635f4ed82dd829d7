# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Hostile bytes for everything that reads bytes, made by chance and kept when they tell something.

Judges are Google's protobuf, numpy, and invariants: nothing but the errors that are
promised, nothing left behind, and a right answer for everybody else.
"""

import sys
from pathlib import Path

# The tests' own judge and makers of messages.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
