# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What keeps load from being made, apart from the calls themselves."""

from __future__ import annotations

__all__ = ["BenchError", "WorkerLostError"]


class BenchError(Exception):
    """The base of what this package raises."""


class WorkerLostError(BenchError):
    """A process that should call ended before it had.

    Args:
        code: Its exit code; negative for the signal that ended it.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(
            f"a process that calls ended with exit code {code}; stderr may say why, "
            "and fewer clients or smaller messages take less memory"
        )
        self.code = code
