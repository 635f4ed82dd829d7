# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""An event loop in whose stead another thread may act while the loop waits.

The thread of the policy answers a call by itself: to wake the thread of the loop for
it would cost more than the answer. Nothing here knows what is done.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    _DefaultSelector = selectors.EpollSelector
else:
    _DefaultSelector = selectors.DefaultSelector


class _Selector(_DefaultSelector):
    """A selector that lets go of the turn for as long as it waits."""

    def __init__(self, turn: threading.Lock) -> None:
        super().__init__()
        self._turn = turn

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turn.release()
        try:
            return super().select(timeout)
        finally:
            self._turn.acquire()


class SharedEventLoop(asyncio.SelectorEventLoop):
    """A loop whose callbacks never run at the same time as `call_from_thread`."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._driver: int | None = None
        self._scheduled_something = False
        super().__init__(_Selector(self._turn))

    @override
    def run_forever(self) -> None:
        with self._turn:
            self._driver = threading.get_ident()
            try:
                super().run_forever()
            finally:
                self._driver = None

    def is_driven_here(self) -> bool:
        """Tells whether the calling thread is the one that runs the loop."""
        return self._driver == threading.get_ident()

    def call_from_thread(self, callback: Callable[..., Any], *args: Any) -> None:
        """Calls in the calling thread what the loop would call, at once.

        Raises:
            RuntimeError: The loop is closed.
        """
        if self.get_debug():
            # asyncio's checks would take this thread for one that has no business here.
            self.call_soon_threadsafe(callback, *args)
            return
        with self._turn:
            if self.is_closed():
                raise RuntimeError("Event loop is closed")
            self._scheduled_something = False
            asyncio._set_running_loop(self)
            try:
                callback(*args)
            except Exception as error:
                # As the loop does: what fails is not the calling thread's affair.
                message = f"Exception in callback {callback!r}"
                self.call_exception_handler({"message": message, "exception": error})
            finally:
                asyncio._set_running_loop(None)
                if self._scheduled_something and self.is_running():
                    # It does not know yet that it has something to do.
                    self.call_soon_threadsafe(_nothing)

    @override
    def call_soon(  # type: ignore[override]  # passed on as it comes
        self, *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        self._scheduled_something = True
        return super().call_soon(*args, **kwargs)

    @override
    def call_at(  # type: ignore[override]  # passed on as it comes
        self, *args: Any, **kwargs: Any
    ) -> asyncio.TimerHandle:
        self._scheduled_something = True
        return super().call_at(*args, **kwargs)


def _nothing() -> None:
    """Ends the loop's waiting."""
