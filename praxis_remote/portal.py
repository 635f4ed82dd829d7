# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How callers without an event loop run coroutines: the calling thread drives a loop.

No thread is changed for a call, which would cost more than a small call itself. Of
several threads one drives and carries the others' coroutines along; when its own is
done, it hands the loop on to one that still waits. A thread in which a loop runs
already, as in a notebook, has another thread call for it.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import select
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from .errors import CallCancelledError
from .stepper import Stepper

T = TypeVar("T")

# What signal's functions wrap, if it is there: they make enums, at ten times the cost.
_signal: Any = getattr(signal, "_signal", signal)


class _Call(Generic[T]):
    """A coroutine that a thread waits for."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._function = function
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakeup: threading.Event | None = None
        self._stepper: Stepper[T] | None = None
        self._abandoned = False
        self._lost = False
        self.shall_drive = False

    # Run in the loop, or while nobody drives it.

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the coroutine, unless it was started or given up."""
        if self._abandoned:
            self.wake()
        elif self._stepper is None:
            self._loop = loop
            self._stepper = Stepper(self._function(), self._step)
            self._step()

    def _step(self) -> None:
        assert self._stepper is not None
        assert self._loop is not None
        self._stepper.step()
        if self._stepper.done:
            self.wake()
            if self.shall_drive:
                self._loop.stop()

    def refuse(self) -> None:
        """Has the coroutine never begin, unless it has. May be called in any thread."""
        self._abandoned = True

    def abandon(self) -> None:
        """Cancels the coroutine."""
        self._abandoned = True
        self.wake()
        if self._stepper is not None:
            self._stepper.cancel()

    def lose(self) -> None:
        """Ends the waiting for a loop that is no more."""
        self._lost = True
        self.wake()

    def ask_to_drive(self) -> None:
        """Hands the loop on to the thread of this call."""
        self.shall_drive = True
        self.wake()

    # Run in the thread that waits.

    def wake(self) -> None:
        """Has the waiting thread look again."""
        if self._wakeup is not None:
            self._wakeup.set()

    def prepare_to_wait(self) -> None:
        """Makes what `wait` waits for, which a call that drives does without."""
        self._wakeup = threading.Event()

    def wait(self) -> None:
        """Waits for the end, or until the thread shall drive."""
        assert self._wakeup is not None
        self._wakeup.wait()
        self._wakeup.clear()

    @property
    def done(self) -> bool:
        """Whether there is an outcome."""
        if self._stepper is None:
            return self._lost or self._abandoned
        return self._lost or self._stepper.done

    def outcome(self) -> T:
        """Returns what the coroutine returned, or raises what it raised."""
        if self._stepper is not None and self._stepper.done:
            with suppress(asyncio.CancelledError):
                return self._stepper.result()
        raise CallCancelledError("the client was closed")

    def drop_outcome(self) -> None:
        """Forgets an outcome that nobody asks for; its traceback leads to all that there was."""
        with suppress(BaseException):
            self.outcome()


class _Bell:
    """What a signal rings, for a thread that is about to wait: its handler runs only afterwards.

    Closed with its last user: the main thread may still have it when another one
    closes the portal.
    """

    def __init__(self) -> None:
        self._ends: tuple[socket.socket, ...] = ()
        self._ends = self.ear, self.button = socket.socketpair()
        for end in self._ends:
            end.setblocking(False)

    def silence(self) -> None:
        """Takes note, so that it can ring again."""
        with suppress(BlockingIOError):
            self.ear.recv(4096)

    def __del__(self) -> None:
        for end in self._ends:
            end.close()


class Portal:
    """An event loop that is driven by those who call.

    The loop is made by the first call, where no Ctrl-C can come in between.
    """

    _selector: selectors.BaseSelector
    _loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        # Guards what follows. Never held while the loop runs.
        self._changed = threading.Condition()
        self._calls: list[_Call[Any]] = []
        self._open = False
        self._bell: _Bell | None = None
        self._driven = False
        self._closing = False
        self._deferring = self._listening = False
        self.broken = False

    def run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine to its end. Ctrl-C in the calling thread cancels it.

        Raises:
            Exception: Whatever the coroutine raises.
            CallCancelledError: The portal was closed.
        """
        if self._closing or self.broken:
            raise CallCancelledError("the client was closed; make a new one")
        return self._run(_Call(function))

    def _run(self, call: _Call[T]) -> T:
        if asyncio._get_running_loop() is not None:
            return self._run_elsewhere(call)
        if threading.current_thread() is not threading.main_thread():
            self._wait_for(call, self._wait)
        elif _signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            self._wait_for(call, self._wait_listening)
        else:
            self._wait_for_deferring_ctrl_c(call)
        return call.outcome()

    def _wait_for(self, call: _Call[Any], wait: Callable[[_Call[Any]], None]) -> None:
        if not self._open:
            self._make_loop()
        try:
            self._enter(call)
            wait(call)
        finally:
            self._leave(call)

    def _wait(self, call: _Call[Any]) -> None:
        while not call.done:
            if call.shall_drive:
                self._drive(call)
            else:
                call.wait()

    def _wait_listening(self, call: _Call[Any]) -> None:
        """Has the handlers of signals run at once, even of one that comes just before a wait."""
        bell = self._bell
        if bell is None or call.done:
            return
        previous = -1
        try:
            self._listening = True
            previous = signal.set_wakeup_fd(bell.button.fileno(), warn_on_full_buffer=False)
            if previous != -1:
                # The program has one, and must not miss what is written there.
                try:
                    signal.set_wakeup_fd(previous, warn_on_full_buffer=False)
                    self._listening = False
                except (OSError, ValueError):
                    previous = -1  # it was closed and left there
            self._wait(call)
        finally:
            if previous == -1:
                signal.set_wakeup_fd(-1)
                self._listening = False
            # The traceback of an error keeps the frames below its own, and this one's names.
            del bell

    def _wait_for_deferring_ctrl_c(self, call: _Call[Any]) -> None:
        """Has Ctrl-C cancel the call; raised at once it would tear the loop apart.

        A handler of the program's own stays in its place.
        """
        interrupted = False

        def interrupt(*_: object) -> None:
            nonlocal interrupted
            interrupted = True
            if self._open:
                with suppress(RuntimeError):  # closed, and the call is done
                    self._loop.call_soon_threadsafe(call.abandon)
            else:
                call.abandon()

        _signal.signal(signal.SIGINT, interrupt)
        try:
            self._deferring = True
            self._wait_for(call, self._wait_listening)
        finally:
            _signal.signal(signal.SIGINT, signal.default_int_handler)
            self._deferring = False
            if interrupted:
                call.drop_outcome()
                raise KeyboardInterrupt

    def _make_loop(self) -> None:
        with self._changed:
            if not self._open:
                self._bell = _Bell()
                self._selector = selectors.DefaultSelector()
                self._loop = asyncio.SelectorEventLoop(self._selector)
                self._loop.add_reader(self._bell.ear, self._rung, self._bell)
                self._open = True

    def _rung(self, bell: _Bell) -> None:
        bell.silence()
        # The thread that shall run the handler may be one whose call is carried along.
        for call in list(self._calls):
            call.wake()

    def _close_loop(self) -> None:
        with self._changed:
            self._bell = None
        self._loop.close()

    def _enter(self, call: _Call[Any]) -> None:
        with self._changed:
            self._calls.append(call)
            if self.broken or self._bell is None:
                # Closed since the caller looked.
                call.lose()
            elif self._driven:
                call.prepare_to_wait()
                self._loop.call_soon_threadsafe(call.begin, self._loop)
            else:
                # In this order: who shall drive hands the loop on whatever happens.
                call.shall_drive = True
                self._driven = True

    def _drive(self, call: _Call[Any]) -> None:
        """Drives the loop until the call is done."""
        try:
            asyncio._set_running_loop(self._loop)
            try:
                call.begin(self._loop)
            finally:
                asyncio._set_running_loop(None)
            if not call.done:
                self._loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            # A signal handler raised in the midst of the loop, in which nothing can
            # be relied on any more.
            self._break()
            raise
        except BaseException:
            self._break()
            raise

    def _leave(self, call: _Call[Any]) -> None:
        with self._changed:
            self._calls.remove(call)
            if self.broken or self._bell is None:
                return
            if not call.done:
                self._loop.call_soon_threadsafe(call.abandon)
            if call.shall_drive:
                self._hand_on()

    def _hand_on(self) -> None:
        for call in self._calls:
            if call.done:
                # The loop may have stopped before it could tell.
                call.wake()
        waiting = next((call for call in self._calls if not call.done), None)
        if waiting is not None:
            waiting.ask_to_drive()
        else:
            self._driven = False
            self._changed.notify_all()

    def _break(self) -> None:
        # What was torn apart is told to those who wait for it, and to nobody else.
        self._loop.set_exception_handler(lambda *_: None)
        for call in self._calls:
            self._loop.call_soon(call.abandon)
        last = self._loop.create_task(_cancel_all())
        while not last.done():
            # What was raised may be raised again by whoever awaited it.
            with suppress(BaseException):
                self._loop.run_until_complete(last)
        with self._changed:
            self.broken = True
            for call in self._calls:
                call.lose()
            self._changed.notify_all()
        self._close_loop()

    def _run_elsewhere(self, call: _Call[T]) -> T:
        """Runs a call for a thread in which another loop runs."""
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self._run(call)
            except BaseException as error:
                errors.append(error)

        # In the context of the caller, which may be traced.
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=[work], name="praxis-remote-client", daemon=True
        )
        try:
            thread.start()
            thread.join()
        except BaseException:
            call.refuse()
            if self._open:
                with suppress(RuntimeError):  # closed, and the call is done
                    self._loop.call_soon_threadsafe(call.abandon)
            raise
        if errors:
            raise errors[0]
        return call.outcome()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs one more coroutine, which shall end the others, and closes the loop."""
        with self._changed:
            if self._closing or self.broken:
                return
            self._closing = True
        if self._open and asyncio._get_running_loop() is self._loop:
            # From a signal handler, in the thread that drives: it must not wait for itself.
            threading.Thread(target=self._close, args=[last], daemon=True).start()
        else:
            self._close(last)

    def _close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            self._run(_Call(last))
        finally:
            with self._changed:
                self._changed.wait_for(lambda: self.broken or not self._driven)
            if self._open and not self.broken:
                self._close_loop()

    def leave_to_parent(self) -> None:
        """Makes the copy that a forked child has harmless: an epoll set is shared with the parent.

        Whatever the child takes out of it, at its exit at the latest, is taken out of
        an empty set of its own instead.
        """
        # The parent's main thread may have been amid a call when another one forked.
        if self._listening:
            signal.set_wakeup_fd(-1)
        if self._deferring:
            _signal.signal(signal.SIGINT, signal.default_int_handler)
        if not self._open:
            return
        epoll = getattr(select, "epoll", None)
        if epoll is not None and isinstance(self._selector, selectors.EpollSelector):
            # Closed already, it is no more shared.
            with epoll() as own, suppress(ValueError):
                os.dup2(own.fileno(), self._selector.fileno(), inheritable=False)


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
