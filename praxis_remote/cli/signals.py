# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What SIGINT and SIGTERM do to a command, from its first moment to its last.

Python's own handling of them waits for compiled code, shows tracebacks and ends
before the process does. Nothing here knows what is served or called.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

__all__ = [
    "ignore_signals",
    "killed_by_signals",
    "leave",
    "on_stop_signals",
    "stopped_by_interrupt",
]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def killed_by_signals() -> Iterator[None]:
    """Lets the kernel end the process on a signal.

    Python would first wait for whatever compiled code runs, such as what loads a
    model, then for that code's thread, and show a traceback.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    numbers = _STOP_SIGNALS if main_thread else ()
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by_interrupt() -> Iterator[threading.Event]:
    """Gives an event that the first SIGINT sets; the second one ends the process.

    For what has something to tell although it was ended early.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        stop.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def on_stop_signals() -> asyncio.Event:
    """Returns an event that SIGINT and SIGTERM set from now on."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        with reader, writer:
            _watch(reader, lambda: _set_or_leave(loop, stop))

    # Not the loop's own handlers: they end with the loop, and the next signal would
    # kill a process that has stopped in good order. Nor a handler that acts by itself:
    # it runs on the main thread, which may sleep while another thread got the signal.
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="praxis-remote-signals", daemon=True).start()
    return stop


def _watch(numbers: socket.socket, act: Callable[[], None]) -> None:
    """Acts on every signal to stop, of all whose numbers arrive."""
    while received := numbers.recv(1):
        if received[0] in _STOP_SIGNALS:
            act()


def _set_or_leave(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        # The loop is closed: what remains are the policy's own threads and hooks.
        leave()


def ignore_signals() -> None:
    """Keeps the last moments, in which Python has let go of signals, from ending in one."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def leave() -> NoReturn:
    """Ends the process at once.

    Compiled code that runs on another thread while the interpreter winds down would
    abort the process, or keep it.
    """
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(0)
