# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A process that is talked with in lines of JSON: one goes over, one comes back."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.closing import Closing

# Long enough for the slowest measurement, short enough to notice that a process hangs.
_PATIENCE = 180.0


class LineProcess(Closing):
    """A process, at its near end.

    Args:
        name: For errors.
        command: What to run.
        folder: Where; None for the current one.
    """

    error: ClassVar[type[Exception]]
    """What is raised when no answer comes."""

    patience: ClassVar[float] = 5.0
    """Seconds that it has to end by itself."""

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path | None = None):
        self._name = name
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def write(self, what: object) -> None:
        """Sends a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def read(self) -> Any:
        """Returns what the next line holds, or raises `error`."""
        stdout = self._process.stdout
        assert stdout is not None
        # One question, one line: nothing is ever left in the buffer of stdout.
        if not select.select([stdout], [], [], _PATIENCE)[0]:
            raise self.error(f"{self._name}: no answer within {_PATIENCE:g} s")
        line = stdout.readline()
        if not line:
            raise self.error(f"{self._name}: ended with {self._process.wait(10)}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        # The end of its input lets it clean up; it has nothing to finish.
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(self.patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
