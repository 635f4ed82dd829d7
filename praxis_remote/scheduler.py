# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Runs the policy: one thread, one job at a time, first come first served.

The event loop hands jobs over and is told of their end; it never waits. GPU and
renderer contexts belong to a thread, so all jobs run on the same one. Knows nothing
of calls, messages or policies.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from .calls import Deadline
from .errors import DeadlineExceededError, ResourceExhaustedError
from .logs import event
from .stepper import Delivery

log = logging.getLogger("praxis_remote.scheduler")

T = TypeVar("T")


class _Job(Generic[T]):
    """A function to run once, unless it is dropped before."""

    def __init__(
        self,
        function: Callable[[], T],
        deadline: Deadline | None,
        done: Callable[[T | None, BaseException | None], None],
    ) -> None:
        self.function = function
        self.deadline = deadline
        self.done = done
        # Taken once and never given back: by the thread to run it, or to drop it.
        self._claim = threading.Lock()

    def claim(self) -> bool:
        """Returns True to the first who asks."""
        return self._claim.acquire(blocking=False)

    def drop(self) -> bool:
        """Returns True if the job will never run; what it held is free at once."""
        dropped = self.claim()
        if dropped:
            # The queue keeps the job itself until its turn comes.
            del self.function, self.done
        return dropped

    def work(self, clock: Callable[[], float]) -> None:
        """Runs the function and tells how it ended."""
        function = self.function
        # Let go of before anybody is told: what comes next shall find the memory free.
        del self.function
        if self.deadline is not None and self.deadline.remaining(clock) <= 0:
            del function
            self.done(None, DeadlineExceededError("the deadline passed in the queue"))
            return
        try:
            result = function()
        except BaseException as error:  # a policy may raise anything, SystemExit included
            del function
            self.done(None, error)
        else:
            del function
            self.done(result, None)


class BetweenJobs(Protocol):
    """What the thread does while it has no job."""

    def wait(self) -> bool:
        """Returns True when there may be a job, False when there is nothing to do."""

    def interrupt(self) -> None:
        """Has `wait` return. Called in any thread when a job has come."""

    def done(self, seconds: float) -> None:
        """Takes the news that a job is done, and how long it took."""


class Scheduler:
    """A thread that runs jobs in the order in which they came.

    Args:
        name: The thread's name.
        clock: Seconds, for deadlines.
        max_pending: Jobs that may wait; None for any number.

    Attributes:
        between_jobs: What the thread does while it has no job; None for nothing.
        max_pending: Jobs that may wait; None for any number.
    """

    def __init__(
        self,
        name: str = "praxis-remote-handler",
        clock: Callable[[], float] = time.monotonic,
        max_pending: int | None = None,
    ) -> None:
        self._clock = clock
        self.max_pending = max_pending
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._unfinished = 0
        self.between_jobs: BetweenJobs | None = None
        self._counter_lock = threading.Lock()
        # A daemon, so that a policy that hangs cannot keep the process alive.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._jobs.empty()

    @property
    def waiting(self) -> int:
        """How many jobs wait, while another one runs."""
        return max(0, self._unfinished - 1)

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return self._unfinished == 0

    def check_room(self) -> None:
        """Looks whether one more job may wait.

        Raises:
            ResourceExhaustedError: As many wait as may.
        """
        # One of those that are not finished runs.
        if self.max_pending is not None and self._unfinished > self.max_pending:
            raise ResourceExhaustedError(
                f"{self.max_pending} calls wait for the policy already (max_pending); "
                "try again later, or spread them over more servers",
                never_ran=True,
            )

    async def run(self, function: Callable[[], T], deadline: Deadline | None = None) -> T:
        """Runs a function on the thread when its turn comes, and returns its result.

        A job that is cancelled before it has begun never begins.

        Raises:
            ResourceExhaustedError: As many wait as may.
            DeadlineExceededError: The deadline passed before its turn came.
            BaseException: Whatever the function raises.
        """
        self.check_room()
        loop = asyncio.get_running_loop()
        back = getattr(loop, "call_from_thread", loop.call_soon_threadsafe)
        delivery: Delivery[T] = Delivery(loop)

        def done(result: Any, error: BaseException | None) -> None:
            self._forget()
            outcome = [result, error]
            # The error's traceback will lead to this frame, and to what it called.
            del result, error
            try:
                back(bring, outcome)
            except RuntimeError:
                text = "the event loop was closed before a job ended"
                log.debug(text, extra=event("policy_busy"))

        def bring(outcome: list[Any]) -> None:
            delivery.deliver(outcome.pop(0), outcome.pop())

        job = _Job(function, deadline, done)
        # What awaited is kept by what was cancelled, this frame as well.
        del function
        self._put(job)
        try:
            return await delivery
        finally:
            if job.drop():
                self._forget()

    def call(self, function: Callable[[], T]) -> T:
        """Runs a function on the thread and waits for it. Not for event loops.

        Raises:
            BaseException: Whatever the function raises.
        """
        ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
        self._put(_Job(function, None, lambda result, error: ended.put((result, error))))
        result, error = ended.get()
        self._forget()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # without an error it is the result

    def close(self) -> None:
        """Ends the thread after the jobs that it has."""
        self._jobs.put(None)

    def _put(self, job: _Job[Any]) -> None:
        with self._counter_lock:
            self._unfinished += 1
        self._jobs.put(job)
        if (between_jobs := self.between_jobs) is not None:
            between_jobs.interrupt()

    def _forget(self) -> None:
        with self._counter_lock:
            self._unfinished -= 1

    def _work(self) -> None:
        while (job := self._next()) is not None:
            if job.claim():
                begin = time.perf_counter()
                job.work(self._clock)
                if (between_jobs := self.between_jobs) is not None:
                    between_jobs.done(time.perf_counter() - begin)
            # Nothing of a job shall live on until the next one comes.
            del job

    def _next(self) -> _Job[Any] | None:
        # Another thread may take it away at any moment.
        while self._jobs.empty() and (between_jobs := self.between_jobs) is not None:
            if not between_jobs.wait():
                break
        return self._jobs.get()
