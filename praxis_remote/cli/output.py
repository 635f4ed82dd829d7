# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a command says: results on stdout, complaints on stderr."""

from __future__ import annotations

import os
import sys

from .errors import CommandError

__all__ = ["complain", "say"]


def say(text: str) -> None:
    """Prints a result at once.

    Raises:
        CommandError: Nobody takes it.
    """
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        # Python would complain at exit that it cannot flush what nobody takes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(f"cannot write to stdout: {error.strerror}") from error


def complain(text: str, exit_code: int) -> int:
    """Tells in one line why a command was not done, and returns its exit code."""
    sys.stderr.write(f"praxis-remote: error: {' '.join(text.split())}\n")
    return exit_code
