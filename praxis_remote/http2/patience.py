# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How many frames a peer may send that bring no call forward.

Pings, settings, window updates, resets and crumbs of data are a few for each call with
an honest peer. Each costs its receiver far more than its sender: HTTP/2's floods
(CVE-2019-9512 to 9518, CVE-2023-44487) are made of them. Nothing here knows a frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from h2.errors import ErrorCodes

from .offence import OffenceError

__all__ = ["Patience"]

# Frames at once, and in the long run by the second: a hundred calls a second that are
# all cancelled use up neither.
_BURST, _BY_THE_SECOND = 400, 200

# What an answered call allows for: a grpcio client acknowledges, pings and widens
# windows around each. And how many bytes of payload stand for one window update.
_BY_THE_CALL, _BYTES = 8, 1024


class Patience:
    """Runs out for a peer that sends much and brings little.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: float = _BURST
        self._since = clock()

    def spend(self, frames: int = 1) -> None:
        """Takes note of a frame that brings no call forward, or one that costs as much as many.

        Raises:
            OffenceError: It was one too many.
        """
        self._left -= frames
        if self._left < 0:
            now = self._clock()
            self._earn((now - self._since) * _BY_THE_SECOND)
            self._since = now
            if self._left < 0:
                raise OffenceError(
                    "too many pings, settings, window updates, resets and empty frames; "
                    f"allowed: {_BURST} at once, {_BY_THE_SECOND} a second and "
                    f"{_BY_THE_CALL} for each call",
                    ErrorCodes.ENHANCE_YOUR_CALM,
                )

    def answered(self) -> None:
        """Takes note of a call that went well."""
        self._earn(_BY_THE_CALL)

    def moved(self, size: int) -> None:
        """Takes note of so many bytes of payload, either way."""
        if size >= _BYTES:
            self._earn(size // _BYTES)

    def _earn(self, frames: float) -> None:
        self._left += frames
        if self._left > _BURST:
            self._left = _BURST
