# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Runs a coroutine without a task, whose every step would wait for a turn of the loop.

Five such turns cost about as much as the rest of a small call. Nothing here knows what
the coroutine does; it may await futures, tasks and what is made of them, but it has no
``asyncio.current_task()``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Generic, TypeVar

from typing_extensions import override

T = TypeVar("T")


class _Outcome(Generic[T]):
    """What something came to: a value or an error."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._error: BaseException | None = None

    def result(self) -> T:
        """Returns the value, or raises the error, once."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                # Its traceback leads back here, and to all that the callers hold: messages.
                self._error = None
        return self._value  # type: ignore[return-value]  # without an error it is the result


class Stepper(_Outcome[T]):
    """A coroutine and how far it has come.

    Args:
        coroutine: What to run, on the running loop.
        due: Called by the loop when the next `step` is to be taken.

    Attributes:
        done: Whether the coroutine has ended; only then there is a `result`.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], due: Callable[[], None]) -> None:
        super().__init__()
        self._coroutine: Coroutine[Any, Any, T] | None = coroutine
        self._due: Callable[[], None] | None = due
        self._awaited: asyncio.Future[Any] | Delivery[Any] | None = None
        self._cancelled = False
        self._stepping = False
        self.done = False

    def step(self) -> None:
        """Runs the coroutine until it waits or ends."""
        assert self._coroutine is not None
        self._awaited, self._stepping = None, True
        try:
            if self._cancelled:
                self._cancelled = False
                awaited = self._coroutine.throw(asyncio.CancelledError())
            else:
                awaited = self._coroutine.send(None)
        except StopIteration as stop:
            self._end(stop.value, None)
        except (KeyboardInterrupt, SystemExit):
            # As a task does: whoever drives the loop shall know.
            self._end(None, asyncio.CancelledError())
            raise
        except BaseException as error:
            self._end(None, error)
        else:
            self._wait_for(awaited)
        finally:
            self._stepping = False

    def _end(self, value: T | None, error: BaseException | None) -> None:
        self._value, self._error, self.done = value, error, True
        # Its owner is kept by nothing that it keeps: messages shall go at once.
        self._coroutine = self._due = None

    def _wait_for(self, awaited: asyncio.Future[Any] | Delivery[Any] | None) -> None:
        if awaited is None:
            # A bare yield, such as sleep(0), waits for the next turn.
            awaited = asyncio.get_running_loop().create_future()
            awaited.set_result(None)
        # What a future sets before it yields itself, for whoever runs the coroutine.
        awaited._asyncio_future_blocking = False
        self._awaited = awaited
        awaited.add_done_callback(self._wake)
        if self._cancelled:
            awaited.cancel()
            asyncio.get_running_loop().call_soon(self._wake, awaited)

    def _wake(self, awaited: object) -> None:
        if awaited is self._awaited and self._due is not None:
            self._due()

    def cancel(self) -> None:
        """Raises ``CancelledError`` at once where the coroutine waits."""
        if self.done or self._cancelled:
            return
        self._cancelled = True
        if not self._stepping:
            awaited, self._awaited = self._awaited, None
            if awaited is not None:
                awaited.cancel()
            assert self._due is not None
            self._due()


class Delivery(_Outcome[T]):
    """A value to come, for one coroutine, which goes on in the very call that brings it.

    A future would have it wait for a turn of the loop. Tasks may await it as well.
    """

    _asyncio_future_blocking = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._waiter: Callable[[Any], object] | None = None
        self._done = self._cancelled = False

    def deliver(self, value: T | None, error: BaseException | None = None) -> None:
        """Brings the value, or the error. Nothing happens if nobody wants it any more.

        Not to be called by a task, in the midst of which no other task can go on.
        """
        if not self._done:
            self._value, self._error, self._done = value, error, True
            # The error's traceback leads to this frame as well.
            del value, error
            if self._waiter is not None:
                self._waiter(self)

    def __await__(self) -> Generator[Any, None, T]:
        """Waits for the value."""
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    # What whoever runs a coroutine asks of a future.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Returns the loop in which the value is waited for."""
        return self._loop

    def add_done_callback(
        self, waiter: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Has the waiter called when the value is there."""
        self._waiter = waiter if context is None else lambda value: context.run(waiter, value)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - a future's signature
        """Ends the waiting, at the loop's next turn."""
        if self._done:
            return False
        self._done = self._cancelled = True
        if self._waiter is not None:
            self._loop.call_soon(self._waiter, self)
        return True

    @override
    def result(self) -> T:
        """Returns the value, or raises the error, once."""
        if self._cancelled:
            raise asyncio.CancelledError
        return super().result()
