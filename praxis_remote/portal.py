# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How callers without an event loop run coroutines: a loop on a thread of its own.

It does not matter which thread calls, or whether a loop runs in it already, as in a
notebook.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from .errors import CallCancelledError

T = TypeVar("T")


class _Call(Generic[T]):
    """A coroutine on its way through the loop; its caller may be interrupted at any point."""

    def __init__(
        self, function: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._function = function
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def begin(self) -> None:
        """Runs in the loop, first."""
        self._task = self._loop.create_task(self._function())
        self._task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.outcome.set_exception(CallCancelledError("the client was closed"))
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())

    def abandon(self) -> None:
        """Runs in the loop, when the caller has gone."""
        if self._task is not None:
            self._task.cancel()


class Portal:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # Guards the step to closing, after which no coroutine may be handed over.
        self._lock = threading.Lock()
        self._closing = False
        # A daemon, so that a client that nobody closed does not keep the process alive.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="praxis-remote-client", daemon=True
        )
        self._thread.start()

    def run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine to its end. An exception in this thread, such as Ctrl-C, cancels it.

        Raises:
            Exception: Whatever the coroutine raises.
            CallCancelledError: The portal was closed.
        """
        # Made before the try: Ctrl-C may come between any two steps in it.
        call = _Call(function, self._loop)
        try:
            with self._lock:
                if self._closing:
                    raise CallCancelledError("the client was closed; make a new one")
                self._loop.call_soon_threadsafe(call.begin)
            return call.outcome.result()
        except BaseException:
            if not call.outcome.done():
                with suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(call.abandon)
            raise

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs one more coroutine, cancels the others, and ends loop and thread."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        try:
            asyncio.run_coroutine_threadsafe(self._finish(last), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @staticmethod
    async def _finish(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await last()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
