# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Runs the policy: one thread, one job at a time, first come first served.

The event loop hands jobs over and is told of their end; it never waits. GPU and
renderer contexts belong to a thread, so all jobs run on the same one. Those with like
tickets may be run as one. Knows nothing of calls, messages or policies.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from .batching import NOBODYS, Batching, Pause, Ticket, pick
from .calls import Deadline
from .errors import DeadlineExceededError, ResourceExhaustedError
from .logs import event
from .stepper import Delivery

log = logging.getLogger("praxis_remote.scheduler")

T = TypeVar("T")

# Of those that wait, looked at for a batch: to look at all, each time that one leaves, takes the
# square of their number, and the event loop's time.
_LOOK_AHEAD = 128


class _Job(Generic[T]):
    """A function to run once, unless it is dropped before."""

    def __init__(
        self,
        function: Callable[[], T],
        deadline: Deadline | None,
        done: Callable[[T | None, BaseException | None], None],
        ticket: Ticket = NOBODYS,
    ) -> None:
        self.function = function
        self.deadline = deadline
        self.done = done
        self.ticket = ticket
        # Nobody waits for it any more, though it may have begun.
        self.given_up = False
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
            self.let_go()
            del self.done
        return dropped

    @property
    def claimed(self) -> bool:
        """Whether it was run or dropped, or is about to be."""
        return self._claim.locked()

    def let_go(self) -> None:
        """Forgets what it holds. To be called before anybody is told of the end: what comes
        next shall find the memory free.
        """  # noqa: D205 - the first sentence is one thought
        del self.function
        self.ticket = NOBODYS

    def end_if_late(self, clock: Callable[[], float]) -> bool:
        """Returns True, and tells, if its deadline has passed."""
        late = self.deadline is not None and self.deadline.remaining(clock) <= 0
        if late:
            self.let_go()
            self.done(None, DeadlineExceededError("the deadline passed in the queue"))
        return late

    def work(self, clock: Callable[[], float]) -> None:
        """Runs the function and tells how it ended."""
        if self.end_if_late(clock):
            return
        function = self.function
        self.let_go()
        try:
            result = function()
        except BaseException as error:  # a policy may raise anything, SystemExit included
            del function
            self.done(None, error)
        else:
            del function
            self.done(result, None)


class BetweenJobs(Protocol):
    """What the thread does while it has no job.

    Attributes:
        needed: Whether jobs come only while the thread is in `wait`.
    """

    @property
    def needed(self) -> bool:
        """See above."""

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
        unfinished: How many jobs wait or run.
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
        # What the thread has taken from there, to look at all that wait.
        self._line: deque[_Job[Any] | None] = deque()
        self._max_batch_size = 1
        self._look_ahead = _LOOK_AHEAD
        self._pause: Pause | None = None
        self.unfinished = 0
        self._running = 0
        self.between_jobs: BetweenJobs | None = None
        self._counter_lock = threading.Lock()
        # A daemon, so that a policy that hangs cannot keep the process alive.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._line and self._jobs.empty()

    @property
    def waiting(self) -> int:
        """How many jobs wait, while others run."""
        # Where none runs yet, the first one will at once.
        return max(0, self.unfinished - (self._running or 1))

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return self.unfinished == 0

    def join(self, batching: Batching) -> None:
        """Has jobs joined. To be called before the first one comes."""
        if batching.joins:
            self._max_batch_size = batching.max_size
            self._look_ahead = max(_LOOK_AHEAD, 2 * batching.max_size)
            self._pause = Pause(batching.max_delay)

    def check_room(self) -> None:
        """Looks whether one more job may wait.

        Raises:
            ResourceExhaustedError: As many wait as may.
        """
        if self.max_pending is None:
            return
        if self.unfinished - (self._running or 1) >= self.max_pending:
            raise ResourceExhaustedError(
                f"{self.max_pending} calls wait for the policy already (max_pending); "
                "try again later, or spread them over more servers",
                never_ran=True,
            )

    async def run(
        self,
        function: Callable[[], T],
        deadline: Deadline | None = None,
        ticket: Ticket = NOBODYS,
    ) -> T:
        """Runs a function on the thread when its turn comes, and returns its result.

        A job that is cancelled before it has begun never begins.

        Args:
            function: What to run, where it is not run with others.
            deadline: After which it shall not begin.
            ticket: With whom it may be run, and who may not pass it.

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
            self._ended()
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

        job = _Job(function, deadline, done, ticket)
        # What awaited is kept by what was cancelled, this frame as well.
        del function, ticket
        self._put(job)
        try:
            return await delivery
        finally:
            job.given_up = True
            if job.drop():
                self._forget()

    def call(self, function: Callable[[], T]) -> T:
        """Runs a function on the thread and waits for it. Not for event loops.

        Raises:
            BaseException: Whatever the function raises.
        """
        ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def done(result: T | None, error: BaseException | None) -> None:
            self._ended()
            ended.put((result, error))

        self._put(_Job(function, None, done))
        result, error = ended.get()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # without an error it is the result

    def post(self, function: Callable[[], object]) -> None:
        """Runs a function on the thread when its turn comes; nobody is told of its end.

        It may wait in addition to those that may.
        """
        self._put(_Job(function, None, lambda _result, _error: self._ended()))

    def close(self) -> None:
        """Ends the thread after the jobs that it has."""
        self._jobs.put(None)

    def _put(self, job: _Job[Any]) -> None:
        with self._counter_lock:
            self.unfinished += 1
        self._jobs.put(job)
        if (between_jobs := self.between_jobs) is not None:
            between_jobs.interrupt()

    def _forget(self) -> None:
        with self._counter_lock:
            self.unfinished -= 1

    def _ended(self) -> None:
        with self._counter_lock:
            self.unfinished -= 1
            self._running -= 1

    def _work(self) -> None:
        while (jobs := self._next()) is not None:
            jobs = [job for job in jobs if job.claim()]
            if jobs:
                self._run(jobs)
            # Nothing of a job shall live on until the next one comes.
            del jobs

    def _run(self, jobs: list[_Job[Any]]) -> None:
        with self._counter_lock:
            self._running += len(jobs)
        callers = []
        if self._pause is not None:
            callers = [job.ticket.caller for job in jobs if job.ticket.kind is not None]
        began, begin = self._clock(), time.perf_counter()
        if len(jobs) == 1:
            jobs[0].work(self._clock)
        else:
            self._run_together(jobs)
        if callers and self._pause is not None:
            self._pause.ended(callers, began, self._clock())
        if (between_jobs := self.between_jobs) is not None:
            between_jobs.done(time.perf_counter() - begin)

    def _run_together(self, jobs: list[_Job[Any]]) -> None:
        jobs = [job for job in jobs if not job.end_if_late(self._clock)]
        results = _try_together(jobs) if len(jobs) > 1 else None
        if not results:
            self._run_each(jobs)
            return
        for job in jobs:
            job.let_go()
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, BaseException):
                job.done(None, result)
            else:
                job.done(result, None)

    def _run_each(self, jobs: list[_Job[Any]]) -> None:
        while jobs:
            job = jobs.pop(0)
            if job.given_up:
                job.let_go()
                job.done(None, asyncio.CancelledError())
            else:
                job.work(self._clock)

    def _next(self) -> list[_Job[Any]] | None:
        """Returns what is to be run together; None when there is no more."""
        job = self._line.popleft() if self._line else self._wait()
        if job is None:
            return None
        if self._pause is None or job.ticket.kind is None:
            return [job]
        self._line.appendleft(job)
        del job
        self._hold(self._pause)
        return self._leave()

    def _wait(self) -> _Job[Any] | None:
        # Another thread may take it away at any moment.
        while self._jobs.empty() and (between_jobs := self.between_jobs) is not None:
            if not between_jobs.wait():
                break
        return self._jobs.get()

    def _hold(self, pause: Pause) -> None:
        """Takes those that wait into the line, and gives others a little time to come."""
        self._gather()
        while None not in self._line and not self._is_needed():
            tickets = _tickets(self._live())
            if not 0 < len(tickets) < self._look_ahead:
                return
            # Nothing comes past one that keeps its place in all lanes.
            if any(ticket.lanes is None for ticket in tickets):
                return
            if self._fill(tickets) >= self._max_batch_size:
                return
            seconds = pause.remaining([ticket.caller for ticket in tickets], self._clock())
            # What is given up meanwhile shall be gone at once.
            del tickets
            if seconds <= 0:
                return
            with suppress(queue.Empty):
                self._line.append(self._jobs.get(timeout=seconds))
            self._gather()

    def _leave(self) -> list[_Job[Any]]:
        """Takes out of the line what is to be run together."""
        live = self._live()
        if not live:
            self._line = deque(job for job in self._line if job is None)
            return []
        leaving = {live[place] for place in pick(_tickets(live), self._max_batch_size)}
        staying: list[_Job[Any] | None] = []
        job = None
        while job is not live[-1]:
            job = self._line.popleft()
            if job is None or not (job.claimed or job in leaving):
                staying.append(job)
        self._line.extendleft(reversed(staying))
        return [job for job in live if job in leaving]

    def _fill(self, tickets: list[Ticket]) -> int:
        return sum(tickets[place].size for place in pick(tickets, self._max_batch_size))

    def _gather(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._line.append(self._jobs.get_nowait())

    def _live(self) -> list[_Job[Any]]:
        """Returns the first of those that wait."""
        live = (job for job in self._line if job is not None and not job.claimed)
        return list(islice(live, self._look_ahead))

    def _is_needed(self) -> bool:
        """Whether this thread has to do other things for more jobs to come."""
        return self.between_jobs is not None and self.between_jobs.needed


def _try_together(jobs: list[_Job[Any]]) -> Sequence[Any] | None:
    """Returns what came of joined jobs; None if each has to be run alone."""
    together = jobs[0].ticket.together
    try:
        return together and together([job.ticket.payload for job in jobs])
    except BaseException:  # the thread must go on
        text = "%d joined jobs could not be run as one; each is run alone"
        log.exception(text, len(jobs), extra=event("unforeseen"))
        return None


def _tickets(jobs: list[_Job[Any]]) -> list[Ticket]:
    return [job.ticket for job in jobs]
