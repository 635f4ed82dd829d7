# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is shown of a rollout: a few lines of text, a plot and a film."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, MultipleLocator, NullFormatter
from PIL import Image

from .rollout import FILM_EVERY, HOLD_STEPS, TIME_STEP, UPRIGHT, Rollout

_ANGLES = {-3: "-3π", -2: "-2π", -1: "-π", 0: "0", 1: "π", 2: "2π", 3: "3π"}
_REMOTE, _LOCAL = "tab:blue", "tab:orange"


def summary(remote: Rollout, local: Rollout) -> str:
    """Returns a table of returns, successes, latencies and speeds."""
    steps, envs = remote.rewards.shape
    returns, successes = remote.returns, remote.successes
    held = min(HOLD_STEPS, steps)
    return "\n".join(
        [
            f"pendulums    {envs} side by side for {steps} steps of {TIME_STEP} s",
            f"return       mean {returns.mean():.1f}, min {returns.min():.1f}, "
            f"max {returns.max():.1f}",
            f"success      {successes.mean():.0%} ({successes.sum()} of {envs} "
            f"within {UPRIGHT} rad of upright for the last {held} steps)",
            f"remote       {_timing(remote)}",
            f"in process   {_timing(local)}",
        ]
    )


def _timing(rollout: Rollout) -> str:
    p50, p90, p99 = np.percentile(rollout.latencies * 1e3, [50, 90, 99])
    speed = len(rollout.latencies) / rollout.seconds
    return (
        f"predict_action p50 {p50:.2f} ms, p90 {p90:.2f} ms, p99 {p99:.2f} ms; "
        f"{speed:.0f} steps/s with simulation and rendering"
    )


def write_film(path: Path, rollout: Rollout) -> None:
    """Writes the camera images of up to 16 environments as an animated GIF in real time."""
    pictures = [Image.fromarray(_tile(shot)).quantize(32) for shot in rollout.film]
    milliseconds = round(1000 * TIME_STEP * FILM_EVERY)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)


def _tile(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(2 * count))
    rows = math.ceil(count / columns)
    tiles = np.full((rows * columns, height, width, channels), 255, dtype=np.uint8)
    tiles[:count] = images
    # A grey edge, or the white pictures would run into each other.
    tiles[:, -1:, :] = tiles[:, :, -1:] = 200
    grid = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return np.asarray(grid.reshape(rows * height, columns * width, channels))


def write_plot(path: Path, remote: Rollout, local: Rollout) -> None:
    """Writes angles, returns and latencies as one picture."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplot_mosaic([["angles", "angles"], ["returns", "latencies"]])
    envs = remote.angles.shape[1]
    colors = mpl.colormaps["turbo"](np.linspace(0.05, 0.95, envs))
    _draw_angles(axes["angles"], remote.angles, colors)
    _draw_returns(axes["returns"], remote, colors)
    _draw_latencies(axes["latencies"], remote, local)
    figure.savefig(path, dpi=110)


def _draw_angles(axes: Axes, angles: npt.NDArray[np.float64], colors: npt.NDArray[Any]) -> None:
    seconds = TIME_STEP * np.arange(1, len(angles) + 1)
    # Whole turns are counted from where a pendulum ends, so that no line jumps at pi.
    unwrapped = np.unwrap(angles, axis=0)
    for angle, color in zip((unwrapped - unwrapped[-1] + angles[-1]).T, colors, strict=True):
        axes.plot(seconds, angle, color=color, linewidth=1.5)
    axes.axhspan(-UPRIGHT, UPRIGHT, color="0.88", label="upright")
    axes.set(
        title="Angle of each pendulum: 0 is upright, ±π hangs down (coloured as the returns below)",
        xlabel="time (s)",
        ylabel="angle (rad)",
        xlim=(0, seconds[-1]),
    )
    axes.yaxis.set_major_locator(MultipleLocator(math.pi))
    axes.yaxis.set_major_formatter(lambda angle, _: _ANGLES.get(round(angle / math.pi), ""))
    axes.legend(loc="upper right")


def _draw_returns(axes: Axes, rollout: Rollout, colors: npt.NDArray[Any]) -> None:
    returns = rollout.returns
    bars = axes.bar(np.arange(len(returns)), returns, color=colors)
    if len(returns) <= 16:
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
    axes.margins(y=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(
        title=f"Return: mean {returns.mean():.0f}, {rollout.successes.mean():.0%} succeed",
        xlabel="environment",
        ylabel="return (sum of rewards)",
    )


def _draw_latencies(axes: Axes, remote: Rollout, local: Rollout) -> None:
    samples = {"remote": (remote, _REMOTE), "in process": (local, _LOCAL)}
    every = np.concatenate([remote.latencies, local.latencies]) * 1e3
    bins = np.geomspace(every.min(), every.max(), 60)
    for name, (rollout, color) in samples.items():
        milliseconds = rollout.latencies * 1e3
        label = f"{name}, p50 {np.median(milliseconds):.2f} ms"
        axes.hist(milliseconds, bins=bins.tolist(), color=color, alpha=0.7, label=label)
    axes.set(
        title=f"Latency of predict_action, {remote.rewards.shape[1]} camera images a call",
        xlabel="latency (ms, logarithmic)",
        ylabel="calls",
        xscale="log",
    )
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.3)
    axes.legend(loc="upper right")
