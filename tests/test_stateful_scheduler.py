# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The policy's thread does what a list and a clock say, whoever drives the loop.

Hypothesis draws programs of jobs that come, end, expire and are given up; after each
step the thread has come to rest, and must have begun exactly what the model has.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from profiles import examples

from praxis_remote import shift
from praxis_remote.calls import Deadline
from praxis_remote.errors import DeadlineExceededError
from praxis_remote.loop import SharedEventLoop
from praxis_remote.scheduler import Scheduler
from praxis_remote.shift import Shift
from praxis_remote.stepper import Stepper

T = TypeVar("T")
WAIT = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Payload:
    """What a request holds, and what shall not live longer than it must."""


class Job:
    """A job of a program: what it shall do, and what became of it."""

    def __init__(self, number: int, deadline: Deadline | None, *, gated: bool, fails: bool) -> None:
        self.number = number
        self.deadline = deadline
        self.fails = fails
        self.gated = gated
        self.given_up = False
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.outcome: Future[str] = Future()
        self.held: weakref.ref[Payload] | None = None
        self.held_at_end = False
        # None for one whose owner is a thread, which waits and keeps what it gave.
        self.cancel: Callable[[], object] | None = None
        if not gated:
            self.may_end.set()

    def function(self, begin: Callable[[Job], None]) -> Callable[[], int]:
        payload = Payload()
        self.held = weakref.ref(payload)

        def work() -> int:
            assert isinstance(payload, Payload)
            begin(self)
            self.begun.set()
            assert self.may_end.wait(WAIT)
            if self.fails:
                raise ValueError(self.number)
            return self.number

        return work

    async def own(self, scheduler: Scheduler, begin: Callable[[Job], None]) -> None:
        """Does as a call does that has a policy's method run."""
        try:
            outcome = f"returned {await scheduler.run(self.function(begin), self.deadline)}"
        except asyncio.CancelledError:
            outcome = "cancelled"
        except DeadlineExceededError:
            outcome = "expired"
        except ValueError as error:
            outcome = f"raised {error}"
        assert self.held is not None
        self.held_at_end = self.held() is not None
        self.outcome.set_result(outcome)

    def kept(self) -> bool:
        """Tells whether what it held is still there, though nobody should keep it."""
        return self.cancel is not None and self.held is not None and self.held() is not None

    def expected(self) -> str:
        return f"raised {self.number}" if self.fails else f"returned {self.number}"

    def expired(self, now: float) -> bool:
        return self.deadline is not None and self.deadline.at <= now


class Driver:
    """A thread that drives a loop, as a program or a server does."""

    def __init__(self, scheduler: Scheduler, kind: str) -> None:
        self.kind = kind
        self.loop = asyncio.new_event_loop() if kind == "plain" else SharedEventLoop()
        self.loop.set_debug(False)
        self.shift = Shift(self.loop, scheduler) if isinstance(self.loop, SharedEventLoop) else None
        self._end = asyncio.Event()
        self.ended: Future[None] = Future()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            if self.kind == "shift" and self.shift is not None:
                self.shift.run(self._main())
            else:
                self.loop.run_until_complete(self._main())
                self.loop.run_until_complete(_end_all())
            self.ended.set_result(None)
        except BaseException as error:
            self.ended.set_exception(error)
        finally:
            self.loop.close()

    async def _main(self) -> None:
        await self._end.wait()

    def call(self, function: Callable[[], object], *, in_its_stead: bool = False) -> None:
        """Has the loop call something, or calls it in the loop's stead."""
        if in_its_stead and isinstance(self.loop, SharedEventLoop):
            self.loop.call_from_thread(function)
        else:
            self.loop.call_soon_threadsafe(function)
        self.settle()

    def settle(self) -> threading.Thread:
        """Lets tasks that were just made or cancelled go as far as they can."""
        return self.submit(_turns()).result(WAIT)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self.ended.result(WAIT)
        self.thread.join(WAIT)
        assert not self.thread.is_alive()


async def _turns() -> threading.Thread:
    for _ in range(4):
        await asyncio.sleep(0)
    return threading.current_thread()


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


timeouts = st.sampled_from([None, None, 0.0, 1.0, 2.0, 5.0])
runners = st.sampled_from(["task", "stepper"])


class Machine(RuleBasedStateMachine):
    """A scheduler, and what it must do in plain Python."""

    def __init__(self) -> None:
        super().__init__()
        gc.disable()  # what is freed shall be freed without it
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(shift, "_LOOKS_BEFORE_SLEEP", 2)
        self.clock = Clock()
        self.scheduler = Scheduler(clock=self.clock)
        self.policy = self.scheduler.call(threading.current_thread)
        # What has happened.
        self.began: list[int] = []
        self.faults: list[str] = []
        self.at_work = threading.Lock()
        # What the model says.
        self.jobs: list[Job] = []
        self.waiting: list[Job] = []
        self.running: Job | None = None
        self.order: list[int] = []
        self.closed = False

    @initialize(kind=st.sampled_from(["plain", "shared", "shift", "shift"]))
    def start(self, kind: str) -> None:
        self.driver = Driver(self.scheduler, kind)
        self.driver.settle()

    # ------------------------------------------------------------ in the policy's thread

    def begin(self, job: Job) -> None:
        if threading.current_thread() is not self.policy:
            self.faults.append(f"{job.number} runs on another thread")
        if job.begun.is_set():
            self.faults.append(f"{job.number} runs twice")
        if job.expired(self.clock.now):
            self.faults.append(f"{job.number} runs late")
        for other in self.jobs:
            # An error's traceback leads to what failed until its owner has dealt with it.
            if other is not job and other.begun.is_set() and not other.fails and other.kept():
                self.faults.append(f"what {other.number} held is there as {job.number} begins")
        self.began.append(job.number)

    # ------------------------------------------------------------ what comes and goes

    def put(
        self, timeout: float | None, *, gated: bool, fails: bool, runner: str, in_its_stead: bool
    ) -> Job:
        deadline = None if timeout is None else Deadline(self.clock.now + timeout)
        job = Job(len(self.jobs), deadline, gated=gated, fails=fails)
        self.jobs.append(job)
        self.waiting.append(job)

        def start() -> None:
            coroutine = job.own(self.scheduler, self.begin)
            if runner == "task":
                job.cancel = self.driver.loop.create_task(coroutine).cancel
            else:
                stepper: Stepper[None] = Stepper(coroutine, lambda: stepper.step())
                job.cancel = stepper.cancel
                stepper.step()

        self.driver.call(start, in_its_stead=in_its_stead)
        return job

    @precondition(lambda self: not self.closed)
    @rule(timeout=timeouts, fails=st.booleans(), runner=runners, in_its_stead=st.booleans())
    def come(self, timeout: float | None, fails: bool, runner: str, in_its_stead: bool) -> None:
        self.put(timeout, gated=True, fails=fails, runner=runner, in_its_stead=in_its_stead)
        self.rest()

    @precondition(lambda self: not self.closed)
    @rule(count=st.integers(1, 5), timeout=timeouts, runner=runners, in_its_stead=st.booleans())
    def come_quick(
        self, count: int, timeout: float | None, runner: str, in_its_stead: bool
    ) -> None:
        for _ in range(count):
            self.put(timeout, gated=False, fails=False, runner=runner, in_its_stead=in_its_stead)
        self.rest()

    @precondition(lambda self: not self.closed)
    @rule(fails=st.booleans())
    def come_from_a_thread_that_waits(self, fails: bool) -> None:
        job = Job(len(self.jobs), None, gated=True, fails=fails)
        self.jobs.append(job)
        self.waiting.append(job)
        handed_over = threading.Event()

        def wait() -> None:
            function = job.function(self.begin)
            try:
                outcome = f"returned {self.scheduler.call(function)}"
            except ValueError as error:
                outcome = f"raised {error}"
            job.outcome.set_result(outcome)

        put = self.scheduler._put

        def told(job: Any) -> None:
            put(job)
            handed_over.set()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.scheduler, "_put", told)
            threading.Thread(target=wait, daemon=True).start()
            assert handed_over.wait(WAIT)
        self.rest()

    @precondition(lambda self: self.running is not None)
    @rule()
    def end(self) -> None:
        assert self.running is not None
        self.running.may_end.set()
        self.rest()

    @precondition(lambda self: self.cancellable())
    @rule(which=st.integers(0, 9), in_its_stead=st.booleans())
    def give_up(self, which: int, in_its_stead: bool) -> None:
        candidates = self.cancellable()
        job = candidates[which % len(candidates)]
        self.cancel(job, in_its_stead=in_its_stead)
        assert job.outcome.result(WAIT) == "cancelled"
        if job in self.waiting:
            assert not job.held_at_end
        self.rest()

    @precondition(lambda self: self.running is not None and len(self.unwanted()) == 1)
    @rule()
    def give_up_at_the_moment_of_its_turn(self) -> None:
        assert self.running is not None
        (job,) = self.unwanted()
        self.waiting.clear()
        running, self.running = self.running, None
        job.may_end.set()
        assert job.cancel is not None
        self.driver.loop.call_soon_threadsafe(job.cancel)
        running.may_end.set()
        outcome = job.outcome.result(WAIT)
        # Nobody tells who was first; but then it is so for good.
        self.pass_the_thread()
        if job.begun.is_set():
            self.order.append(job.number)
            assert outcome in ("cancelled", job.expected())
        else:
            assert outcome == "cancelled" or (outcome, job.expired(self.clock.now)) == (
                "expired",
                True,
            )
        job.given_up = True
        self.check_end(running)
        self.rest()

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    # ------------------------------------------------------------ who drives

    @rule(kind=st.sampled_from(["plain", "shared", "shift", "shift"]))
    def drive_otherwise(self, kind: str) -> None:
        """One loop ends, with all that it has, and another begins."""
        ended = self.cancellable()
        for job in ended:
            self.cancel(job)
        self.driver.stop()
        for job in ended:
            assert job.outcome.result(WAIT) == "cancelled"
        self.driver = Driver(self.scheduler, kind)
        self.driver.settle()
        self.rest()

    @precondition(lambda self: self.driver.kind == "shift" and not self.closed)
    @precondition(lambda self: self.running is None)
    @rule(doze=st.booleans())
    def be_quick(self, doze: bool) -> None:
        """Until the policy's thread drives, and maybe until the server's is asleep."""
        never = threading.Event()
        while self.driver.settle() is not self.policy:
            self.come_quick(1, None, "stepper", False)
        assert self.driver.shift is not None
        while doze and not self.driver.shift._asleep:
            never.wait(1e-4)

    @precondition(lambda self: not self.closed)
    @rule()
    def close(self) -> None:
        """What has come is still run."""
        self.scheduler.close()
        self.closed = True

    def cancel(self, job: Job, *, in_its_stead: bool = False) -> None:
        assert job.cancel is not None
        job.given_up = True
        self.driver.call(job.cancel, in_its_stead=in_its_stead)

    # ------------------------------------------------------------ what must hold

    def cancellable(self) -> list[Job]:
        running = [] if self.running is None else [self.running]
        return [job for job in running + self.waiting if job.cancel and not job.given_up]

    def unwanted(self) -> list[Job]:
        """Returns what waits, if all of it can be given up."""
        cancellable = self.cancellable()
        if self.closed or any(job not in cancellable for job in self.waiting):
            return []
        return list(self.waiting)

    def rest(self) -> None:
        """Lets the thread do all that it can by itself, as the model does."""
        while True:
            if self.running is not None:
                if not self.running.may_end.is_set():
                    return
                self.check_end(self.running)
                self.running = None
            if not self.waiting:
                return
            job = self.waiting.pop(0)
            if job.given_up:
                continue
            if job.expired(self.clock.now):
                assert job.outcome.result(WAIT) == "expired"
                assert not job.held_at_end
                continue
            assert job.begun.wait(WAIT), f"{job.number} does not begin"
            self.order.append(job.number)
            self.running = job

    def pass_the_thread(self) -> None:
        """Waits until all that has come has ended."""
        passed = threading.Event()

        def wait() -> None:
            self.scheduler.call(lambda: None)
            passed.set()

        threading.Thread(target=wait, daemon=True).start()
        assert passed.wait(WAIT), "the thread sleeps, though there is a job"

    def check_end(self, job: Job) -> None:
        if not job.given_up:
            assert job.outcome.result(WAIT) == job.expected()
            if not job.fails and job.cancel is not None:
                assert not job.held_at_end

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert not self.faults, self.faults
        assert self.began == self.order
        if not self.closed:
            live = [job for job in self.waiting if not job.given_up]
            if self.running is None and not live:
                self.pass_the_thread()  # what nobody waited for has ended then
                assert self.scheduler.idle
                assert self.scheduler.empty
            else:
                assert not self.scheduler.idle
                assert self.scheduler.empty == (not self.waiting)

    def teardown(self) -> None:
        try:
            while self.running is not None:
                self.end()
            self.driver.stop()
            if not self.closed:
                self.close()
            self.policy.join(WAIT)
            assert not self.policy.is_alive()
            self.closed = True
            self.nothing_is_wrong()
            assert [job.number for job in self.jobs if job.kept()] == []
        finally:
            for job in self.jobs:
                job.may_end.set()
            self.scheduler.close()
            self.patch.undo()
            gc.enable()


TestScheduler = Machine.TestCase
# Not shrunk: each try at a program that hangs takes a minute.
TestScheduler.settings = settings(
    max_examples=examples(100),
    stateful_step_count=30,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
