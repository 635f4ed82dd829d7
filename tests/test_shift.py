# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from typing_extensions import override

from praxis_remote import PolicyClient, PolicyServer, shift
from praxis_remote.errors import RemoteError
from praxis_remote.loop import SharedEventLoop
from praxis_remote.scheduler import Scheduler
from praxis_remote.shift import Shift
from praxis_remote.testing import Prediction, RecordingHandler, connected

T = TypeVar("T")
WAIT = 30.0


def until(condition: Callable[[], bool]) -> None:
    """Waits for what nothing tells."""
    never = threading.Event()
    while not condition():
        never.wait(1e-4)


class Gate:
    """A job that says when it runs, and waits until it may end."""

    def __init__(self) -> None:
        self._running = threading.Event()
        self._may_end = threading.Event()

    def __call__(self) -> int:
        self._running.set()
        assert self._may_end.wait(WAIT)
        return threading.get_ident()

    def wait_running(self) -> None:
        assert self._running.wait(WAIT)

    def open(self) -> None:
        self._may_end.set()


class Works:
    """A loop, two threads that may drive it, and what a test wants of them."""

    def __init__(self, loop: SharedEventLoop | None = None) -> None:
        self.loop = loop or SharedEventLoop()
        self.scheduler = Scheduler()
        self.policy = self.scheduler.call(threading.current_thread)
        self.shift = Shift(self.loop, self.scheduler)
        self.end = asyncio.Event()
        self.ended: Future[None] = Future()
        self.server = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self.server.start()
        self.ask()

    def _run(self) -> None:
        try:
            self.shift.run(self._main())
            self.ended.set_result(None)
        except BaseException as error:
            self.ended.set_exception(error)
        finally:
            self.loop.close()

    async def _main(self) -> None:
        await self.end.wait()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.end.set)
        self.ended.result(WAIT)
        self.server.join(WAIT)

    def close(self) -> None:
        if not self.ended.done():
            self.stop()
        self.scheduler.close()
        self.policy.join(WAIT)
        assert not self.server.is_alive()
        assert not self.policy.is_alive()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def ask(self) -> threading.Thread:
        """Returns the thread in which the loop answers."""

        async def where() -> threading.Thread:
            return threading.current_thread()

        return self.submit(where()).result(WAIT)

    def work(self, job: Callable[[], T]) -> Future[T]:
        """Has the policy's thread run something, as a call does."""
        return self.submit(self.scheduler.run(job))

    def be_quick(self) -> None:
        """Runs quick jobs until the policy's thread drives the loop."""
        while self.ask() is not self.policy:
            self.work(threading.get_ident).result(WAIT)

    def be_idle(self) -> None:
        """Waits until the server's thread has gone to sleep."""
        self.be_quick()
        until(lambda: self.shift._asleep)


@pytest.fixture
def works() -> Iterator[Works]:
    works = Works()
    works.start()
    yield works
    works.close()


@pytest.fixture
def quick_to_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "_LOOKS_BEFORE_SLEEP", 2)


# ---------------------------------------------------------------- who drives


def test_at_first_the_servers_thread_drives(works: Works) -> None:
    assert works.ask() is works.server


def test_while_jobs_are_quick_the_thread_that_runs_them_drives(works: Works) -> None:
    works.be_quick()
    assert works.ask() is works.policy


def test_jobs_run_on_one_thread_whoever_drives(works: Works) -> None:
    threads = {works.work(threading.get_ident).result(WAIT)}
    works.be_quick()
    threads.add(works.work(threading.get_ident).result(WAIT))
    gate = Gate()
    slow = works.work(gate)
    gate.wait_running()
    works.ask()
    gate.open()
    threads |= {slow.result(WAIT), works.work(threading.get_ident).result(WAIT)}
    assert threads == {works.policy.ident}


@pytest.mark.usefixtures("quick_to_sleep")
@pytest.mark.parametrize("before", ["nothing", "quick jobs", "a long pause"])
def test_a_slow_job_keeps_nobody_waiting(works: Works, before: str) -> None:
    if before == "quick jobs":
        works.be_quick()
    elif before == "a long pause":
        works.be_idle()
    gate = Gate()
    slow = works.work(gate)
    gate.wait_running()
    for _ in range(3):
        assert works.ask() is works.server
    gate.open()
    assert slow.result(WAIT) == works.policy.ident


def test_after_a_slow_job_quick_ones_are_driven_as_before(works: Works) -> None:
    for _ in range(3):
        works.be_quick()
        gate = Gate()
        slow = works.work(gate)
        gate.wait_running()
        works.ask()
        gate.open()
        slow.result(WAIT)
    works.be_quick()


class Peek(SharedEventLoop):
    """Lets a job begin at the moment when the watch has looked whether the loop runs."""

    def __init__(self, look: int) -> None:
        self.job: Callable[[], None] | None = None
        self.watcher: threading.Thread | None = None
        self._looks_left = look
        super().__init__()

    def waits(self) -> bool:
        """Tells whether the moment is still to come."""
        return self.job is not None

    @override
    def is_running(self) -> bool:
        running = super().is_running()
        if self.job is not None and threading.current_thread() is self.watcher and running:
            self._looks_left -= 1
            if not self._looks_left:
                job, self.job = self.job, None
                job()
        return running


@pytest.mark.parametrize("look", [1, 2, 3])
def test_a_slow_job_that_comes_as_the_watch_goes_to_sleep_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    monkeypatch.setattr(shift, "_LOOKS_BEFORE_SLEEP", 0)
    loop = Peek(look)
    works = Works(loop)
    works.start()
    gate = Gate()

    def begin() -> None:
        works.work(gate)
        gate.wait_running()

    works.be_quick()
    loop.watcher, loop.job = works.server, begin
    while loop.waits():  # jobs wake the watch, which then looks
        quick = works.work(threading.get_ident)
        until(lambda: quick.done() or not loop.waits())  # noqa: B023 - called here
    gate.wait_running()
    assert works.ask() is works.server
    gate.open()
    works.close()


def test_two_who_hand_jobs_over_from_threads_of_their_own_lose_none(works: Works) -> None:
    """As the decoder's thread does, in the loop's stead."""
    count = 300

    def hand_over(number: int) -> list[Future[int]]:
        ends: list[Future[int]] = [Future() for _ in range(count)]

        async def run(index: int) -> None:
            ends[index].set_result(await works.scheduler.run(lambda: number * count + index))

        tasks = set[asyncio.Task[None]]()
        for index in range(count):
            works.loop.call_from_thread(
                lambda index=index: tasks.add(works.loop.create_task(run(index)))
            )
            if index % 7 == 0:
                ends[index].result(WAIT)
        for end in ends:
            end.result(WAIT)
        return ends

    with ThreadPoolExecutor(2) as pool:
        results = [end.result(WAIT) for ends in pool.map(hand_over, range(2)) for end in ends]
    assert results == list(range(2 * count))


# ---------------------------------------------------------------- the end


class Moment:
    """The moments at which a shift may be told to end."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self.gate = Gate()

    def at_first(self) -> None:
        """The server's thread drives."""

    def lent(self) -> None:
        self._works.be_quick()

    def being_lent(self) -> None:
        for _ in range(3):
            self._works.shift.done(0.0)
        self._works.work(threading.get_ident)

    def asleep(self) -> None:
        self._works.be_idle()

    def working(self) -> None:
        self._works.work(self.gate).add_done_callback(lambda end: end.cancelled())
        self.gate.wait_running()

    def working_after_quick_jobs(self) -> None:
        self.lent()
        self.working()

    def working_after_a_pause(self) -> None:
        self.asleep()
        self.working()


MOMENTS = [name for name in vars(Moment) if not name.startswith("_")]


@pytest.mark.usefixtures("quick_to_sleep")
@pytest.mark.parametrize("moment", MOMENTS)
def test_it_ends_at_any_moment_and_the_policys_thread_goes_on(works: Works, moment: str) -> None:
    moments = Moment(works)
    getattr(moments, moment)()
    works.stop()
    assert works.loop.is_closed()
    moments.gate.open()
    assert works.scheduler.call(threading.current_thread) is works.policy


@pytest.mark.usefixtures("quick_to_sleep")
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_policys_thread_may_be_closed_before_the_shift_ends(works: Works, moment: str) -> None:
    moments = Moment(works)
    getattr(moments, moment)()
    works.scheduler.close()
    moments.gate.open()
    works.stop()


def test_what_the_main_coroutine_raises_is_raised() -> None:
    works = Works()

    async def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        works.shift.run(fail())
    works.loop.close()
    works.scheduler.close()


def test_tasks_that_are_left_are_cancelled_at_the_end(works: Works) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    works.be_quick()
    left = works.submit(forever())
    works.ask()
    works.stop()
    assert left.cancelled()


def test_one_policy_thread_serves_one_loop_after_the_other() -> None:
    scheduler = Scheduler()
    for _ in range(30):
        works = Works()
        works.scheduler.close()
        works.scheduler = scheduler
        works.policy = scheduler.call(threading.current_thread)
        works.shift = Shift(works.loop, scheduler)
        works.start()
        for _ in range(5):
            works.work(threading.get_ident).result(WAIT)
        works.stop()
    scheduler.close()


# ---------------------------------------------------------------- in a server


class Mixed(RecordingHandler):
    """A policy that is quick, but for calls that ask it to wait."""

    def __init__(self) -> None:
        super().__init__(self._act)
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.threads: set[str] = set()

    def _act(self, prediction: Prediction) -> Any:
        self.threads.add(prediction.thread)
        if (prediction.policy_kwargs or {}).get("slow"):
            self.begun.release()
            assert self.may_end.acquire(timeout=WAIT)
        return np.array([prediction.observations[0]["number"]])


def test_a_server_answers_while_the_policy_works_however_quick_it_was_before() -> None:
    policy = Mixed()
    with connected(policy, timeout=WAIT) as (server, client), ThreadPoolExecutor(1) as pool:
        for number in range(50):
            assert client.predict_action([{"number": number}])[0] == number
        slow = pool.submit(client.predict_action, [{"number": -1}], policy_kwargs={"slow": True})
        assert policy.begun.acquire(timeout=WAIT)
        for _ in range(3):
            with PolicyClient(server.host, server.port, timeout=WAIT) as newcomer:
                assert newcomer.health_check()[0]
        policy.may_end.release()
        assert slow.result(WAIT)[0] == -1
    assert len(policy.threads) == 1


def test_of_many_calls_quick_and_slow_from_many_clients_none_is_lost_or_mixed_up() -> None:
    policy = Mixed()
    with PolicyServer(policy, port=0) as server, ThreadPoolExecutor(5) as pool:

        def call(seed: int) -> int:
            chance, right = random.Random(seed), 0
            with PolicyClient(server.host, server.port, timeout=WAIT) as client:
                for turn in range(60):
                    number = 1000 * seed + turn
                    kwargs = {"slow": chance.random() < 0.1}
                    action = client.predict_action([{"number": number}], policy_kwargs=kwargs)
                    right += int(action[0] == number)
            return right

        def let_go() -> None:
            # Each slow call waits until the server has answered somebody else.
            with PolicyClient(server.host, server.port, timeout=WAIT) as client:
                while not done.is_set():
                    if policy.begun.acquire(timeout=0.01):
                        assert client.health_check()[0]
                        policy.may_end.release()

        done = threading.Event()
        helper = pool.submit(let_go)
        right = list(pool.map(call, range(4)))
        done.set()
        helper.result(WAIT)
    assert right == [60] * 4
    assert len(policy.predictions) == 4 * 60
    assert len(policy.threads) == 1


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="nothing tells of open files")
def test_servers_that_have_stopped_leave_no_thread_and_no_file_behind() -> None:
    def serve(calls: int, *, stop_while_working: bool) -> None:
        policy = Mixed()
        with connected(policy, timeout=WAIT) as (server, client), ThreadPoolExecutor(1) as pool:
            for number in range(calls):
                client.predict_action([{"number": number}])
            if stop_while_working:
                end = pool.submit(
                    client.predict_action, [{"number": 0}], policy_kwargs={"slow": True}
                )
                assert policy.begun.acquire(timeout=WAIT)
                server.stop()
                with pytest.raises(RemoteError):
                    end.result(WAIT)
                policy.may_end.release()

    serve(10, stop_while_working=True)
    others, files = threads(), open_files()
    for calls in (0, 1, 3, 10, 30):
        serve(calls, stop_while_working=False)
        serve(calls, stop_while_working=True)
    until(lambda: threads() <= others)
    assert open_files() <= files


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())
