# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Calls of several callers as one call of the policy.

What may be joined (`likeness`), which of those that wait leave together (`line`), how long
the policy waits for more (`pause`), what it is handed (`stacking`), and whose part of the
action is whose (`splitting`). Nothing here waits, and nothing knows of calls or sockets.
"""

from .likeness import likeness
from .line import NOBODYS, Ticket, pick
from .pause import Pause
from .settings import DEFAULT_MAX_BATCH_DELAY, Batching
from .splitting import NotABatchError, check_rows, split
from .stacking import StackedObservations, Stacker

__all__ = [
    "DEFAULT_MAX_BATCH_DELAY",
    "NOBODYS",
    "Batching",
    "NotABatchError",
    "Pause",
    "StackedObservations",
    "Stacker",
    "Ticket",
    "check_rows",
    "likeness",
    "pick",
    "split",
]
