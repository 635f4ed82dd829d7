# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A process of the soak, at its near end: a line goes over, a line comes back."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.closing import Closing

ROOT = Path(__file__).resolve().parents[1]

_PATIENCE = 180.0


class ProcessError(Exception):
    """A process did not answer."""


class Process(Closing):
    """Runs a module of this folder.

    Args:
        module: Its name.
        words: Its command line.
    """

    def __init__(self, module: str, *words: object) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"soak.{module}", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, question: object = "") -> Any:
        """Returns the answer to a question.

        Raises:
            ProcessError: There is none.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ProcessError(f"{self._module}: it has ended") from error
        return self.receive()

    def receive(self) -> Any:
        """Returns the next line.

        Raises:
            ProcessError: There is none.
        """
        stdout = self._process.stdout
        assert stdout is not None
        # One question, one line: nothing is ever left in the buffer of stdout.
        if not select.select([stdout], [], [], _PATIENCE)[0]:
            raise ProcessError(f"{self._module}: no answer within {_PATIENCE:g} s")
        line = stdout.readline()
        if not line:
            raise ProcessError(f"{self._module}: ended with {self._process.wait(10)}")
        return json.loads(line)

    def leave(self) -> None:
        """Tells it that nothing more will be asked."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """Ends it in the middle of whatever it does."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
