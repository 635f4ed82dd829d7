# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Results as a picture: latency against size, and how it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.growth import growth
from benchmarks.results import Results

_STYLES: dict[str, dict[str, Any]] = {
    "this": {"color": "tab:blue", "marker": "o", "linewidth": 2.5, "zorder": 5},
    "unix": {"color": "tab:blue", "marker": "s", "linestyle": "--"},
    "async": {"color": "tab:cyan", "marker": "D", "linestyle": "--"},
    "published": {"color": "tab:red", "marker": "v"},
    "zeromq": {"color": "tab:orange", "marker": "^"},
    "openpi": {"color": "tab:green", "marker": "P"},
    "bare": {"color": "0.5", "marker": "x", "linestyle": ":"},
}

_LABELS = {"observations": "observations in a batch", "keys": "keys in an observation"}


def write(path: Path, results: Results) -> None:
    """Writes the picture; its kind is that of the path's suffix."""
    # The same results give the same bytes, and text stays text.
    with mpl.rc_context({"svg.hashsalt": "praxis-remote", "svg.fonttype": "none"}):
        figure = Figure(figsize=(10, 8.5), layout="constrained")
        axes = figure.subplot_mosaic(
            [["size", "size"], ["observations", "keys"]], height_ratios=[3, 2]
        )
        _draw_sizes(axes["size"], results)
        for name, label in _LABELS.items():
            _draw_counts(axes[name], results, name, label)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_sizes(axes: Axes, results: Results) -> None:
    for pair, about in results["pairs"].items():
        grown = growth(results, "size", pair)
        if grown is None:
            continue
        axes.plot(grown.amounts, grown.times, label=about["title"], markersize=5, **_STYLES[pair])
        if pair == "this":
            x = np.geomspace(grown.amounts[0], grown.amounts[-1], 100)
            label = f"{about['title']}, as {grown.offset:.2f} ms + {grown.slope * 1e6:.2f} ms/MB"
            axes.plot(x, grown.offset + grown.slope * x, color="black", linewidth=1, label=label)
    axes.set(
        title="One predict_action on one machine: a uint8 array over, 7 floats back",
        xlabel="bytes",
        ylabel="latency, p50 (ms)",
        xscale="log",
        yscale="log",
    )
    _finish(axes)


def _draw_counts(axes: Axes, results: Results, study: str, label: str) -> None:
    for pair, about in results["pairs"].items():
        grown = growth(results, study, pair)
        if grown is None:
            continue
        title = f"{about['title']}: {grown.offset:.2f} ms + {grown.slope * 1e3:.0f} µs each"
        style = {**_STYLES[pair], "linestyle": "none", "markersize": 5}
        axes.plot(grown.amounts, grown.times, label=title, **style)
        ends = [grown.amounts[0], grown.amounts[-1]]
        axes.plot(ends, [grown.line(end) for end in ends], color="black", linewidth=1)
    axes.set(xlabel=label, ylabel="latency, p50 (ms)")
    axes.set_ylim(bottom=0)
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, alpha=0.3)
    if axes.has_data():
        axes.legend(loc="upper left")
