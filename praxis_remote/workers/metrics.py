# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The metrics of all workers from one port, each with its worker's number as a label."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..metrics import Metrics
from .group import Group

__all__ = ["GroupMetrics", "write_metrics"]

_LABEL = "worker"

# Beyond the group's own patience with a worker.
_ANSWER_SECONDS = 5.0


def write_metrics(metrics: Metrics) -> bytes:
    """Returns all metrics of a worker, as it sends them."""
    families = [
        [
            family.name,
            family.documentation,
            family.type,
            family.unit,
            [s[:3] for s in family.samples],
        ]
        for family in metrics.registry.collect()
    ]
    return json.dumps(families).encode()


class GroupMetrics(Collector):
    """Asks the workers whenever somebody looks.

    Attributes:
        registry: What has these metrics.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._group: Group | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, group: Group) -> None:
        """Asks a group, which lives on the running loop, from now on."""
        self._group, self._loop = group, asyncio.get_running_loop()

    def collect(self) -> Iterator[Metric]:
        """Returns everything as it is now."""
        group, loop = self._group, self._loop
        if group is None or loop is None:
            return
        yield from _tell_workers(group)
        try:
            asked = asyncio.run_coroutine_threadsafe(group.ask("metrics"), loop)
            answers = asked.result(_ANSWER_SECONDS)
        except (RuntimeError, concurrent.futures.TimeoutError):
            return  # the end is near
        families: dict[str, Metric] = {}
        for worker, answer in answers:
            for name, text, kind, unit, samples in json.loads(answer):
                family = families.setdefault(name, Metric(name, text, kind, unit))
                for sample, labels, value in samples:
                    family.add_sample(sample, {_LABEL: str(worker.index), **labels}, value)
        yield from families.values()


def _tell_workers(group: Group) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "praxis_remote_worker_up", "Whether a worker takes connections.", labels=[_LABEL]
    )
    restarts = CounterMetricFamily(
        "praxis_remote_worker_restarts", "How often a worker was started again.", labels=[_LABEL]
    )
    for worker in group.workers:
        up.add_metric([str(worker.index)], worker.up)
        restarts.add_metric([str(worker.index)], worker.restarts)
    yield from (up, restarts)
