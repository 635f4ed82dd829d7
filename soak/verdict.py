# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is to be said of a soak at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .tally import Tally

# A line through the smallest of each of so many stretches: what a large message takes for
# a moment is no growth. The first of them are warm-up.
_STRETCHES, _WARM_UP = 40, 0.25

# Below this a stretch is too short to see the memory without a large message in it.
_SHORTEST = 240.0

# What is gone when all clients are.
LEFT = ("connections", "streams", "calls", "tasks", "budget", "pool", "fds", "threads", "objects")


def slope(samples: Sequence[tuple[float, float]]) -> float | None:
    """Returns how a value grows, by the second; None where there is too little to tell.

    Args:
        samples: Seconds and value, in order.
    """
    if len(samples) < 2 or samples[-1][0] - samples[0][0] < _SHORTEST:
        return None
    times, values = np.array(samples).T
    places = np.linspace(times[0], times[-1], _STRETCHES + 1)
    first = int(_WARM_UP * _STRETCHES)
    lows = []
    for begin, end in zip(places[first:-1], places[first + 1 :], strict=True):
        inside = np.flatnonzero((times >= begin) & (times <= end))
        if inside.size:
            lows.append(min((values[place], times[place]) for place in inside))
    lowest = np.array(lows)
    return float(np.polyfit(lowest[:, 1], lowest[:, 0], 1)[0])


def judge(
    tally: Tally,
    before: Mapping[str, int],
    after: Mapping[str, int],
    growth: float | None,
    bound: float,
) -> list[str]:
    """Returns what was wrong; nothing if nothing was.

    Args:
        tally: How all calls ended.
        before: What the idle server had at the start.
        after: What it has when all clients have left.
        growth: Of its memory, in kB a minute; None if that is not known.
        bound: The most of it.
    """
    wrong = [*tally.unforeseen(), *tally.texts]
    if not tally.outcomes:
        wrong.append("no call was made")
    if after["errors"]:
        wrong.append(f"the server logged {after['errors']} errors")
    wrong += [
        f"{name}: {after[name]} when all have left; {before[name]} at the start"
        for name in LEFT
        if after[name] > before[name]
    ]
    if growth is not None and growth > bound:
        wrong.append(f"memory grew by {growth:.0f} kB a minute; allowed: {bound:.0f}")
    return wrong
