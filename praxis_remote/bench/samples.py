# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is known of each call that went well: one row of numbers, and bounded memory for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..timing import CallTiming, ServerTiming

__all__ = ["COLUMNS", "PHASES", "SERVER_PHASES", "Numbers", "Row", "Samples", "as_row"]

Numbers: TypeAlias = npt.NDArray[np.float64]
Row: TypeAlias = tuple[float, ...]

SERVER_PHASES = tuple(f"server {name}" for name in ServerTiming._fields)
"""What the server says of a call."""

PHASES = ("client encode", "network", *SERVER_PHASES, "client decode")
"""The parts of a call, as its data goes."""

COLUMNS = ("start", "latency", "late", "response bytes", *PHASES)
"""What a row has, in seconds but for the bytes.

``start`` is when the call was due, from the beginning of what is measured, ``latency`` from
then to its end, and ``late`` from then to its beginning. A phase that nobody told is NaN.
"""

_LIMIT = 1_000_000
_INDEX = {name: index for index, name in enumerate(COLUMNS)}


def as_row(
    start: float, latency: float, late: float, response_bytes: int, timing: CallTiming | None
) -> Row:
    """Returns a call in the order of `COLUMNS`."""
    if timing is None:
        phases: Sequence[float] = [math.nan] * len(PHASES)
    else:
        server = timing.server or [math.nan] * len(SERVER_PHASES)
        phases = [timing.encode, timing.network, *server, timing.decode]
    return (start, latency, late, float(response_bytes), *phases)


class Samples:
    """The rows of a run.

    Sums and the most are those of all rows. Beyond ``limit`` rows only every second is
    kept, then every fourth and so on.

    Args:
        limit: How many rows are kept at most.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self.count = 0
        self.response_bytes = 0.0
        self.latency_sum = 0.0
        self.latency_max = 0.0
        self._limit = limit
        self._step = 1
        self._kept: list[Numbers] = []
        self._size = 0

    def add(self, rows: Sequence[Row] | Numbers) -> None:
        """Takes rows."""
        if not len(rows):
            return
        numbers: Numbers = np.asarray(rows, np.float64)
        latency = numbers[:, _INDEX["latency"]]
        self.latency_sum += float(latency.sum())
        self.latency_max = max(self.latency_max, float(latency.max()))
        self.response_bytes += float(numbers[:, _INDEX["response bytes"]].sum())
        # A copy, that what is passed over does not stay in memory.
        kept = numbers[-self.count % self._step :: self._step].copy()
        self.count += len(numbers)
        self._kept.append(kept)
        self._size += len(kept)
        while self._size > self._limit:
            self._thin()

    def _thin(self) -> None:
        kept = np.concatenate(self._kept)[::2].copy()
        self._kept, self._size = [kept], len(kept)
        self._step *= 2

    def column(self, name: str) -> Numbers:
        """Returns one of `COLUMNS`, of the rows that were kept."""
        if not self._kept:
            return np.empty(0)
        if len(self._kept) > 1:
            self._kept = [np.concatenate(self._kept)]
        column: Numbers = self._kept[0][:, _INDEX[name]]
        return column
