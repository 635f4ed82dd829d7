# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What keeps a command from being done, each told in one line, and what to do next."""

from __future__ import annotations

from ..errors import DeadlineExceededError, HandlerError, RemoteError, UnavailableError

__all__ = ["FAILED", "USAGE", "CommandError", "UsageError", "explain"]

FAILED, USAGE = 1, 2

_NOBODY_THERE = "is a policy served there? `health ADDR --wait SECONDS` waits for one"
_NEXT_AFTER_STATUS: dict[type[RemoteError], str] = {
    DeadlineExceededError: "allow more time with --timeout or --wait",
    HandlerError: "the server's log has the traceback",
}


class CommandError(Exception):
    """What keeps a command from being done, as one line for the person who gave it."""

    exit_code = FAILED


class UsageError(CommandError):
    """The command line itself is at fault."""

    exit_code = USAGE


def explain(error: RemoteError) -> str:
    """Returns the error's text, with what to do next where there is something."""
    # Where somebody is there, of the wrong kind, the details say so, and waiting is in vain.
    if isinstance(error, UnavailableError) and error.details().startswith("cannot connect"):
        return f"{error}; {_NOBODY_THERE}"
    for kind, advice in _NEXT_AFTER_STATUS.items():
        if isinstance(error, kind):
            return f"{error}; {advice}"
    return str(error)
