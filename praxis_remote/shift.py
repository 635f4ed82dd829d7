# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Who drives the server's event loop: its own thread, or the policy's.

To hand a request from one thread to another costs as much as a fourth of a small
call. While the policy is quick, its thread drives the loop and leaves it to work; the
server's own thread keeps watch, and takes the loop when the policy takes longer, so
that the server answers whatever the policy does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from .logs import event
from .loop import SharedEventLoop
from .scheduler import Scheduler

log = logging.getLogger("praxis_remote.server")

# A policy that is quicker than this, so many times in a row, is a quick one.
_QUICK_SECONDS = 0.5e-3
_QUICK_STREAK = 3

# The watch takes a loop that has stood still from one look to the next.
_LOOK_SECONDS = 2e-3
# After so many looks at a loop that only waits, the watch sleeps until it is woken.
_LOOKS_BEFORE_SLEEP = 100


class Shift:
    """Drives a loop, by turns, in the thread that calls `run` and in a scheduler's.

    Args:
        loop: The loop.
        scheduler: The thread of the policy.
    """

    def __init__(self, loop: SharedEventLoop, scheduler: Scheduler) -> None:
        self._loop = loop
        self._scheduler = scheduler
        # Held by the thread that drives.
        self._driving = threading.Lock()
        self._lent = False
        self._quick_jobs = 0
        self._drives = 0
        self._asleep = False
        self._alarm = threading.Event()
        self._main: asyncio.Future[Any] | None = None

    # In the server's thread.

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Drives the loop until ``main`` has ended, and raises what it raised."""
        self._main = self._loop.create_task(main)
        self._main.add_done_callback(self._end)
        self._scheduler.between_jobs = self
        try:
            while not self._main.done():
                if self._lent:
                    self._watch()
                else:
                    with self._driving:
                        if not self._lent:
                            self._loop.run_forever()
        finally:
            self._lent = False
            self._scheduler.between_jobs = None
            with self._driving:
                self._cancel_rest()
        self._main.result()

    def _cancel_rest(self) -> None:
        rest = asyncio.all_tasks(self._loop)
        for task in rest:
            task.cancel()
        last = self._loop.create_task(_wait_for(rest))
        last.add_done_callback(lambda _: self._loop.stop())
        while not last.done():  # others may have asked the loop to stop
            self._loop.run_forever()

    def _end(self, _: object) -> None:
        self._loop.stop()
        self._alarm.set()

    def _watch(self) -> None:
        """Waits while the other thread drives, and takes the loop if that stands still."""
        looks, seen = 0, -1
        while self._lent and not self._ended:
            self._alarm.wait(None if self._asleep else _LOOK_SECONDS)
            self._alarm.clear()
            self._asleep = False
            if self._loop.is_running():
                looks = looks + 1 if seen == self._drives else 0
                if looks >= _LOOKS_BEFORE_SLEEP:
                    # In this order, the reverse of that in `_drive`: one sees the other.
                    self._asleep = True
                    self._asleep = seen == self._drives
            elif seen == self._drives and self._driving.acquire(blocking=False):
                self._lent = False
                self._driving.release()
            seen = self._drives

    @property
    def _ended(self) -> bool:
        return self._main is not None and self._main.done()

    # In the policy's thread.

    @property
    def needed(self) -> bool:
        """Whether jobs come only while this thread is in `wait`."""
        return self._lent

    def done(self, seconds: float) -> None:
        """Takes the news that a job is done, and how long it took."""
        self._quick_jobs = self._quick_jobs + 1 if seconds < _QUICK_SECONDS else 0

    def wait(self) -> bool:
        """Drives the loop until there is work; False if that is not for this thread to do."""
        if not self._lent:
            if self._quick_jobs < _QUICK_STREAK or self._ended:
                return False
            self._lent = True
            self._stop_loop()
        if self._driving.acquire(timeout=_LOOK_SECONDS):
            try:
                self._drive()
            finally:
                self._driving.release()
        return self._lent and not self._ended

    def _drive(self) -> None:
        if not self._lent or self._ended or not self._scheduler.empty:
            return
        try:
            self._loop.run_forever()
        except BaseException:  # the policy's thread must go on
            text = "the event loop failed in a way that was not foreseen"
            log.exception(text, extra=event("unforeseen"))
        self._drives += 1
        if self._asleep:
            self._alarm.set()

    def interrupt(self) -> None:
        """Has `wait` return, since there is work."""
        if self._loop.is_driven_here():
            self._loop.stop()
        elif self._lent:
            self._stop_loop()

    def _stop_loop(self) -> None:
        with suppress(RuntimeError):  # it was closed at this moment
            self._loop.call_soon_threadsafe(self._loop.stop)


async def _wait_for(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
