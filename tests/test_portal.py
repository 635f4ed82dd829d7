# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from praxis_remote.errors import CallCancelledError
from praxis_remote.portal import Portal

WAIT = 30.0


async def nothing() -> None:
    """The last coroutine of a portal that has nothing to close."""


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close(nothing)


def test_a_coroutine_runs_on_a_thread_of_the_portals_own(portal: Portal) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert portal.run(where) == "praxis-remote-client"


def test_what_a_coroutine_raises_is_raised_in_the_caller(portal: Portal) -> None:
    async def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError, match="k"):
        portal.run(fail)


def test_coroutines_of_several_threads_run_at_once(portal: Portal) -> None:
    meeting = threading.Barrier(4)

    async def meet() -> int:
        return await asyncio.to_thread(meeting.wait, WAIT)

    with ThreadPoolExecutor(4) as pool:
        arrivals = list(pool.map(lambda _: portal.run(meet), range(4)))
    assert sorted(arrivals) == [0, 1, 2, 3]


def test_ctrl_c_cancels_the_coroutine(portal: Portal) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        portal.run(wait)
    assert cancelled.wait(WAIT)


def test_closing_runs_the_last_coroutine_cancels_the_others_and_ends_the_thread() -> None:
    portal = Portal()
    waiting, last = threading.Event(), threading.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    async def finish() -> None:
        last.set()

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(portal.run, wait)
        assert waiting.wait(WAIT)
        portal.close(finish)
        with pytest.raises(CallCancelledError, match="closed"):
            call.result(WAIT)
    assert last.is_set()
    assert not any(t is portal._thread for t in threading.enumerate())


def test_a_closed_portal_says_so_and_closing_twice_is_fine() -> None:
    portal = Portal()
    portal.close(nothing)
    portal.close(nothing)
    with pytest.raises(CallCancelledError, match="make a new one"):
        portal.run(nothing)


def test_a_failing_last_coroutine_ends_the_thread_all_the_same() -> None:
    portal = Portal()

    async def fail() -> None:
        raise RuntimeError("cannot close")

    with pytest.raises(RuntimeError, match="cannot close"):
        portal.close(fail)
    assert not portal._thread.is_alive()
