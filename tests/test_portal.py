# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from praxis_remote.errors import CallCancelledError
from praxis_remote.portal import Portal, _Call

WAIT = 30.0


async def nothing() -> None:
    """The last coroutine of a portal that has nothing to close."""


@contextmanager
def driven_by_another_thread(
    portal: Portal, first: Callable[[], Coroutine[Any, Any, None]] = nothing
) -> Iterator[None]:
    """Has another thread drive the loop, at first with something to do of its own."""
    driving, may_end = threading.Event(), threading.Event()

    async def drive() -> None:
        driving.set()
        await first()
        while not may_end.is_set():  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.001)

    with ThreadPoolExecutor(1) as pool:
        driver = pool.submit(portal.run, drive)
        assert driving.wait(WAIT)
        try:
            yield
        finally:
            may_end.set()
        driver.result(WAIT)


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close(nothing)


def test_a_coroutine_runs_in_the_thread_that_calls(portal: Portal) -> None:
    async def where() -> threading.Thread:
        return threading.current_thread()

    assert portal.run(where) is threading.current_thread()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(portal.run, where).result() is not threading.current_thread()


def test_what_a_coroutine_raises_is_raised_in_the_caller(portal: Portal) -> None:
    async def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError, match="k"):
        portal.run(fail)


def test_coroutines_of_several_threads_run_at_once_in_one_loop(portal: Portal) -> None:
    arrived = 0
    everybody = asyncio.Event()

    async def meet() -> int:
        nonlocal arrived
        arrived += 1
        if arrived == 8:
            everybody.set()
        await everybody.wait()
        return id(asyncio.get_running_loop())

    with ThreadPoolExecutor(8) as pool:
        loops = list(pool.map(lambda _: portal.run(meet), range(8)))
    assert len(set(loops)) == 1


def test_who_is_done_hands_the_loop_on_to_who_still_waits(portal: Portal) -> None:
    long_runs, short_is_done = threading.Event(), threading.Event()

    async def long() -> str:
        long_runs.set()
        while not short_is_done.is_set():  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0)
        return "long"

    async def short() -> str:
        while not long_runs.is_set():  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0)
        return "short"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(portal.run, short)  # drives, and carries the other along
        second = pool.submit(portal.run, long)
        assert first.result(WAIT) == "short"
        short_is_done.set()
        assert second.result(WAIT) == "long"


def test_many_threads_get_each_its_own_result(portal: Portal) -> None:
    async def echo(number: int, turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        if number % 7 == 0:
            raise ValueError(number)
        return number

    def call(number: int) -> int:
        turns = random.Random(number).randrange(4)
        try:
            return portal.run(lambda: echo(number, turns))
        except ValueError as error:
            return int(error.args[0])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(call, range(1000))) == list(range(1000))


def test_it_works_where_another_loop_runs_already(portal: Portal) -> None:
    async def inner() -> int:
        await asyncio.sleep(0)
        return 7

    async def fail() -> None:
        raise KeyError("k")

    async def cell() -> int:
        with pytest.raises(KeyError):
            portal.run(fail)
        return portal.run(inner)

    assert asyncio.run(cell()) == 7


def test_ctrl_c_as_another_thread_starts_to_call_in_ones_stead_ends_the_call() -> None:
    portal = Portal()
    begun_and_ended = []

    def interrupt(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "return" and code is threading.Thread.start.__code__:
            sys.setprofile(None)
            os.kill(os.getpid(), signal.SIGINT)

    async def wait() -> None:
        begun_and_ended.append("begun")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), WAIT)
        finally:
            begun_and_ended.append("ended")

    async def cell() -> None:
        sys.setprofile(interrupt)
        try:
            portal.run(wait)
        finally:
            sys.setprofile(None)

    loop = asyncio.new_event_loop()
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())
    loop.close()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(portal.close, nothing).result(WAIT / 2)
    assert begun_and_ended in ([], ["begun", "ended"])


def test_ctrl_c_cancels_the_coroutine_and_the_next_one_runs(portal: Portal) -> None:
    cancelled = []

    async def wait() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def work() -> int:
        return 7

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            portal.run(wait)
        assert portal.run(work) == 7
    assert cancelled == [True] * 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Payload:
    """Something large."""


def test_what_a_call_held_is_free_after_ctrl_c(portal: Portal) -> None:
    held: list[weakref.ref[Payload]] = []

    async def wait() -> None:
        payload = Payload()
        held.append(weakref.ref(payload))
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    gc.disable()
    try:
        with pytest.raises(KeyboardInterrupt):
            portal.run(wait)
        assert held[0]() is None
    finally:
        gc.enable()


def test_ctrl_c_reaches_a_caller_whose_coroutine_another_thread_carries(portal: Portal) -> None:
    cancelled = []

    async def wait() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with driven_by_another_thread(portal), pytest.raises(KeyboardInterrupt):
        portal.run(wait)
    assert cancelled == [True]


# A signal that comes just before a thread waits does not end the waiting, and Python runs
# its handler only afterwards. So it is with one that the system delivers to another thread.


class Wait:
    """A coroutine that waits, and says what ended it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.end = ""

    async def __call__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._loop.call_later(2, self._finish, "time")
        self.begun.set()
        try:
            self.end = await self._ended
        except asyncio.CancelledError:
            self.end = "cancelled"
            raise

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Ends it. A signal handler."""
        self._loop.call_soon_threadsafe(self._finish, "handler")

    def _finish(self, end: str) -> None:
        if not self._ended.done():
            self._ended.set_result(end)

    def interrupt(self) -> None:
        """Delivers SIGINT to the calling thread, which is not the main one."""
        assert self.begun.wait(WAIT)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def test_ctrl_c_just_before_the_loop_waits_is_noticed_at_once(portal: Portal) -> None:
    wait = Wait()
    with ThreadPoolExecutor(1) as pool:
        interrupting = pool.submit(wait.interrupt)
        with pytest.raises(KeyboardInterrupt):
            portal.run(wait)
        interrupting.result(WAIT)
    assert wait.end == "cancelled"


def test_ctrl_c_just_before_a_carried_caller_waits_is_noticed_at_once(portal: Portal) -> None:
    wait = Wait()

    async def interrupt() -> None:
        while not wait.begun.is_set():  # noqa: ASYNC110 - set by the other coroutine
            await asyncio.sleep(0.001)
        wait.interrupt()

    with driven_by_another_thread(portal, interrupt), pytest.raises(KeyboardInterrupt):
        portal.run(wait)
    assert wait.end == "cancelled"


def test_a_handler_of_the_programs_own_runs_at_once_and_stays(portal: Portal) -> None:
    wait = Wait()
    previous = signal.signal(signal.SIGINT, wait.handle)
    try:
        with ThreadPoolExecutor(1) as pool:
            interrupting = pool.submit(wait.interrupt)
            portal.run(wait)
            interrupting.result(WAIT)
    finally:
        assert signal.signal(signal.SIGINT, previous) == wait.handle
    assert wait.end == "handler"


def test_who_is_told_of_signals_is_told_during_a_call_and_after_it(portal: Portal) -> None:
    async def ring() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    ear, button = socket.socketpair()
    previous = signal.signal(signal.SIGUSR1, lambda *_: None)
    with ear, button:
        button.setblocking(False)
        signal.set_wakeup_fd(button.fileno())
        try:
            portal.run(ring)
        finally:
            told = signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGUSR1, previous)
        assert told == button.fileno()
        assert ear.recv(10) == bytes([signal.SIGUSR1])
    portal.run(nothing)
    assert signal.set_wakeup_fd(-1) == -1


def test_ctrl_c_while_the_loop_is_made_leaves_nothing_half_made() -> None:
    interrupted = []

    def interrupt(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_name == "__init__" and code.co_filename.endswith("base_events.py"):
            sys.setprofile(None)
            interrupted.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    async def work() -> int:
        return 7

    sys.setprofile(interrupt)
    try:
        portal = Portal()
        with pytest.raises(KeyboardInterrupt):
            portal.run(work)
    finally:
        sys.setprofile(None)
    assert interrupted
    assert portal.run(work) == 7
    portal.close(nothing)


def test_who_was_told_of_signals_and_left_is_no_obstacle(portal: Portal) -> None:
    portal.run(nothing)  # whose loop would get the number of the closed socket
    ear, button = socket.socketpair()
    with ear, button:
        button.setblocking(False)
        signal.set_wakeup_fd(button.fileno())
    portal.run(nothing)
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_a_thread_forks_amid_a_call_gets_its_signals_itself(portal: Portal) -> None:
    def fork() -> int:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                portal.leave_to_parent()
                told = signal.set_wakeup_fd(-1)
                handler = signal.getsignal(signal.SIGINT)
                code = 0 if told == -1 and handler is signal.default_int_handler else 2
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async def call() -> int:
        return await asyncio.get_running_loop().run_in_executor(pool, fork)

    with ThreadPoolExecutor(1) as pool:
        assert portal.run(call) == 0


def test_a_closed_portal_has_nothing_to_leave_to_a_parent() -> None:
    portal = Portal()
    portal.run(nothing)
    portal.close(nothing)
    portal.leave_to_parent()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system does not list them")
def test_a_closed_portal_keeps_no_files_open() -> None:
    def count() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    before = count()
    portal = Portal()
    portal.run(nothing)
    assert count() > before
    portal.close(nothing)
    assert count() == before


def test_a_call_that_is_given_up_before_another_thread_begins_it_ends(portal: Portal) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    with driven_by_another_thread(portal):
        call = _Call(never)
        portal._loop.call_soon_threadsafe(call.abandon)  # as Ctrl-C does, a moment too early
        with pytest.raises(CallCancelledError):
            portal._run(call)


def test_a_signal_handler_may_close_the_portal_that_its_thread_drives() -> None:
    portal = Portal()
    waiting: list[asyncio.Future[None]] = []

    async def wait() -> None:
        waiting.append(asyncio.get_running_loop().create_future())
        os.kill(os.getpid(), signal.SIGUSR1)
        await waiting[0]

    async def finish() -> None:
        waiting[0].cancel()

    previous = signal.signal(signal.SIGUSR1, lambda *_: portal.close(finish))
    try:
        with pytest.raises(CallCancelledError):
            portal.run(wait)
    finally:
        signal.signal(signal.SIGUSR1, previous)


class Alarm(KeyboardInterrupt):
    """What a program's own signal handler raises. asyncio swallows others."""


def test_a_signal_handler_that_raises_in_the_loop_breaks_the_portal_and_nobody_hangs() -> None:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise Alarm

    portal = Portal()
    waiting = threading.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    async def ringing() -> None:
        while not waiting.is_set():  # noqa: ASYNC110 - set by the other coroutine
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        await asyncio.Event().wait()

    previous = signal.signal(signal.SIGUSR1, ring)
    try:
        with ThreadPoolExecutor(1) as pool:
            others: list[object] = []

            async def both() -> None:
                others.append(pool.submit(portal.run, wait))
                await ringing()

            with pytest.raises(Alarm):
                portal.run(both)
            with pytest.raises(CallCancelledError):
                others[0].result(WAIT)  # type: ignore[attr-defined]
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert portal.broken
    with pytest.raises(CallCancelledError, match="make a new one"):
        portal.run(nothing)
    portal.close(nothing)


def test_a_broken_portal_tells_of_it_once_and_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ring() -> None:
        raise Alarm

    async def call() -> None:
        await asyncio.ensure_future(ring())  # in a task of its own, as a connection is made

    portal = Portal()
    portal.run(nothing)  # after which the loop has said what it logs at its start
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(Alarm):
            portal.run(call)
        del portal
        gc.collect()
    assert caplog.messages == []


def test_closing_runs_the_last_coroutine_and_waits_for_those_that_it_ends() -> None:
    portal = Portal()
    waiting = threading.Event()
    futures: list[asyncio.Future[None]] = []

    async def wait() -> None:
        futures.append(asyncio.get_running_loop().create_future())
        waiting.set()
        await futures[0]

    async def finish() -> None:
        futures[0].cancel()

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(portal.run, wait)
        assert waiting.wait(WAIT)
        portal.close(finish)
        with pytest.raises(CallCancelledError, match="closed"):
            call.result(WAIT)


def test_a_closed_portal_says_so_and_closing_twice_is_fine() -> None:
    portal = Portal()
    portal.close(nothing)
    portal.close(nothing)
    with pytest.raises(CallCancelledError, match="make a new one"):
        portal.run(nothing)


def test_a_failing_last_coroutine_closes_the_loop_all_the_same() -> None:
    portal = Portal()

    async def fail() -> None:
        raise RuntimeError("cannot close")

    with pytest.raises(RuntimeError, match="cannot close"):
        portal.close(fail)
    assert portal._loop.is_closed()
