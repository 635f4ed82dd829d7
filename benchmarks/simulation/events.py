# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Simulated time, and what is to happen in it."""

from __future__ import annotations

import gc
import heapq
from collections.abc import Callable

Event = Callable[[int], None]


class Events:
    """What is to happen, in the order of time; at the same instant, in that of planning.

    Attributes:
        now: The instant, in seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Event, int]] = []
        self._planned = 0
        self._stopped = False

    def plan(self, instant: float, event: Event, subject: int) -> None:
        """Has an event happen to a subject at an instant."""
        self._planned += 1
        heapq.heappush(self._heap, (instant, self._planned, event, subject))

    def run(self) -> None:
        """Has everything happen in turn, until somebody stops it or nothing is to come."""
        heap, pop = self._heap, heapq.heappop
        self._stopped = False
        # Events make no cycles, and the collector would look through all that are planned.
        collecting = gc.isenabled()
        gc.disable()
        try:
            while heap and not self._stopped:
                self.now, _, event, subject = pop(heap)
                event(subject)
        finally:
            if collecting:
                gc.enable()

    def stop(self) -> None:
        """Has `run` return after the event that runs."""
        self._stopped = True
