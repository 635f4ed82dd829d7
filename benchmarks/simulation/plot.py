# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Outcomes as a picture: how throughput and latency grow, and what placement and batches do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.simulation.results import KINDS, Results, line
from benchmarks.simulation.study import CROWD_BATCH, PAYLOAD, PER_REPLICA, PLAIN_PER_REPLICA

_Place: TypeAlias = Literal["upper left", "upper right"]

_COLORS = {"direct": "tab:blue", "ray": "tab:red", "envoy": "tab:green"}
_PLACEMENTS = {
    "least": ("fewest sessions", "tab:blue"),
    "hash": ("hash of the session", "tab:orange"),
    "episode": ("hash of the episode", "tab:purple"),
    "ring": ("ring of 1,024 points", "tab:brown"),
}
_PERCENTILES = {"p50": ("p50", ":"), "p99": ("p99", "-"), "p999": ("p99.9", "--")}


def write(path: Path, results: Results) -> None:
    """Writes the picture; its kind is that of the path's suffix."""
    # The same results give the same bytes, and text stays text.
    with mpl.rc_context({"svg.hashsalt": "praxis-remote", "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 9), layout="constrained")
        rate, latency, placement, crowd = figure.subplots(2, 2).flat
        _draw_rates(rate, results)
        _draw_latencies(latency, results)
        _draw_placements(placement, results)
        _draw_crowds(crowd, results)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_rates(axes: Axes, results: Results) -> None:
    _draw(axes, results, "placement", "least", "calls_per_s", "nothing between", _COLORS["direct"])
    for kind in KINDS:
        title, color = KINDS[kind], _COLORS[kind]
        full = results["full_at"][kind][PAYLOAD]
        _draw(
            axes,
            results,
            "front",
            f"{kind}-one",
            "calls_per_s",
            f"{title}, 1 process: full at {full:,.0f}/s",
            color,
        )
        enough = f"{title}, as many as needed"
        _draw(axes, results, "front", f"{kind}-enough", "calls_per_s", enough, color, "none", "x")
    axes.set(title="Throughput", xlabel="replicas", ylabel="calls a second")
    _finish(axes, "upper left")


def _draw_latencies(axes: Axes, results: Results) -> None:
    for key, (name, style) in _PERCENTILES.items():
        _draw(
            axes, results, "placement", "least", key, f"nothing between, {name}",
            _COLORS["direct"], style, "",
        )  # fmt: skip
        for kind in KINDS:
            title = f"{KINDS[kind]}, 1 process, {name}" if key == "p99" else ""
            label = title or "_"
            _draw(axes, results, "front", f"{kind}-one", key, label, _COLORS[kind], style, "")
    axes.set(title="Latency", xlabel="replicas", ylabel="ms")
    _finish(axes, "upper left")


def _draw_placements(axes: Axes, results: Results) -> None:
    for placement, (title, color) in _PLACEMENTS.items():
        plain = f"{title}, no batches, {PLAIN_PER_REPLICA} each"
        _draw(axes, results, "plain", placement, "p99", plain, color, "--")
        joined = f"{title}, batches, {PER_REPLICA} each"
        _draw(axes, results, "placement", placement, "p99", joined, color)
    axes.set(title="Latency by placement of sessions, p99", xlabel="replicas", ylabel="ms")
    _finish(axes, "upper left")
    # Above all lines there is room for their names.
    axes.set_ylim(40, 2500)
    axes.set_yticks([50, 100, 200, 500, 1000])


def _draw_crowds(axes: Axes, results: Results) -> None:
    titles = {
        "plain": ("one call at a time", "tab:red"),
        "batches": (f"batches of up to {CROWD_BATCH}", "tab:blue"),
    }
    for name, (title, color) in titles.items():
        rows = line(results, "crowd", name)
        each = [row["calls_per_s"] / results["crowd_replicas"] for row in rows]
        p99 = [row["p99"] * 1e3 for row in rows]
        axes.plot(each, p99, label=title, color=color, marker="o", markersize=4)
        for row, x, y in zip(rows, each, p99, strict=True):
            # Where lines meet, the other one's label would lie upon it.
            if name == "batches" or row["amount"] > 2:
                place = (5, -10) if name == "batches" else (5, 3)
                axes.annotate(
                    str(row["amount"]), (x, y), textcoords="offset points", xytext=place, fontsize=8
                )
    axes.set(
        title="Clients of each replica (at the points), p99",
        xlabel="calls a second of each replica",
        ylabel="ms",
    )
    _finish(axes, "upper right")
    axes.set_xscale("linear")
    axes.set_yticks([20, 50, 100, 200, 500, 1000])


def _draw(
    axes: Axes,
    results: Results,
    study: str,
    name: str,
    key: str,
    label: str,
    color: str,
    style: str = "-",
    marker: str = "o",
) -> None:
    rows = line(results, study, name)
    scale = 1.0 if key == "calls_per_s" else 1e3
    values = [row[key] * scale for row in rows]
    amounts = [row["amount"] for row in rows]
    style_of: dict[str, Any] = {"color": color, "linestyle": style, "marker": marker}
    axes.plot(amounts, values, label=label, markersize=4, **style_of)


def _finish(axes: Axes, place: _Place) -> None:
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc=place, fontsize=8)
