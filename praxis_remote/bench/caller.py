# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One client that calls when its calls are due, and notes what became of each."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from ..errors import RemoteError
from ..timing import CallTiming
from ..types import Array
from .pace import Pace
from .samples import Row, as_row

__all__ = ["Caller", "Clock", "Failure", "Stoppable"]


@dataclass(frozen=True)
class Failure:
    """A call that went wrong.

    Attributes:
        status: The name of its gRPC status.
        text: What the error says.
    """

    status: str
    text: str


class Clock(Protocol):
    """Time, and the end of it."""

    @property
    def stopped(self) -> bool:
        """Whether no more calls are to begin."""
        ...

    def now(self) -> float:
        """Returns seconds on a clock that all processes of the machine share."""
        ...

    def wait_until(self, instant: float) -> bool:
        """Waits, and returns whether calls are still to begin."""
        ...


class Stoppable:
    """The real clock, and an event that ends every wait for it."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ends all waits, for good."""
        self._stop.set()

    def now(self) -> float:
        """Returns the time."""
        return time.monotonic()

    def wait_until(self, instant: float) -> bool:
        """Waits, and returns False once it was stopped."""
        pause = instant - time.monotonic()
        return not (self._stop.wait(pause) if pause > 0 else self._stop.is_set())


class Caller:
    """Calls, and keeps what is to be told until somebody takes it.

    Args:
        predict: Calls the policy once.
        timing: Returns where the time of the last call went, if that is known.
        pace: When calls are due.
        clock: Has the time, and says when to stop.

    Attributes:
        rows: Of calls that went well.
        failures: The others, but for those that were cut off by the stop.
        cut_off: How many these were.
        ended: When the last call did, in seconds from the beginning.
        called: For how many seconds it called, all calls together.
        not_begun: How many calls were due and found no time.
    """

    def __init__(
        self,
        predict: Callable[[], Array],
        timing: Callable[[], CallTiming | None],
        pace: Pace,
        clock: Clock,
    ) -> None:
        self._predict = predict
        self._timing = timing
        self._pace = pace
        self._clock = clock
        # Appended to and popped from by two threads.
        self.rows: deque[Row] = deque()
        self.failures: deque[Failure] = deque()
        self.cut_off = 0
        self.ended = 0.0
        self.called = 0.0
        self.not_begun = 0

    def warm_up(self, seconds: float) -> None:
        """Calls for a while and notes nothing; what fails here will fail again."""
        end = self._clock.now() + seconds
        while self._clock.now() < end and not self._clock.stopped:
            try:
                self._predict()
            except RemoteError:
                continue

    def run(self, begin: float) -> None:
        """Makes all calls that are due from an instant on."""
        if not self._clock.wait_until(begin):
            return
        for number in count():
            due = self._pace.due(number, self._clock.now() - begin)
            if due is None:
                self.not_begun = self._pace.left(number)
                return
            if not self._clock.wait_until(begin + due):
                return
            self._call(begin, due)

    def _call(self, begin: float, due: float) -> None:
        begun = self._clock.now() - begin
        try:
            action = self._predict()
        except RemoteError as error:
            self._end(begin, begun)
            self._fail(error)
            return
        ended = self._end(begin, begun)
        self.rows.append(as_row(due, ended - due, begun - due, action.nbytes, self._timing()))

    def _end(self, begin: float, begun: float) -> float:
        self.ended = self._clock.now() - begin
        self.called += self.ended - begun
        return self.ended

    def _fail(self, error: RemoteError) -> None:
        if self._clock.stopped:
            self.cut_off += 1
        else:
            self.failures.append(Failure(error.code().name, str(error)))
