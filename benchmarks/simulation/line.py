# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A server that takes what comes in turn: first come, first served."""

from __future__ import annotations


class Line:
    """One core, or anything else of which there is one.

    Attributes:
        busy: Seconds that it has worked, or will have when all that came is done.
    """

    __slots__ = ("_free", "busy")

    def __init__(self) -> None:
        self._free = 0.0
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Returns when work that comes now is done. Work must come in the order of time."""
        begin = self._free if self._free > now else now
        self.busy += seconds
        self._free = begin + seconds
        return self._free
