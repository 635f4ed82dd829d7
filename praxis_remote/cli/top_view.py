# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How `top` shows servers: a panel for each, or a row. Needs rich, of the extra ``tools``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..errors import StatusCode
from ..schema.generated_monitor import Durations, RecentCalls, StatusResponse
from ..timing import ServerTiming
from .display import BAD, DIM, PARTS, WARNING, as_text, bar, new_table, swatch
from .figures import duration, megabytes, number
from .top_watched import Watched, printable

__all__ = ["rows", "table", "view"]

_STAGE_STYLE = {"serving": "green"}

# The parts of a bar that the server knows of, which follow the client's own encode and network.
_FIRST_PART = 2

# Of calls a second, from the least to the most; the second for terminals with ASCII only.
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-=+*#%"

# Left and right of what is in a panel.
_FRAME = 4

# From which width on a row has a column for the model, and how wide that is in a narrower one.
_WIDE = 110
_NARROW_MODEL = 20

# Beyond a terminal, where no line needs to be broken.
_ENDLESS = 1000

_TROUBLES = {
    StatusCode.UNAVAILABLE: "unreachable",
    StatusCode.DEADLINE_EXCEEDED: "no answer",
    StatusCode.UNIMPLEMENTED: "too old",
    StatusCode.UNAUTHENTICATED: "refused",
    StatusCode.PERMISSION_DENIED: "refused",
}

_LONG_AGO = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))

_HELP = "q or Ctrl-C ends"


def view(console: Console, servers: Sequence[Watched], now: float) -> RenderableType:
    """Returns panels, or rows where the terminal is too small for these.

    Args:
        console: Where it will be seen.
        servers: What is known.
        now: When that is.
    """
    help_line = Text(_HELP, style=DIM)
    panels = Group(*(_panel(console, server, now) for server in servers), help_line)
    if len(console.render_lines(panels)) <= console.height:
        return panels
    return Group(rows(console, servers), help_line)


def table(console: Console, servers: Sequence[Watched]) -> str:
    """Returns rows as text; beyond a terminal, one line each, as wide as what is in it."""
    if console.is_terminal:
        return as_text(console, rows(console, servers))
    console.width = _ENDLESS
    return as_text(console, rows(console, servers))


# ---------------------------------------------------------------- rows

_HEADS = ("server", "stage", "calls/s", "p50", "p99", "wait", "run", "conn", "errors")


def rows(console: Console, servers: Sequence[Watched]) -> Table:
    """Returns a table with one row for each server."""
    found = new_table(*_HEADS)
    found.padding = 0, 0
    found.columns[0].overflow = "fold"
    found.columns[1].justify = "left"
    if wide := console.width >= _WIDE:
        found.add_column("model", no_wrap=True, overflow="ellipsis")
    for server in servers:
        if wide:
            found.add_row(server.address, _stage(server), *_cells(server), Text(server.model))
            continue
        name = Text(server.address)
        if server.model:
            model = Text(f"\n{server.model}", style=DIM)
            model.truncate(_NARROW_MODEL, overflow="ellipsis")
            name.append_text(model)
        found.add_row(name, _stage(server), *_cells(server))
    return found


def _stage(server: Watched) -> Text:
    if server.trouble is not None:
        return Text(_TROUBLES.get(server.trouble.status, "failed"), style=BAD)
    return Text(server.stage or "...", style=_STAGE_STYLE.get(server.stage, WARNING))


def _cells(server: Watched) -> Iterator[str]:
    status = server.status
    if status is None or server.trouble is not None:
        yield from ["-"] * (len(_HEADS) - 2)
        return
    predicted = next(iter(server.policy_calls), None)
    total = None if predicted is None else predicted.total
    yield number(server.rate)
    yield _time(predicted, None if total is None else total.p50)
    yield _time(predicted, None if total is None else total.p99)
    yield f"{status.waiting:,}"
    yield f"{status.in_flight:,}"
    yield f"{status.connections:,}"
    yield f"{sum(calls for calls, _ in server.errors().values()):,}"


def _time(recent: RecentCalls | None, seconds: float | None) -> str:
    known = recent is not None and recent.succeeded and seconds is not None
    return duration(seconds * 1e3 if known and seconds is not None else None)


# ---------------------------------------------------------------- panels


def _panel(console: Console, server: Watched, now: float) -> Panel:
    title = Text.assemble((server.address, "bold"), "  ", _stage(server))
    if server.model:
        title.append(f"  {server.model}")
    style = BAD if server.trouble is not None else _STAGE_STYLE.get(server.stage, WARNING)
    return Panel(
        Group(*_body(console, server, now)),
        title=title,
        title_align="left",
        subtitle=_age(server.status),
        subtitle_align="right",
        border_style=style,
        box=box.ROUNDED,
    )


def _age(status: StatusResponse | None) -> Text | None:
    if status is None:
        return None
    text = f"up {_long(status.uptime)}, praxis-remote {printable(status.version)}"
    return Text(text, style=DIM)


def _long(seconds: float) -> str:
    """Returns a time of which only the first two units matter."""
    for least, unit, next_least, next_unit in _LONG_AGO:
        if seconds >= least:
            rest = int(seconds % least // next_least)
            return f"{int(seconds // least)} {unit} {rest} {next_unit}"
    return f"{max(0.0, seconds):.0f} s"


def _body(console: Console, server: Watched, now: float) -> Iterator[RenderableType]:
    if server.trouble is not None:
        yield Text(server.trouble.text, style=BAD)
        if server.status is not None:
            yield _rate(console, server, now)
        return
    status = server.status
    if status is None:
        yield Text("asking", style=DIM)
        return
    yield _rate(console, server, now)
    received = sum(each.request_bytes for each in status.recent)
    sent = sum(each.response_bytes for each in status.recent)
    yield _pairs(
        ("waiting", f"{status.waiting:,}"),
        ("in flight", f"{status.in_flight:,}"),
        ("connections", f"{status.connections:,}"),
        ("held", megabytes(status.held_bytes)),
    )
    yield _pairs(
        ("received", f"{megabytes(server.per_second(received))}/s"),
        ("sent", f"{megabytes(server.per_second(sent))}/s"),
    )
    yield _errors(server)
    for recent in server.policy_calls:
        if recent.succeeded:
            yield Padding(_latency(console, recent), (1, 0, 0, 0))
            yield bar(console, _parts(recent), console.width - _FRAME)


def _rate(console: Console, server: Watched, now: float) -> Text:
    known = server.trouble is None
    text = Text(f"{number(server.rate) if known else '-':>7} calls/s  ", style="bold")
    columns = min(60, console.width - _FRAME - len(text))
    levels = _ASCII_LEVELS if console.options.ascii_only else _LEVELS
    rates = server.trend.rates(now, max(0, columns))
    most = max((rate for rate in rates if rate is not None), default=0.0)
    for rate in rates:
        text.append(" " if rate is None else _level(levels, rate, most), style="cyan")
    text.no_wrap = True
    return text


def _level(levels: str, rate: float, most: float) -> str:
    return levels[round(rate / most * (len(levels) - 1))] if most > 0 else levels[0]


def _pairs(*pairs: tuple[str, str]) -> Text:
    parts = [part for name, value in pairs for part in ((f"{name} ", DIM), f"{value}   ")]
    return Text.assemble(*parts)


def _errors(server: Watched) -> Text:
    errors = server.errors()
    if not errors:
        return Text("no call failed", style=DIM)
    text = Text.assemble(("failed ", DIM))
    for name, (calls, recent) in errors.items():
        rate = f" ({number(server.per_second(recent))}/s)" if recent else ""
        text.append(f"{name} {calls:,}{rate}   ", style=BAD if recent else DIM)
    return text


def _latency(console: Console, recent: RecentCalls) -> Table:
    method = recent.method.rpartition("/")[2]
    found = new_table(method, "all")
    for index, phase in enumerate(ServerTiming._fields):
        part = _FIRST_PART + index
        head = Text.assemble(swatch(console, part), " ", phase)
        found.add_column(head, justify="right", no_wrap=True)
    for name in ("p50", "p99"):
        times: list[Durations] = [recent.total, *(getattr(recent, p) for p in ServerTiming._fields)]
        found.add_row(name, *(duration(getattr(each, name) * 1e3) for each in times))
    return found


def _parts(recent: RecentCalls) -> list[float]:
    """Returns the medians of a call's parts in the order of `PARTS`; 0 for the client's own."""
    medians = [getattr(recent, phase).p50 for phase in ServerTiming._fields]
    before = [0.0] * _FIRST_PART
    return [*before, *medians, *[0.0] * (len(PARTS) - len(before) - len(medians))]
