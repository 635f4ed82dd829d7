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
from typing import Any, TypeVar

from .errors import CallCancelledError

T = TypeVar("T")


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
        future = self._submit(function)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise CallCancelledError("the client was closed") from None
        except BaseException:
            future.cancel()
            raise

    def _submit(
        self, function: Callable[[], Coroutine[Any, Any, T]]
    ) -> concurrent.futures.Future[T]:
        with self._lock:
            if self._closing:
                raise CallCancelledError("the client was closed; make a new one")
            return asyncio.run_coroutine_threadsafe(function(), self._loop)

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
