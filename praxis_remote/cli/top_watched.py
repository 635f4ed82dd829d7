# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What `top` knows of a server, from asking it again and again. No terminal, and no clock."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from ..calls import PREDICT, RESET
from ..errors import BadResponseError, RemoteError, StatusCode, UnimplementedError
from ..schema.generated_monitor import Durations, RecentCalls, StatusResponse
from ..timing import ServerTiming

__all__ = ["POLICY", "Trend", "Trouble", "Watched", "ask", "keep_asking", "status_name"]

POLICY = (PREDICT.path, RESET.path)
"""The methods whose calls are work for the policy."""

_OLDER = "it does not tell its status: it is older than praxis-remote 0.2, or something else"

# How far back the trend goes.
_COLUMN_SECONDS = 3.0
_COLUMNS = 60

_PHASES = ("total", *ServerTiming._fields)
_PERCENTILES = ("p50", "p90", "p99", "max")


class Trend:
    """How many calls a second there were in the last minutes, in columns of some seconds.

    Args:
        seconds: Of each column.
    """

    def __init__(self, seconds: float = _COLUMN_SECONDS) -> None:
        self._seconds = seconds
        # Calls and seconds that are known of, by number of the column.
        self._columns: dict[int, tuple[int, float]] = {}
        self._last: tuple[float, int] | None = None

    def look(self, now: float, uptime: float, calls: int) -> None:
        """Takes note of how many calls there have been.

        Args:
            now: When that is.
            uptime: For how long the server counts.
            calls: What it counted.
        """
        last, self._last = self._last, (uptime, calls)
        if last is None or uptime <= last[0] or calls < last[1]:
            return  # the first look, the same answer again, or another server
        column = int(now // self._seconds)
        known, seconds = self._columns.pop(column, (0, 0.0))
        self._columns[column] = known + calls - last[1], seconds + uptime - last[0]
        while len(self._columns) > _COLUMNS:
            del self._columns[next(iter(self._columns))]

    def lose(self) -> None:
        """Takes note that nobody knows what happens until the next look."""
        self._last = None

    def rates(self, now: float, columns: int) -> list[float | None]:
        """Returns the last columns, the newest last; None for those that nothing is known of."""
        newest = int(now // self._seconds)
        found = [self._columns.get(newest - age) for age in reversed(range(columns))]
        return [None if each is None else each[0] / each[1] for each in found]


class Trouble(NamedTuple):
    """Why a server does not tell what it does."""

    status: StatusCode
    text: str


class Watched:
    """A server that is asked again and again.

    Args:
        address: Its address.
        trend: Where what it says is noted.

    Attributes:
        status: What it said last; None before that.
        trouble: Why it says nothing at the moment; None if it does.
    """

    def __init__(self, address: str, trend: Trend | None = None) -> None:
        self.address = address
        self.trend = trend or Trend()
        self.status: StatusResponse | None = None
        self.trouble: Trouble | None = None

    def answered(self, now: float, status: StatusResponse) -> None:
        """Takes what it says."""
        try:
            _check_numbers(status)
        except BadResponseError as error:
            self.failed(error)
            return
        self.status, self.trouble = status, None
        calls = sum(each.calls for each in status.counts if each.method in POLICY)
        self.trend.look(now, status.uptime, calls)

    def failed(self, error: RemoteError) -> None:
        """Takes the news that it says nothing."""
        old = isinstance(error, UnimplementedError)
        self.trouble = Trouble(error.code(), printable(_OLDER if old else error.details()))
        self.trend.lose()

    @property
    def policy_calls(self) -> list[RecentCalls]:
        """The recent calls of the policy, those that predict first."""
        recent = {} if self.status is None else {each.method: each for each in self.status.recent}
        return [recent[method] for method in POLICY if method in recent]

    @property
    def rate(self) -> float:
        """The recent calls of the policy, a second."""
        return sum(each.rate for each in self.policy_calls)

    @property
    def model(self) -> str:
        """What the policy says of itself, without what a terminal might act on."""
        return "" if self.status is None else printable(self.status.model_info)

    @property
    def stage(self) -> str:
        """How far the server has come, in lower case."""
        return "" if self.status is None else (self.status.stage.name or "unknown").lower()

    def per_second(self, amount: float) -> float:
        """Returns how much of what was recent there was in each second."""
        covered = 0.0 if self.status is None else self.status.covered_seconds
        return amount / covered if covered > 0 else 0.0

    def errors(self) -> dict[str, tuple[int, int]]:
        """Returns how many calls failed with each status: all, and the recent ones."""
        found: dict[str, tuple[int, int]] = {}
        for each in [] if self.status is None else self.status.counts:
            if each.code != StatusCode.OK.value:
                name = status_name(each.code)
                calls, recent = found.get(name, (0, 0))
                found[name] = calls + each.calls, recent + each.recent
        return found

    def as_dict(self) -> dict[str, Any]:
        """Returns all that is known, for JSON: what is not known is None."""
        trouble, status = self.trouble, self.status
        known: dict[str, Any] = {
            "address": self.address,
            "trouble": None if trouble is None else trouble._asdict() | {"status": trouble[0].name},
        }
        if status is None:
            return known
        return known | {
            "stage": self.stage,
            "uptime_s": status.uptime,
            "model_info": status.model_info,
            "version": status.version,
            "connections": status.connections,
            "in_flight": status.in_flight,
            "waiting": status.waiting,
            "held_bytes": status.held_bytes,
            "request_bytes": status.request_bytes,
            "response_bytes": status.response_bytes,
            "counts": [
                {
                    "method": each.method,
                    "status": status_name(each.code),
                    "calls": each.calls,
                    "recent": each.recent,
                }
                for each in status.counts
            ],
            "covered_s": status.covered_seconds,
            "recent": [_recent_as_dict(each) for each in status.recent],
        }


def _recent_as_dict(recent: RecentCalls) -> dict[str, Any]:
    return {
        "method": recent.method,
        "calls": recent.calls,
        "calls_per_s": recent.rate,
        "request_bytes": recent.request_bytes,
        "response_bytes": recent.response_bytes,
        "succeeded": recent.succeeded,
        "phases_ms": None
        if not recent.succeeded
        else {phase: _in_milliseconds(getattr(recent, phase)) for phase in _PHASES},
    }


def _in_milliseconds(found: Durations) -> Mapping[str, float]:
    return {name: getattr(found, name) * 1e3 for name in _PERCENTILES}


def _check_numbers(status: StatusResponse) -> None:
    """Raises for an answer with numbers that nothing can be."""
    found = {"uptime": [status.uptime], "covered_seconds": [status.covered_seconds]}
    found["rate"] = [recent.rate for recent in status.recent]
    for phase in _PHASES:
        times: list[Durations] = [getattr(recent, phase) for recent in status.recent]
        found[phase] = [getattr(time, name) for time in times for name in _PERCENTILES]
    for name, numbers in found.items():
        for number in numbers:
            if not 0 <= number < math.inf:
                text = f"its answer is none: {name} has {number!r}, at least 0 is needed"
                raise BadResponseError(text)


def printable(text: str) -> str:
    """Returns text of others without what a terminal might act on."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def status_name(code: int) -> str:
    """Returns gRPC's name of a status."""
    try:
        return StatusCode(code).name
    except ValueError:
        return f"STATUS_{code}"


Question = Callable[[], Awaitable[StatusResponse]]


async def ask(server: Watched, question: Question, clock: Callable[[], float]) -> None:
    """Asks a server once, and has it take the answer."""
    try:
        status = await question()
    except RemoteError as error:
        server.failed(error)
    else:
        server.answered(clock(), status)


async def keep_asking(
    server: Watched,
    question: Question,
    clock: Callable[[], float],
    pause: Callable[[], Awaitable[object]],
    tell: Callable[[], object],
) -> None:
    """Asks a server until cancelled.

    Args:
        server: Who takes the answers.
        question: Asks.
        clock: Seconds.
        pause: Waits between one question and the next.
        tell: Called after each answer.
    """
    while True:
        await ask(server, question, clock)
        tell()
        await pause()
