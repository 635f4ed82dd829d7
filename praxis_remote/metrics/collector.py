# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The numbers: counted as calls end, or asked of the server when somebody looks.

A call costs a few microseconds here, so that prometheus_client's own counters, which
take a lock for each number, are not used: a list is filled by the server's thread alone,
and copied by whoever looks.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ..calls import METHODS
from ..episodes import REASONS
from ..errors import StatusCode
from ..health import CHECK, LIST, WATCH
from ..records import CallRecord
from ..reflection import REFLECTION
from ..stage import Stage
from ..status import ServerStatus
from ..timing import ServerTiming
from ..version import __version__

__all__ = ["Metrics"]

# Seconds, from the quickest call there is to a policy that compiles itself first.
# fmt: off
_BOUNDS = (
    50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)
# fmt: on

# Observations.
_BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

# What is called that is no method of ours may be anything, and shall be one label.
_OTHER = "other"
_LABEL_OF_PATH = {
    **{method.path: method.name for method in METHODS.values()},
    # By service and method, since there are others by the same names.
    **{path: path.rpartition(".")[2] for path in (CHECK, LIST, WATCH, *REFLECTION)},
}

_GAUGES = {
    "connections": ("praxis_remote_connections", "Connections that are open."),
    "in_flight": ("praxis_remote_in_flight_calls", "Calls that have begun and not ended."),
    "waiting": ("praxis_remote_waiting_calls", "Calls that wait for the policy."),
    "episodes": ("praxis_remote_episodes", "That the policy may remember, where they are ended."),
    "held_bytes": ("praxis_remote_held_bytes", "Of messages in flight, and of shared memory."),
    "uptime": ("praxis_remote_uptime_seconds", "Since the server was made."),
}


class Watched(Protocol):
    """A server that tells how it stands."""

    def status(self) -> ServerStatus:
        """Returns what it does at the moment."""
        raise NotImplementedError


class _Histogram:
    """How often something took how long, or was how large."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float] = _BOUNDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def tell(self, family: HistogramMetricFamily, *labels: str) -> None:
        # A list is copied at once; a sum that is a call ahead of it is no harm.
        counts = self._counts.copy()
        names = _bucket_names(self._bounds)
        family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), self._sum)


@lru_cache(maxsize=8)
def _bucket_names(bounds: Sequence[float]) -> tuple[str, ...]:
    return (*map(floatToGoString, bounds), "+Inf")


class _Calls:
    """What became of the calls of one method."""

    def __init__(self) -> None:
        self.by_status = {StatusCode.OK: 0}
        self.total = _Histogram()
        self.phases = tuple(_Histogram() for _ in ServerTiming._fields)
        self.request_bytes = self.response_bytes = 0

    def add(self, record: CallRecord) -> None:
        self.by_status[record.code] = self.by_status.get(record.code, 0) + 1
        self.total.add(record.total)
        for phase, seconds in zip(self.phases, record.timing, strict=True):
            if seconds:  # it was reached
                phase.add(seconds)
        self.request_bytes += record.request_bytes
        self.response_bytes += record.response_bytes


class Metrics(Collector):
    """Counts a server's calls, and tells Prometheus of them and of the server.

    Pass it to the server as one of its ``observers``, and the server to `watch`.

    Args:
        registry: Where to register; None for one of its own, which has the process's CPU
            time, memory and open files as well.

    Attributes:
        registry: What has these metrics.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # The policy's are told from the start, so that a rate can be told of the first call.
        self._calls = {label: _Calls() for label in METHODS}
        self._batches = _Histogram(_BATCH_BOUNDS)
        self._watched: Watched | None = None
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        self.registry = registry
        registry.register(self)

    def watch(self, server: Watched) -> None:
        """Asks a server how it stands whenever somebody looks, from now on."""
        self._watched = server

    def call_ended(self, record: CallRecord) -> None:
        """Takes note of a call."""
        label = _LABEL_OF_PATH.get(record.path, _OTHER)
        if (calls := self._calls.get(label)) is None:
            calls = self._calls[label] = _Calls()
        calls.add(record)
        if record.batch_size:
            self._batches.add(record.batch_size)

    def collect(self) -> Iterator[Metric]:
        """Returns everything as it is now."""
        build = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("praxis_remote_build", "What runs here.", value=build)
        yield from self._count()
        status = None if self._watched is None else self._watched.status()
        stage = Stage.STARTING if status is None else status.stage
        yield StateSetMetricFamily(
            "praxis_remote_stage",
            "How far the server is.",
            value={each.value: each is stage for each in Stage},
        )
        if status is not None:
            yield from _tell(status)

    def _count(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "praxis_remote_calls", "Calls that ended, by status.", labels=("method", "status")
        )
        totals = HistogramMetricFamily(
            "praxis_remote_call_duration_seconds",
            "From a call's first byte to its last.",
            labels=("method",),
        )
        phases = HistogramMetricFamily(
            "praxis_remote_call_phase_duration_seconds",
            "Of the calls that reached this phase.",
            labels=("method", "phase"),
        )
        received = CounterMetricFamily(
            "praxis_remote_request_bytes",
            "Of messages, as they came.",
            labels=("method",),
        )
        sent = CounterMetricFamily(
            "praxis_remote_response_bytes", "Of messages that were sent.", labels=("method",)
        )
        for method, seen in list(self._calls.items()):
            for code, count in list(seen.by_status.items()):
                calls.add_metric((method, code.name), count)
            seen.total.tell(totals, method)
            for phase, histogram in zip(ServerTiming._fields, seen.phases, strict=True):
                histogram.tell(phases, method, phase)
            received.add_metric((method,), seen.request_bytes)
            sent.add_metric((method,), seen.response_bytes)
        batches = HistogramMetricFamily(
            "praxis_remote_batch_observations",
            "That the policy got at once, for each call that was among them.",
        )
        self._batches.tell(batches)
        yield from (calls, totals, phases, received, sent, batches)


def _tell(status: ServerStatus) -> Iterator[Metric]:
    for field, (name, text) in _GAUGES.items():
        yield GaugeMetricFamily(name, text, value=getattr(status, field))
    ended = CounterMetricFamily(
        "praxis_remote_ended_episodes", "That the server has ended.", labels=("reason",)
    )
    for reason in REASONS:
        ended.add_metric((reason,), status.ended_episodes.get(reason, 0))
    yield ended
