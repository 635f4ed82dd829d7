# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Times, rates and sizes as people read them: three digits and a unit. No terminal."""

from __future__ import annotations

from collections import deque

__all__ = ["RecentRate", "duration", "megabytes", "number", "percent", "plural"]

# The least milliseconds of each unit, and how many of it a millisecond has.
_UNITS = ((1000.0, "s", 1e-3), (1.0, "ms", 1.0), (0.0, "µs", 1e3))


def number(value: float) -> str:
    """Returns a number with three digits, or all of those before the point."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def duration(milliseconds: float | None) -> str:
    """Returns a time in a unit that suits it, a dash if it is not known."""
    if milliseconds is None:
        return "-"
    for least, unit, factor in _UNITS:
        if milliseconds >= least:
            return f"{number(milliseconds * factor)} {unit}"
    return f"{number(0)} {_UNITS[-1][1]}"


def megabytes(size: float) -> str:
    """Returns bytes as kilobytes or megabytes, of powers of ten."""
    return f"{number(size / 1e6)} MB" if size >= 1e5 else f"{number(size / 1e3)} kB"


def percent(share: float) -> str:
    """Returns a share of 1 as a whole number of percent."""
    return f"{share * 100:.0f} %"


def plural(count: int, noun: str) -> str:
    """Returns a count of things whose plural ends in s."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


class RecentRate:
    """How fast a number rises now, from looks at it.

    Args:
        window: Over how many seconds.
    """

    def __init__(self, window: float = 1.0) -> None:
        self._window = window
        self._looks: deque[tuple[float, float]] = deque()

    def look(self, now: float, value: float) -> float:
        """Takes note of the number, and returns by how much it rises each second."""
        self._looks.append((now, value))
        while len(self._looks) > 2 and self._looks[1][0] <= now - self._window:
            self._looks.popleft()
        then, before = self._looks[0]
        return (value - before) / (now - then) if now > then else 0.0
