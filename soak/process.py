# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A process of the soak, at its near end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.lines import LineProcess

ROOT = Path(__file__).resolve().parents[1]


class ProcessError(Exception):
    """A process did not answer."""


class Process(LineProcess):
    """Runs a module of this folder.

    Args:
        module: Its name.
        words: Its command line.
    """

    error = ProcessError
    patience = 10.0

    def __init__(self, module: str, *words: object) -> None:
        super().__init__(module, [sys.executable, "-m", f"soak.{module}", *map(str, words)], ROOT)

    def ask(self, question: object = "") -> Any:
        """Returns the answer to a question.

        Raises:
            ProcessError: There is none.
        """
        try:
            self.write(question)
        except BrokenPipeError as error:
            raise ProcessError(f"{self._name}: it has ended") from error
        return self.read()

    def leave(self) -> None:
        """Tells it that nothing more will be asked."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """Ends it in the middle of whatever it does."""
        self._process.kill()
