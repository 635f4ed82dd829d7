# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The service that tells what a server does at the moment, for those who watch it.

It asks the policy nothing, so that it answers while the policy works. What an answer
costs, it costs once for all who ask at about the same time.
"""

from __future__ import annotations

import bisect
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from .calls import Deadline
from .errors import InvalidValueError, StatusCode
from .records import CallRecord
from .schema.generated_monitor import (
    CallCount,
    Durations,
    RecentCalls,
    ServerStage,
    StatusRequest,
    StatusResponse,
)
from .stage import Stage
from .status import ServerStatus
from .timing import ServerTiming
from .version import __version__

__all__ = ["GetStatus", "Monitor"]

GetStatus: TypeAlias = Callable[[StatusRequest, "Deadline | None"], Awaitable[StatusResponse]]
"""Answers what a server does."""

# How far back calls may be looked at. Few, since for each an answer is kept.
_WINDOWS = (1.0, 5.0, 10.0, 60.0, 300.0)
_DEFAULT_WINDOW = 10.0

# How long an answer is given again: for seconds at least, and for as long as keeps those of
# one window below this share of the event loop's time, however much there is to count.
_FRESH = 0.2
_SHARE = 0.02

_STAGES: dict[Stage, ServerStage] = {
    Stage.STARTING: ServerStage.STARTING,
    Stage.WARMING: ServerStage.WARMING,
    Stage.SERVING: ServerStage.SERVING,
    Stage.DRAINING: ServerStage.DRAINING,
}

_PERCENT = (50, 90, 99, 100)


class _Answer(NamedTuple):
    """What all get until a time."""

    response: StatusResponse
    until: float


class Monitor:
    """Answers what a server does.

    Args:
        status: Returns that.
        recent_calls: Returns the last calls that ended, oldest first.
        model_info: Returns what the policy last said of itself.
        methods: The paths of the methods that the server has. Callers make up others, of
            which there is no end, so that these are told together.
        clock: Seconds, as calls are recorded with.
    """

    def __init__(
        self,
        status: Callable[[], ServerStatus],
        recent_calls: Callable[[], Sequence[CallRecord]],
        model_info: Callable[[], str],
        methods: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._recent_calls = recent_calls
        self._model_info = model_info
        self._methods = methods
        self._clock = clock
        self._answers: dict[float, _Answer] = {}

    async def get_status(
        self,
        request: StatusRequest,
        deadline: Deadline | None,  # noqa: ARG002 - it waits for nobody
    ) -> StatusResponse:
        """Answers one caller.

        Raises:
            InvalidValueError: The request's seconds are negative, or NaN.
        """
        window = _window(request.seconds)
        begun = self._clock()
        answer = self._answers.get(window)
        if answer is None or begun >= answer.until:
            response = self._look(window, begun)
            cost = self._clock() - begun
            answer = _Answer(response, begun + max(_FRESH, cost / _SHARE))
            self._answers[window] = answer
        return answer.response

    def _look(self, window: float, now: float) -> StatusResponse:
        status = self._status()
        counts: Counter[tuple[str, StatusCode]] = Counter()
        for (path, code), count in status.counts.items():
            counts[self._method(path), code] += count
        records = self._recent_calls()
        covered = min(window, status.uptime)
        if records and len(records) < counts.total():
            covered = min(covered, now - records[0].ended)
        begin = bisect.bisect_left(records, now - covered, key=lambda record: record.ended)
        recent: dict[str, list[CallRecord]] = {}
        ended: Counter[tuple[str, StatusCode]] = Counter()
        for record in records[begin:]:
            method = self._method(record.path)
            recent.setdefault(method, []).append(record)
            if record.code is not StatusCode.OK:
                ended[method, record.code] += 1
        told = [_tell(method, recent[method], covered) for method in sorted(recent)]
        ended.update({(each.method, StatusCode.OK): each.succeeded for each in told})
        return StatusResponse(
            stage=_STAGES[status.stage],
            uptime=status.uptime,
            model_info=self._model_info(),
            version=__version__,
            connections=status.connections,
            in_flight=status.in_flight,
            waiting=status.waiting,
            held_bytes=status.held_bytes,
            request_bytes=status.request_bytes,
            response_bytes=status.response_bytes,
            counts=[
                CallCount(method=key[0], code=key[1].value, calls=count, recent=ended[key])
                for key, count in sorted(counts.items(), key=_by_number)
            ],
            covered_seconds=covered,
            recent=told,
        )

    def _method(self, path: str) -> str:
        return path if path in self._methods else ""


def _window(seconds: float) -> float:
    if not seconds >= 0:
        raise InvalidValueError(f"seconds: {seconds!r}; at least 0 is needed, 0 is for 10")
    index = bisect.bisect_left(_WINDOWS, seconds or _DEFAULT_WINDOW)
    return _WINDOWS[min(index, len(_WINDOWS) - 1)]


def _tell(method: str, records: Sequence[CallRecord], covered: float) -> RecentCalls:
    """Returns what is told of the recent calls of one method."""
    went_well = [record for record in records if record.code is StatusCode.OK]
    return RecentCalls(
        method=method,
        calls=len(records),
        rate=len(records) / covered if covered > 0 else 0.0,
        request_bytes=sum(record.request_bytes for record in records),
        response_bytes=sum(record.response_bytes for record in records),
        succeeded=len(went_well),
        **_durations(went_well) if went_well else {},
    )


def _durations(records: Sequence[CallRecord]) -> dict[str, Durations]:
    """Returns the percentiles of each phase."""
    timings = [record.timing for record in records]
    durations = {
        phase: _percentiles([timing[index] for timing in timings])
        for index, phase in enumerate(ServerTiming._fields)
    }
    return {"total": _percentiles([record.total for record in records]), **durations}


def _percentiles(seconds: Sequence[float]) -> Durations:
    """Returns by nearest rank the least times that so many calls do not exceed."""
    ordered = np.sort(np.array(seconds))
    ranks = [math.ceil(len(ordered) * percent / 100) for percent in _PERCENT]
    return Durations(*(float(ordered[rank - 1]) for rank in ranks))


def _by_number(item: tuple[tuple[str, StatusCode], int]) -> tuple[str, int]:
    (method, code), _ = item
    return method, code.value
