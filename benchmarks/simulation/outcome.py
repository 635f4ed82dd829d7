# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What came of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.figures import percentile


@dataclass(frozen=True)
class Outcome:
    """What was seen from the end of the warm-up on.

    Attributes:
        calls: How many ended.
        seconds: How long that took, in the simulated time.
        calls_per_s: Of all clients together.
        mean: Latency in seconds, as `p50`, `p99` and `p999`, which are of 1,000.
        in_flight: Calls that were under way, on average over time.
        front: Share of the time that the busiest process of the front worked.
        policy: Share of the time that policies worked, on average; `busiest` for the one that
            worked most.
        batch: Calls in a batch, on average.
    """

    calls: int
    seconds: float
    calls_per_s: float
    mean: float
    p50: float
    p99: float
    p999: float
    in_flight: float
    front: float
    policy: float
    busiest: float
    batch: float

    def as_dict(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return asdict(self)


def percentiles(latencies: Sequence[float]) -> tuple[float, float, float]:
    """Returns p50, p99 and p99.9."""
    ordered = sorted(latencies)
    p50, p99, p999 = (percentile(ordered, percent) for percent in (50, 99, 99.9))
    return p50, p99, p999
