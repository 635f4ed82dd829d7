# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from praxis_remote.loop import SharedEventLoop

WAIT = 30.0


class Driver:
    """A thread that drives a loop."""

    def __init__(self) -> None:
        self.loop = SharedEventLoop()
        self.loop.set_debug(False)
        self.errors: list[BaseException] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context["exception"]))
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self) -> None:
        self.thread.start()
        self.wait_asleep()

    def wait_asleep(self) -> None:
        """Returns when the loop has done what it had to do, and waits or is about to."""
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self.loop).result(WAIT)

    def stop(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(WAIT)
        self.loop.close()


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.stop()
    assert not driver.thread.is_alive()


def test_a_callback_runs_in_the_thread_that_calls_and_in_the_name_of_the_loop(
    driver: Driver,
) -> None:
    driver.start()
    seen: list[object] = []

    def callback(*args: object) -> None:
        seen.extend([*args, threading.get_ident(), asyncio.get_running_loop()])

    driver.loop.call_from_thread(callback, 1, "a")
    assert seen == [1, "a", threading.get_ident(), driver.loop]
    assert asyncio._get_running_loop() is None


def test_what_a_callback_has_to_do_later_is_done_by_the_loop_though_it_waits(
    driver: Driver,
) -> None:
    driver.start()
    loop = driver.loop

    async def work() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    ways: list[Callable[[Future[int]], object]] = [
        lambda end: loop.call_soon(lambda: end.set_result(threading.get_ident())),
        lambda end: loop.call_later(0.001, lambda: end.set_result(threading.get_ident())),
        lambda end: loop.create_task(work()).add_done_callback(
            lambda task: end.set_result(task.result())
        ),
    ]
    for way in ways:
        end: Future[int] = Future()
        driver.wait_asleep()
        loop.call_from_thread(way, end)
        assert end.result(WAIT) == driver.thread.ident


def test_a_future_that_a_callback_settles_wakes_the_task_that_waits_for_it(
    driver: Driver,
) -> None:
    driver.start()
    future = driver.loop.create_future()

    async def wait() -> object:
        return await future

    waiting = asyncio.run_coroutine_threadsafe(wait(), driver.loop)
    driver.wait_asleep()
    driver.loop.call_from_thread(future.set_result, 5)
    assert waiting.result(WAIT) == 5


def test_an_earlier_timer_than_the_one_that_the_loop_waits_for_goes_off_in_time(
    driver: Driver,
) -> None:
    driver.loop.call_later(1000, lambda: None)
    driver.start()
    rang = threading.Event()
    driver.loop.call_from_thread(driver.loop.call_later, 0.001, rang.set)
    assert rang.wait(WAIT)


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_a_socket_that_a_callback_watches_is_watched_by_the_loop_that_waits(
    driver: Driver, kind: str
) -> None:
    driver.start()
    one, other = socket.socketpair()
    with one, other:
        ready = threading.Event()

        def seen() -> None:
            driver.loop.remove_reader(one)
            driver.loop.remove_writer(one)
            ready.set()

        if kind == "reader":
            driver.loop.call_from_thread(driver.loop.add_reader, one, seen)
            other.send(b"x")
        else:
            driver.loop.call_from_thread(driver.loop.add_writer, one, seen)
        assert ready.wait(WAIT)
        driver.wait_asleep()


def test_callbacks_of_threads_and_of_the_loop_never_run_at_the_same_time(
    driver: Driver,
) -> None:
    driver.start()
    loop, inside, count = driver.loop, [0], [0]

    def callback() -> None:
        inside[0] += 1
        before = count[0]
        os.sched_yield() if hasattr(os, "sched_yield") else None
        assert inside == [1]
        count[0] = before + 1
        inside[0] -= 1

    def from_loop() -> None:
        for _ in range(100):
            loop.call_soon_threadsafe(callback)
            driver.wait_asleep()

    def from_thread() -> None:
        for _ in range(300):
            loop.call_from_thread(callback)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for work in (from_loop, from_thread) * 2]:
            done.result(WAIT)
    assert count == [2 * 100 + 2 * 300]
    assert driver.errors == []


def test_what_a_callback_raises_is_the_loops_affair_and_not_the_threads(driver: Driver) -> None:
    driver.start()
    error = KeyError("k")

    def fail() -> None:
        driver.loop.call_soon(woken.set)
        raise error

    woken = threading.Event()
    driver.loop.call_from_thread(fail)
    assert driver.errors == [error]
    assert woken.wait(WAIT)
    assert asyncio._get_running_loop() is None


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_shall_end_the_program_is_raised_where_it_is_called(
    driver: Driver, kind: type[BaseException]
) -> None:
    driver.start()

    def fail() -> None:
        raise kind

    with pytest.raises(kind):
        driver.loop.call_from_thread(fail)
    assert asyncio._get_running_loop() is None
    driver.wait_asleep()


def test_a_closed_loop_says_so_and_nothing_is_called(driver: Driver) -> None:
    driver.loop.close()
    called: list[int] = []
    with pytest.raises(RuntimeError, match="closed"):
        driver.loop.call_from_thread(called.append, 1)
    assert called == []


def test_a_loop_that_nobody_drives_does_later_what_a_callback_wants(driver: Driver) -> None:
    done = threading.Event()
    driver.loop.call_from_thread(driver.loop.call_soon, done.set)
    assert not done.is_set()
    driver.start()
    assert done.wait(WAIT)


def test_with_asyncios_checks_on_callbacks_run_all_the_same(driver: Driver) -> None:
    driver.loop.set_debug(True)
    driver.start()
    called: Future[str] = Future()

    def callback() -> None:
        driver.loop.call_soon(called.set_result, "called")

    driver.loop.call_from_thread(callback)
    assert called.result(WAIT) == "called"
    assert driver.errors == []


def test_threads_may_drive_by_turns_and_each_knows_when_it_does(driver: Driver) -> None:
    loop = driver.loop

    def drive() -> Any:
        seen = [loop.is_driven_here()]
        loop.call_soon(lambda: seen.append(loop.is_driven_here()))
        loop.call_soon(loop.stop)
        loop.run_forever()
        return [*seen, loop.is_driven_here()]

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        for _ in range(10):
            for thread in (one, two):
                assert thread.submit(drive).result(WAIT) == [False, True, False]
    driver.start()
    assert not loop.is_driven_here()
