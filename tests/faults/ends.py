# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Processes that serve and call, and what can be done to a process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from interop.endpoints import ROOT, Peer

WAIT = 30.0

_SCRIPT = Path(__file__).with_name("endpoint.py")
_OURS = {"PYTHONPATH": str(ROOT)}


class End(Peer):
    """One end of a connection, in a process of its own.

    Args:
        log: Where its stderr goes.
        python: The interpreter of an environment to run it in; None for this checkout.
        within: A command to run it with.
    """

    def __init__(
        self, log: Path, *, python: Path | None = None, within: Sequence[str] = ()
    ) -> None:
        command = [sys.executable] if python is None else [str(python), "-I"]
        super().__init__([*within, *command, _SCRIPT], log, _OURS if python is None else None)
        self.host = ""
        self.port = 0

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Starts a server there."""
        self.host, self.port = host, self.ask("serve", host=host, port=port)

    def wait_begun(self) -> None:
        """Waits until the policy has begun one call more."""
        assert self.ask("wait_begun"), "no call began"

    def settle(self, expected: dict[str, int]) -> None:
        """Waits until the server holds no more than it did."""
        until(lambda: self.ask("held"), lambda found: _within(found, expected))

    def kill(self) -> None:
        """Ends it as the system does when memory is short."""
        self._process.kill()
        self._process.wait(WAIT)

    def freeze(self) -> None:
        """Stops it, and returns when it has stopped."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Lets it go on."""
        self._process.send_signal(signal.SIGCONT)

    def interrupt(self) -> None:
        """Sends what Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)


def until(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """Looks until it is enough, and returns what was seen."""
    end = time.monotonic() + WAIT
    while not enough(found := look()):
        assert time.monotonic() < end, f"after {WAIT:g} s still {found}"
    return found


def _within(found: dict[str, int], expected: dict[str, int]) -> bool:
    return all(found[name] <= expected[name] for name in expected)
