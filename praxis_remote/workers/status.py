# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What several servers do, as if they were one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..schema.generated_monitor import (
    CallCount,
    Durations,
    RecentCalls,
    ServerStage,
    StatusResponse,
)
from ..timing import ServerTiming

__all__ = ["join_statuses"]

# The one that serves tells for all: calls may be sent.
_BEST_STAGE = (ServerStage.SERVING, ServerStage.WARMING, ServerStage.STARTING, ServerStage.DRAINING)

_SUMS = (
    "connections",
    "in_flight",
    "waiting",
    "held_bytes",
    "request_bytes",
    "response_bytes",
)

_SUMS_OF_METHOD = ("calls", "rate", "request_bytes", "response_bytes", "succeeded")

_PHASES = ("total", *ServerTiming._fields)
_PERCENTILES = ("p50", "p90", "p99", "max")


def join_statuses(statuses: Sequence[StatusResponse]) -> StatusResponse:
    """Returns the sum of several servers, of which there is one at least.

    A percentile is the largest of theirs, which that of all calls together does not exceed.
    """
    stages = {status.stage for status in statuses}
    return StatusResponse(
        stage=next((stage for stage in _BEST_STAGE if stage in stages), statuses[0].stage),
        uptime=max(status.uptime for status in statuses),
        model_info="; ".join(dict.fromkeys(s.model_info for s in statuses if s.model_info)),
        version=statuses[0].version,
        covered_seconds=max(status.covered_seconds for status in statuses),
        counts=_join_counts(count for status in statuses for count in status.counts),
        recent=_join_recent(recent for status in statuses for recent in status.recent),
        **{name: sum(getattr(status, name) for status in statuses) for name in _SUMS},
    )


def _join_counts(counts: Iterable[CallCount]) -> list[CallCount]:
    joined: dict[tuple[str, int], CallCount] = {}
    for count in counts:
        into = joined.setdefault(
            (count.method, count.code), CallCount(method=count.method, code=count.code)
        )
        into.calls += count.calls
        into.recent += count.recent
    return [joined[key] for key in sorted(joined)]


def _join_recent(recents: Iterable[RecentCalls]) -> list[RecentCalls]:
    by_method: dict[str, list[RecentCalls]] = {}
    for recent in recents:
        by_method.setdefault(recent.method, []).append(recent)
    return [_join_method(method, by_method[method]) for method in sorted(by_method)]


def _join_method(method: str, recents: Sequence[RecentCalls]) -> RecentCalls:
    measured = [recent for recent in recents if recent.succeeded]
    durations: dict[str, Any] = {
        phase: Durations(
            **{
                name: max(getattr(getattr(recent, phase), name) for recent in measured)
                for name in _PERCENTILES
            }
        )
        for phase in (_PHASES if measured else ())
    }
    sums: dict[str, Any] = {
        name: sum(getattr(recent, name) for recent in recents) for name in _SUMS_OF_METHOD
    }
    return RecentCalls(method=method, **sums, **durations)
