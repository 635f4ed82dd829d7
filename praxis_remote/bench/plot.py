# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A run as a picture: how latencies are spread, how they went, and of what they are made.

The only module here that needs matplotlib, from the extra ``tools``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .samples import PHASES, Numbers, Samples
from .summary import Summary

__all__ = ["write"]

# More points than these are no different picture, but a large file.
_POINTS = 20_000


def write(path: Path, summary: Summary, samples: Samples) -> None:
    """Writes the picture; its kind is that of the path's suffix.

    Raises:
        OSError: The file cannot be written.
    """
    # Text stays text.
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure = Figure(figsize=(10, 8), layout="constrained")
        figure.suptitle(_title(summary))
        axes = figure.subplot_mosaic([["spread", "tail"], ["time", "time"], ["phases", "phases"]])
        latency = samples.column("latency") * 1e3
        _draw_spread(axes["spread"], latency)
        _draw_tail(axes["tail"], latency, summary)
        _draw_time(axes["time"], samples.column("start"), latency)
        _draw_phases(axes["phases"], summary)
        figure.savefig(path)


def _title(summary: Summary) -> str:
    asked = summary.asked
    clients = f"{asked.concurrency} client{'s' * (asked.concurrency != 1)}"
    return (
        f"{summary.address}: {asked.payload}, {clients}, "
        f"{summary.calls} calls, {summary.calls_per_s:.1f} calls/s"
    )


def _draw_spread(axes: Axes, latency: Numbers) -> None:
    axes.set(title="Histogram", xlabel="latency (ms)", ylabel="calls")
    if len(latency):
        axes.hist(latency, bins=min(100, max(10, len(latency) // 10)))


def _draw_tail(axes: Axes, latency: Numbers, summary: Summary) -> None:
    axes.set(title="Cumulative", xlabel="latency (ms)", ylabel="share of calls", ylim=(0, 1.02))
    axes.grid(visible=True, alpha=0.3)
    found = summary.latency_ms
    if found is None:
        return
    axes.ecdf(latency)
    for name, value in (("p50", found.p50), ("p90", found.p90), ("p99", found.p99)):
        axes.axvline(value, color="0.5", linestyle=":")
        axes.annotate(f"{name} {value:.3g}", (value, 0.02), rotation=90, fontsize="small")


def _draw_time(
    axes: Axes,
    start: Numbers,
    latency: Numbers,
) -> None:
    axes.set(title="Over time", xlabel="seconds", ylabel="latency (ms)")
    axes.grid(visible=True, alpha=0.3)
    step = max(1, len(start) // _POINTS)
    axes.plot(start[::step], latency[::step], ".", markersize=2, rasterized=True)
    axes.set_ylim(bottom=0)


def _draw_phases(axes: Axes, summary: Summary) -> None:
    axes.set(title="Where the time goes (median of each phase)", xlabel="ms", yticks=[])
    left = 0.0
    for index, name in enumerate(PHASES):
        found = summary.phases_ms[name]
        if found is not None:
            label = f"{name} {found.p50:.3g}"
            axes.barh(0, found.p50, left=left, label=label, color=f"C{index}")
            left += found.p50
    if axes.has_data():
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=4, fontsize="small")
    else:
        axes.text(0.5, 0.5, "the client does not tell", transform=axes.transAxes, ha="center")
