# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The near end of a peer's process: `peers.endpoint` is the far one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.lines import LineProcess

RUN = Path(__file__).with_name("peers") / "run.py"


class PeerError(Exception):
    """A peer did something other than answer."""


class Process(LineProcess):
    """A peer that takes orders and answers them, one at a time.

    Args:
        python: The interpreter of the peer's environment.
        module: Which of `peers` it runs.
    """

    error = PeerError

    def __init__(self, python: Path, module: str) -> None:
        # Isolated: neither the working folder nor PYTHONPATH brings a package along.
        super().__init__(module, [python, "-I", RUN, module])

    def ask(self, do: str, **arguments: Any) -> Any:
        """Gives an order and returns its answer.

        Raises:
            PeerError: There is none, or it tells of an exception.
        """
        self.send(do, **arguments)
        return self.receive()

    def send(self, do: str, **arguments: Any) -> None:
        """Gives an order whose answer `receive` returns."""
        self.write({"do": do, **arguments})

    def receive(self) -> Any:
        """Returns the answer to the last order.

        Raises:
            PeerError: There is none, or it tells of an exception.
        """
        answer = self.read()
        if "failed" in answer:
            raise PeerError(f"{self._name}: {answer['failed']}")
        return answer["answer"]
