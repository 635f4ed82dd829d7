# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How the cost of a call grows with what is sent: a line, and how far from it the worst is."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.figures import affine
from benchmarks.results import Results, calls_of

# What grows in each study.
UNITS = {"size": "byte", "observations": "observation", "keys": "key"}

_FEWEST = 3


class Growth(NamedTuple):
    """Costs of a pair in a study, and the line through them.

    Attributes:
        amounts: Bytes, observations or keys.
        times: p50 in ms.
        offset: Ms of a call that sends nothing.
        slope: Ms for each of them.
    """

    amounts: list[int]
    times: list[float]
    offset: float
    slope: float

    def line(self, amount: float) -> float:
        """Returns the ms that the line has for an amount."""
        return self.offset + self.slope * amount

    @property
    def worst(self) -> float:
        """How many times as long as by the line the worst took; 1 is on the line."""
        shares = [time / self.line(x) for x, time in zip(self.amounts, self.times, strict=True)]
        return max(max(share, 1 / share) for share in shares)


def growth(results: Results, study: str, pair: str) -> Growth | None:
    """Returns how a pair's cost grows, None if too little was measured."""
    payloads = results["studies"].get(study, {"payloads": []})["payloads"]
    rows = {name: calls_of(results, pair, name) for name in payloads}
    found = {name: row["p50_ms"] for name, row in rows.items() if row is not None}
    if len(found) < _FEWEST:
        return None
    amounts = [int(name.rpartition("-")[2]) for name in found]
    times = list(found.values())
    return Growth(amounts, times, *affine(amounts, times))
