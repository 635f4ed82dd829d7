# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The deadlines of a connection's calls.

Nearly every call would set a timer that never goes off; one for all is set when the
first of them may be due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..calls import Deadline


class Deadlines:
    """Calls back when a deadline passes."""

    def __init__(self) -> None:
        self._waiting: dict[Callable[[], None], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def add(self, deadline: Deadline, expire: Callable[[], None]) -> None:
        """Has ``expire`` called when the deadline passes, unless it is removed before."""
        self._waiting[expire] = deadline.at
        if deadline.at < self._timer_at:
            self._set_timer(deadline.at)

    def remove(self, expire: Callable[[], None]) -> None:
        """Forgets a deadline, if it is there."""
        self._waiting.pop(expire, None)

    def clear(self) -> None:
        """Forgets all deadlines, and leaves nothing behind in the loop."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, float("inf")

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_at = at
        self._timer = loop.call_later(max(0.0, at - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = time.monotonic()
        for expire in [expire for expire, at in self._waiting.items() if at <= now]:
            # One that expires may end another.
            if self._waiting.pop(expire, None) is not None:
                expire()
        if self._waiting and self._timer is None:
            self._set_timer(min(self._waiting.values()))
