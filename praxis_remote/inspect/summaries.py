# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is said of an array: its range, and what looks like a mistake in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array
from .copies import KeptArray

__all__ = ["Summary", "flags", "summarize"]

# Of an image in [0, 1] that was divided by 255 once more; a night is brighter.
_TWICE_DIVIDED = 1.5 / 255


@dataclass(frozen=True)
class Summary:
    """The range of an array's finite values, and how many are not finite."""

    low: float
    high: float
    mean: float
    not_finite: int
    constant: bool


def summarize(data: Array) -> Summary | None:
    """Returns the range of an array; None if it has no finite value."""
    values = data.reshape(-1)
    finite = values if values.dtype.kind in "biu" else values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = finite.min(), finite.max()
    not_finite = values.size - finite.size
    with np.errstate(over="ignore"):
        mean = float(finite.mean(dtype=np.float64))
    constant = bool(low == high) and not not_finite
    return Summary(_number(low), _number(high), mean, not_finite, constant)


def _number(value: np.generic) -> float:
    number = value.item()
    return int(number) if isinstance(number, bool) else number


def flags(kept: KeptArray, summary: Summary | None, stale: int) -> list[str]:
    """Returns what looks like a mistake, each as a few words."""
    if 0 in kept.shape:
        return ["empty"]
    if kept.data is None:
        return ["not shown: the observation is too large"]
    found = []
    if stale:
        found.append(f"stale: the same for {stale} steps")
    if summary is None:
        return [*found, "no finite value"]
    if summary.not_finite:
        found.append(f"{summary.not_finite} NaN or infinite")
    if kept.layout is not None:
        found += _image_flags(kept, summary)
    return found


def _image_flags(kept: KeptArray, summary: Summary) -> list[str]:
    assert kept.layout is not None
    if summary.constant:
        return [f"constant image: every value is {summary.low:g}"]
    if kept.dtype == "uint8":
        return ["nothing above 1: was a [0, 1] image cast to uint8?"] if summary.high <= 1 else []
    if kept.layout.channels == 1 or not kept.dtype.startswith("float"):
        return []
    if summary.low < 0 or summary.high > 1:
        return [f"values outside [0, 1]: {summary.low:.4g} to {summary.high:.4g}"]
    if summary.high < _TWICE_DIVIDED:
        return [f"nothing above {summary.high:.2g}: divided by 255 twice?"]
    return []
