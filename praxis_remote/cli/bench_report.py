# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What `bench` shows while it calls, and at the end. Needs rich, of the extra ``tools``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ..bench import Plan, Progress, Summary
from ..bench.load import OnProgress
from ..bench.samples import SERVER_PHASES
from .display import BAD, DIM, WARNING, as_text, bar, new_table, swatch, terminal
from .figures import RecentRate, duration, megabytes, number, percent, plural

__all__ = ["progress_bar", "report"]

_LATENCY = {
    "p50": "p50",
    "p90": "p90",
    "p99": "p99",
    "p99.9": "p99_9",
    "max": "max",
    "mean": "mean",
}

# Of the longest line, which must not break in a terminal of 80 columns.
_WIDTH = 76

# Of the calls that may begin a whole turn late, before people are told.
_BEHIND = 0.01

_OLD_SERVER = (
    "The server does not say where its time goes (a praxis-remote before 0.2, or another "
    "server): what it does is part of network."
)
_NO_TIMING = "The client does not tell where the time goes."
_CLIENT_LIMIT = (
    "The clients were short of CPU, so that the server may be faster than this: the busiest "
    "process got {busiest} of a core, all together {cores} of {available} cores{starved}. Call "
    "from another machine than the server's or from several, or with more --processes."
)
_STARVED = ", and {} of the time of their calls they waited for one"
_BEHIND_TEXT = (
    "The server does not keep up with the rate, or there are too few clients (--concurrency): "
    "{share} of the calls began a whole turn late, as their client still waited for the one "
    "before, and {not_begun} that were due have not begun, so that latencies are rather longer."
)


@contextmanager
def progress_bar(plan: Plan) -> Iterator[OnProgress]:
    """Shows how far a run is, until it has ended; gives what is to be told of it."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[live]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=terminal(), transient=True, expand=True) as shown:
        task = shown.add_task("connecting and warming up", total=None, live="")
        recent = RecentRate()

        def update(progress: Progress) -> None:
            if progress.seconds is None:
                return
            ended = progress.calls + progress.failed
            rate = recent.look(progress.seconds, ended)
            live = f"{ended:,} calls, {number(rate)} calls/s"
            if progress.failed:
                live += f", [{BAD}]{progress.failed:,} failed[/]"
            done, total = _done(plan, progress.seconds, ended)
            shown.update(task, description="calling", completed=done, total=total, live=live)

        yield update


def _done(plan: Plan, seconds: float, ended: int) -> tuple[float, float | None]:
    """Returns how much is done, and of how much, by whichever limit is nearer."""
    limits = [(ended, plan.calls), (min(seconds, plan.duration or 0.0), plan.duration)]
    known = [(done, total) for done, total in limits if total is not None]
    return max(known, key=lambda limit: limit[0] / limit[1], default=(0.0, None))


def report(summary: Summary) -> str:
    """Returns all figures of a run as text, with colours if stdout has them."""
    console = terminal()
    parts: list[RenderableType] = [*_head(summary)]
    if summary.latency_ms is not None:
        parts += ["", _latency(summary), "", *_phases(console, summary)]
    if summary.failed:
        parts += ["", _errors(summary)]
    parts += [Text(note, style=WARNING) for note in _notes(summary)]
    return as_text(console, *parts)


def _head(summary: Summary) -> Iterator[RenderableType]:
    asked = summary.asked
    yield Text.assemble((summary.address, "bold"), ": ", summary.policy or "it says nothing")
    yield Text(
        f"{asked.payload}: {plural(asked.observations, 'observation')}, "
        f"{megabytes(asked.request_bytes)} a request; {plural(asked.concurrency, 'client')} "
        f"in {asked.processes} process{'es' * (asked.processes != 1)}"
    )
    if asked.rate is None:
        yield Text("closed loop: each client calls again when its call has ended", style=DIM)
    else:
        text = f"open loop, {number(asked.rate)} calls/s: latency counts from when a call was due"
        yield Text(text, style=DIM)
    yield ""
    yield Text.assemble(
        f"{plural(summary.calls, 'call')} in {duration(summary.seconds * 1e3)}: ",
        (f"{number(summary.calls_per_s)} calls/s", "bold"),
        f", {number(summary.request_mb_per_s)} MB/s there, "
        f"{number(summary.response_mb_per_s)} MB/s back",
    )
    if failed := sum(each.count for each in summary.failed.values()):
        yield Text(f"{plural(failed, 'call')} failed", style=BAD)
    if summary.stopped:
        yield Text(f"stopped early, {plural(summary.cut_off, 'call')} cut off", style=WARNING)


def _latency(summary: Summary) -> RenderableType:
    table = new_table("", *_LATENCY)
    rows = {"latency": summary.latency_ms, "of it, late start": summary.late_ms}
    for name, found in rows.items():
        if found is not None:
            table.add_row(name, *(duration(getattr(found, key)) for key in _LATENCY.values()))
    return table


def _phases(console: Console, summary: Summary) -> Iterator[RenderableType]:
    medians = [0.0 if found is None else found.p50 for found in summary.phases_ms.values()]
    if not any(medians):
        yield Text(_NO_TIMING, style=DIM)
        return
    table = new_table("where the time goes", "", "p50", "p99", "share")
    for index, (name, found) in enumerate(summary.phases_ms.items()):
        if found is not None:
            share = percent(found.p50 / sum(medians))
            cells = [duration(found.p50), duration(found.p99), share]
            table.add_row(name, swatch(console, index), *cells)
    yield table
    yield ""
    yield bar(console, medians, _WIDTH)
    if all(summary.phases_ms[name] is None for name in SERVER_PHASES):
        yield Text(_OLD_SERVER, style=DIM)


def _errors(summary: Summary) -> RenderableType:
    table = new_table("failed with", "calls", "the first said")
    table.columns[2].justify, table.columns[2].no_wrap = "left", False
    for status, found in summary.failed.items():
        table.add_row(Text(status, style=BAD), f"{found.count:,}", Text(found.example))
    return table


def _notes(summary: Summary) -> Iterator[str]:
    client = summary.client
    # Of calls that all failed there are no figures to doubt.
    if summary.calls and client.was_the_limit:
        yield _CLIENT_LIMIT.format(
            busiest=percent(client.busiest),
            cores=number(client.cores),
            available=client.available,
            starved="" if client.starved is None else _STARVED.format(percent(client.starved)),
        )
    if summary.not_begun or (summary.behind or 0.0) > _BEHIND:
        share = percent(summary.behind or 0.0)
        yield _BEHIND_TEXT.format(share=share, not_begun=f"{summary.not_begun:,}")
