# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What nobody may cause: errors in the log, and exceptions that nobody takes."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from typing import Any

from typing_extensions import override

from fuzz.target import Finding


class Watch(logging.Handler):
    """Notes them, from its making until closed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._seen: list[str] = []
        self._hooks = sys.unraisablehook, threading.excepthook
        logging.getLogger().addHandler(self)
        sys.unraisablehook = lambda args: self._note("unraisable", args)
        threading.excepthook = lambda args: self._note("in a thread", args)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Takes a record of the log."""
        self._seen.append(logging.Formatter().format(record))

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watches a loop too."""
        loop.set_exception_handler(lambda _, context: self._note("in a loop", context))

    def _note(self, what: str, of: Any) -> None:
        self._seen.append(f"{what}: {of}")

    def check(self) -> None:
        """Raises if there was one since the last look.

        Raises:
            Finding: With all that was seen.
        """
        seen, self._seen = self._seen, []
        if seen:
            raise Finding("\n".join(["unforeseen:", *seen])[:4000])

    @override
    def close(self) -> None:
        """Watches no more."""
        logging.getLogger().removeHandler(self)
        sys.unraisablehook, threading.excepthook = self._hooks
        super().close()
