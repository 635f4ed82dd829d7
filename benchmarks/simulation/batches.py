# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy that works on one batch at a time, and which calls it joins.

The rule is that of `praxis_remote.scheduler`, and how long it waits for more is asked of the
same `Pause`: a full batch leaves at once, another one as soon as nobody is expected any more.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.simulation.events import Events
from benchmarks.simulation.scenario import Policy
from praxis_remote.batching import Pause


class Batches:
    """The policy of one replica, and the calls that wait for it.

    Args:
        policy: How long batches take, and how large they are.
        events: When it is, and what comes.
        draw: Returns the fixed part of a batch's time.
        done: Is told of each call when its batch is done.

    Attributes:
        busy: Seconds that it has worked, or will have when the running batch is done.
        started: Batches so far.
    """

    __slots__ = (
        "_began",
        "_done",
        "_draw",
        "_events",
        "_pause",
        "_policy",
        "_running",
        "_waiting",
        "busy",
        "started",
    )

    def __init__(
        self,
        policy: Policy,
        events: Events,
        draw: Callable[[], float],
        done: Callable[[int], None],
    ) -> None:
        self._policy = policy
        self._events = events
        self._draw = draw
        self._done = done
        self._pause = Pause(policy.max_batch_delay) if policy.max_batch_size > 1 else None
        self._waiting: list[int] = []
        self._running: list[int] = []
        self._began = 0.0
        self.busy = 0.0
        self.started = 0

    def join(self, call: int) -> None:
        """Takes a call. Nobody makes a second one before the first is done."""
        self._waiting.append(call)
        if not self._running:
            self._consider(call)

    def _consider(self, call: int) -> None:
        """Starts a batch, or comes back when nobody is expected any more."""
        if self._running or not self._waiting:
            return
        seconds = 0.0
        if self._pause is not None and len(self._waiting) < self._policy.max_batch_size:
            seconds = self._pause.remaining(self._waiting, self._events.now)
        if seconds > 0:
            self._events.plan(self._events.now + seconds, self._consider, call)
        else:
            self._start()

    def _start(self) -> None:
        size = self._policy.max_batch_size
        self._running, self._waiting = self._waiting[:size], self._waiting[size:]
        self._began = self._events.now
        seconds = self._draw() + len(self._running) * self._policy.item
        self.busy += seconds
        self.started += 1
        self._events.plan(self._began + seconds, self._end, self._running[0])

    def _end(self, call: int) -> None:
        calls, self._running = self._running, []
        if self._pause is not None:
            self._pause.ended(calls, self._began, self._events.now)
        for each in calls:
            self._done(each)
        self._consider(call)
