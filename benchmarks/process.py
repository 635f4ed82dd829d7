# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The near end of a peer's process: `peers.endpoint` is the far one."""

from __future__ import annotations

import json
import select
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.closing import Closing

RUN = Path(__file__).with_name("peers") / "run.py"

# Long enough for the slowest measurement, short enough to notice that a peer hangs.
_PATIENCE = 180.0


class PeerError(Exception):
    """A peer did something other than answer."""


class Process(Closing):
    """A peer that takes orders and answers them, one at a time.

    Args:
        python: The interpreter of the peer's environment.
        module: Which of `peers` it runs.
    """

    def __init__(self, python: Path, module: str) -> None:
        self._module = module
        self._process = subprocess.Popen(
            # Isolated: neither the working folder nor PYTHONPATH brings a package along.
            [python, "-I", RUN, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, do: str, **arguments: Any) -> Any:
        """Gives an order and returns its answer.

        Raises:
            PeerError: There is none, or it tells of an exception.
        """
        self.send(do, **arguments)
        return self.receive()

    def send(self, do: str, **arguments: Any) -> None:
        """Gives an order whose answer `receive` returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        """Returns the answer to the last order.

        Raises:
            PeerError: There is none, or it tells of an exception.
        """
        stdout = self._process.stdout
        assert stdout is not None
        # One order, one line: nothing is ever left in the buffer of stdout.
        if not select.select([stdout], [], [], _PATIENCE)[0]:
            raise PeerError(f"{self._module}: no answer within {_PATIENCE:g} s")
        line = stdout.readline()
        if not line:
            raise PeerError(f"{self._module}: ended with {self._process.wait(10)}")
        answer = json.loads(line)
        if "failed" in answer:
            raise PeerError(f"{self._module}: {answer['failed']}")
        return answer["answer"]

    def close(self) -> None:
        """Ends the process."""
        # The end of its orders lets it clean up; it has nothing to finish.
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
