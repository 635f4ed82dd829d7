# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Percentiles, as benchmarks of servers give them."""

from __future__ import annotations

import numpy as np

from .samples import Numbers

__all__ = ["PERCENTILES", "percentiles"]

PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p99_9": 999}
"""The thousandths of the calls that each of them covers."""


def percentiles(values: Numbers) -> dict[str, float]:
    """Returns for each of `PERCENTILES` the least value that so many calls do not exceed.

    Never a value between two calls: each was some call's. The tail is the slowest call
    where there are too few for it.

    Args:
        values: At least one; none is NaN.
    """
    ordered = np.sort(values)
    # In whole numbers: 0.999 times a count may come out above the rank that it is.
    ranks = {name: -(-len(ordered) * part // 1000) for name, part in PERCENTILES.items()}
    return {name: float(ordered[rank - 1]) for name, rank in ranks.items()}
