# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Results as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.growth import UNITS, growth
from benchmarks.memory import SIDES
from benchmarks.payloads import TITLES
from benchmarks.results import REFERENCES, Results, calls_of

_MB = 1e6

_CALLS = (
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "calls/s",
    "MB/s",
    "client CPU ms",
    "server CPU ms",
    "client peak MB",
    "server peak MB",
    "to 0.1.1 (rounds)",
    "to ZeroMQ (rounds)",
)


def render(results: Results) -> str:
    """Returns everything that was measured as tables."""
    tables = [
        _calls(results, name) for study in results["studies"].values() for name in study["payloads"]
    ]
    tables += _growth(results)
    if results["crowds"]:
        tables.append(_crowds(results))
    if results["memory"]:
        tables.append(_memory(results))
    return "\n\n".join(tables)


def _calls(results: Results, payload: str) -> str:
    rows = []
    for pair, about in results["pairs"].items():
        row = calls_of(results, pair, payload)
        if row is not None:
            rows.append([about["title"], *_figures(row)])
    return table([TITLES.get(payload, payload), *_CALLS], rows)


def _figures(row: dict[str, Any]) -> list[str]:
    times = [row[f"p{percent}_ms"] for percent in (50, 90, 99)]
    numbers = [*times, row["calls_per_s"], row["mb_per_s"]]
    numbers += [row["client_cpu_ms"], row["server_cpu_ms"]]
    peaks = [row["client_peak_bytes"] / _MB, row["server_peak_bytes"] / _MB]
    ratios = row["ratio_to"]
    return [
        *map(number, numbers),
        *(f"{peak:.0f}" for peak in peaks),
        *(_ratio(ratios.get(name)) for name in REFERENCES),
    ]


def _ratio(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    return f"{found['median']:.2f} ({found['least']:.2f}-{found['most']:.2f})"


def _growth(results: Results) -> list[str]:
    rows = []
    for study, unit in UNITS.items():
        for pair, about in results["pairs"].items():
            found = growth(results, study, pair)
            if found is not None:
                cells = [number(found.offset), f"{found.slope:.3g}", f"{found.worst:.2f}"]
                rows.append([unit, about["title"], *cells])
    head = ["growth with each", "", "ms", "+ ms each", "worst, times the line"]
    return [table(head, rows)] if rows else []


def _crowds(results: Results) -> str:
    rows = []
    for row in results["crowds"]:
        title = results["pairs"][row["pair"]]["title"]
        what = f"{row['callers']} {row['mode']}, {row['payload']}"
        calls = [str(row["fewest_calls"]), str(row["most_calls"])]
        ratios = _ratio(row["ratio_to"].get("published"))
        rows.append([what, title, number(row["calls_per_s"]), ratios, *calls])
    return table(["callers", "", "calls/s", "to 0.1.1 (rounds)", "fewest of one", "most"], rows)


def _memory(results: Results) -> str:
    keys = [f"{side}_{what}" for side in SIDES for what in ("peak", "remains", "peak_of_10")]
    rows = [
        [results["pairs"][row["pair"]]["title"]]
        + ["" if row[key] is None else f"{row[key]:.2f}" for key in keys]
        for row in results["memory"]
    ]
    head = "memory of a 60 MB call, as a share of it"
    return table([head, *(key.replace("_", " ") for key in keys)], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns aligned columns, the first to the left and the others to the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def number(value: float) -> str:
    """Returns a number with three digits, or all of those before the point."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
