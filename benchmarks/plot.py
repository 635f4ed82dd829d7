# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Results as a picture: latency against size, and how ours grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import affine
from benchmarks.results import Results, calls_of

_STYLES: dict[str, dict[str, Any]] = {
    "this": {"color": "tab:blue", "marker": "o", "linewidth": 2.5, "zorder": 5},
    "unix": {"color": "tab:blue", "marker": "s", "linestyle": "--"},
    "async": {"color": "tab:cyan", "marker": "D", "linestyle": "--"},
    "published": {"color": "tab:red", "marker": "v"},
    "zeromq": {"color": "tab:orange", "marker": "^"},
    "openpi": {"color": "tab:green", "marker": "P"},
    "bare": {"color": "0.5", "marker": "x", "linestyle": ":"},
}

_PANELS = {"observations": "observations in a batch", "keys": "keys in an observation"}
_GROWS = ("this", "published")


def write(path: Path, results: Results) -> None:
    """Writes the picture; its kind is that of the path's suffix."""
    figure = Figure(figsize=(10, 8.5), layout="constrained")
    axes = figure.subplot_mosaic([["size", "size"], ["observations", "keys"]], height_ratios=[3, 2])
    _draw_sizes(axes["size"], results)
    for name, label in _PANELS.items():
        _draw_growth(axes[name], results, name, label)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same results give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "praxis-remote"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_sizes(axes: Axes, results: Results) -> None:
    study = results["studies"].get("size", {"pairs": [], "payloads": []})
    for pair in study["pairs"]:
        sizes, times = _series(results, pair, study["payloads"])
        axes.plot(
            sizes, times, label=results["pairs"][pair]["title"], markersize=5, **_STYLES[pair]
        )
    if "this" in study["pairs"] and len(study["payloads"]) > 2:
        sizes, times = _series(results, "this", study["payloads"])
        offset, slope = affine(sizes, times)
        line = np.geomspace(sizes[0], sizes[-1], 100)
        label = f"{offset:.2f} ms + {slope * 1e6:.2f} ms/MB"
        axes.plot(line, offset + slope * line, color="black", linewidth=0.8, label=label)
    axes.set(
        title="One predict_action over loopback: one uint8 array over, 7 floats back",
        xlabel="bytes",
        ylabel="latency, p50 (ms)",
        xscale="log",
        yscale="log",
    )
    axes.grid(visible=True, which="major", alpha=0.3)
    if study["pairs"]:
        axes.legend(loc="upper left")


def _draw_growth(axes: Axes, results: Results, name: str, label: str) -> None:
    study = results["studies"].get(name, {"pairs": [], "payloads": []})
    for pair in study["pairs"]:
        counts = [int(payload.rpartition("-")[2]) for payload in study["payloads"]]
        _, times = _series(results, pair, study["payloads"])
        title = results["pairs"][pair]["title"]
        if len(counts) > 2:
            offset, slope = affine(counts, times)
            title += f": {offset:.2f} ms + {slope * 1e3:.0f} µs each"
            line = np.asarray([counts[0], counts[-1]])
            axes.plot(line, offset + slope * line, color="black", linewidth=0.8)
        style = {**_STYLES[pair], "linestyle": "none"}
        axes.plot(counts, times, label=title, markersize=5, **style)
    axes.set(xlabel=label, ylabel="latency, p50 (ms)", ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
    if study["pairs"]:
        axes.legend(loc="upper left")


def _series(results: Results, pair: str, payloads: list[str]) -> tuple[list[float], list[float]]:
    """Returns bytes of arrays and p50 in ms of each payload that was measured."""
    found = [(name, calls_of(results, pair, name)) for name in payloads]
    about = results["payloads"]
    sizes = [about[name]["request_bytes"] for name, row in found if row is not None]
    return sizes, [row["p50_ms"] for _, row in found if row is not None]
