# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The terminal while `top` has it: its screen, its keys, and how it is given back.

Knows nothing of servers. Needs rich, of the extra ``tools``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live

__all__ = ["Screen", "held"]

_ENDING_KEYS = b"qQ\x03"
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Screen:
    """The screen of a terminal, until somebody wants it back.

    Args:
        live: Shows what is to be seen.
        ended: Done with the signal that ended it, or None for a key.

    Attributes:
        ended: As above.
    """

    def __init__(self, live: Live, ended: asyncio.Future[signal.Signals | None]) -> None:
        self._live = live
        self.ended = ended

    def show(self, content: RenderableType) -> None:
        """Shows something instead of what was there."""
        self._live.update(content, refresh=True)

    def end(self, number: signal.Signals | None = None) -> None:
        """Has `ended` be done."""
        if not self.ended.done():
            self.ended.set_result(number)


@contextmanager
def held(console: Console) -> Iterator[Screen]:
    """Takes the terminal, and gives it back as it was, however this ends."""
    loop = asyncio.get_running_loop()
    live = Live(console=console, screen=True, auto_refresh=False)
    screen = Screen(live, loop.create_future())
    # The signals first: from then on none can leave the terminal as it must not be left.
    with _signals(loop, screen), _keys(loop, screen.end), live:
        yield screen


@contextmanager
def _signals(loop: asyncio.AbstractEventLoop, screen: Screen) -> Iterator[None]:
    for number in _ENDING_SIGNALS:
        loop.add_signal_handler(number, screen.end, number)
    try:
        yield
    finally:
        for number in _ENDING_SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def _keys(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> Iterator[None]:
    """Has keys told as they are pressed, and not shown."""
    if not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()

    def read() -> None:
        keys = os.read(terminal, 1024)
        if not keys or set(keys) & set(_ENDING_KEYS):
            end()

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSADRAIN)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
