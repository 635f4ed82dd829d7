# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is made of samples: percentiles, throughput, ratios. No I/O, no clock."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.rounds import Sample

PERCENTILES = (50, 90, 99)


def percentile(values: Sequence[float], percent: float) -> float:
    """Returns the smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def summary(samples: Sequence[Sample], message_bytes: int) -> dict[str, Any]:
    """Returns the figures of one pair and payload, in ms, bytes and MB/s.

    Percentiles and throughput are of all rounds' calls together, CPU is the median
    of the rounds, and memory the most of them.
    """
    times = [seconds for sample in samples for seconds in sample.times]
    per_second = len(times) / sum(times)
    return {
        "calls": len(times),
        **{f"p{percent}_ms": percentile(times, percent) * 1e3 for percent in PERCENTILES},
        "p50_ms_by_round": [percentile(sample.times, 50) * 1e3 for sample in samples],
        "calls_per_s": per_second,
        "mb_per_s": per_second * message_bytes / 1e6,
        "client_cpu_ms": statistics.median(sample.client_cpu for sample in samples) * 1e3,
        "server_cpu_ms": statistics.median(sample.server_cpu for sample in samples) * 1e3,
        "client_peak_bytes": max(sample.client_peak for sample in samples),
        "server_peak_bytes": max(sample.server_peak for sample in samples),
    }


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float]:
    """Returns how two pairs compare, from the p50 of each round.

    Each round has a ratio of its own, of two measurements that are seconds apart, and
    the median of these is what counts: a slow minute of the machine slows both sides
    of a round, while in a ratio of pooled medians it may have hit one side more.
    """
    ratios = [
        numerator / denominator
        for numerator, denominator in zip(numerators, denominators, strict=True)
    ]
    return {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def affine(sizes: Sequence[float], times: Sequence[float]) -> tuple[float, float]:
    """Returns the offset and the slope of the line that fits best, relative to each time.

    Relative, because times over four orders of magnitude would otherwise be a fit of
    the largest alone.
    """
    weights = [1 / time**2 for time in times]
    total = sum(weights)
    mean_size = sum(w * x for w, x in zip(weights, sizes, strict=True)) / total
    mean_time = sum(w * y for w, y in zip(weights, times, strict=True)) / total
    covariance = sum(
        w * (x - mean_size) * (y - mean_time) for w, x, y in zip(weights, sizes, times, strict=True)
    )
    variance = sum(w * (x - mean_size) ** 2 for w, x in zip(weights, sizes, strict=True))
    slope = covariance / variance
    return mean_time - slope * mean_size, slope
