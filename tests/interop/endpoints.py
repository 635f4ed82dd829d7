# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Processes that serve and call policies with a praxis-remote of their own.

The other end of `peers/endpoint.py`. Each order is one line of JSON, and so is its
answer.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

PEERS = Path(__file__).resolve().parent / "peers"
ROOT = Path(__file__).resolve().parents[2]

# Long enough for the largest message on the slowest machine.
_PATIENCE = 120.0


class PeerError(Exception):
    """A peer did something other than answer."""


class Peer:
    """A process that takes orders and answers them, one at a time.

    Args:
        command: The script and its interpreter.
        log: Where its stderr goes.
        environment: On top of this process's environment.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
                cwd=log.parent,
                text=True,
                encoding="utf-8",
            )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def send(self, do: str, **arguments: Any) -> None:
        """Gives an order whose answer `receive` returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        """Returns the answer to the oldest order that has none yet.

        Raises:
            PeerError: There is none, or it tells of an exception.
        """
        try:
            line = self._answers.get(timeout=_PATIENCE)
        except queue.Empty:
            raise PeerError(f"no answer within {_PATIENCE:g} s\n{self.log()}") from None
        if not line:
            raise PeerError(f"ended with {self._process.wait(10)}\n{self.log()}")
        answer = json.loads(line)
        if "failed" in answer:
            raise PeerError(answer["failed"])
        return answer["answer"]

    def ask(self, do: str, **arguments: Any) -> Any:
        """Gives an order and returns its answer."""
        self.send(do, **arguments)
        return self.receive()

    def log(self) -> str:
        """Returns the end of what it wrote to stderr."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-4000:]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        with suppress(BrokenPipeError):  # it may have ended before it read its last order
            self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
