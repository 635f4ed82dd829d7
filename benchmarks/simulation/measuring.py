# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a call costs servers and fronts, by payload: CPU of their processes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import NamedTuple, TypeAlias

from benchmarks import machine
from benchmarks.figures import percentile
from benchmarks.payloads import payload
from benchmarks.process import Process
from benchmarks.rounds import Progress
from benchmarks.simulation import envoy, validation
from benchmarks.simulation.costs import PAYLOADS, Cost, Costs, Measured
from benchmarks.simulation.processes import Served, connect, crowd, serving, times_of

# Connections that call without a pause.
_BUSY = 16
_CONNECTIONS = 64

RAY, ENVOY = "ray", "envoy"

ORIGINS = {
    RAY: "the ingress of praxis_remote.ray, on the same machine on 2026-11-22, one call at a time",
    ENVOY: "measured with the others, one worker",
}

# Ray is too large to be asked each time; who measures it anew changes these. Seconds of CPU.
RAY_INGRESS = {"state": 0.38e-3, "2x224": 0.46e-3, "16x2x224": 3.4e-3}


class Figures(NamedTuple):
    """What one round found of a payload."""

    cost: Cost
    latency: float
    spread: float


Start: TypeAlias = Callable[[], AbstractContextManager[Served]]


def measure(seconds: float, rounds: int, progress: Progress) -> Measured:
    """Measures everything, each thing for so many seconds, so many times.

    The least of each counts: what else the machine does only ever adds to it.
    """
    starts: dict[str, Start] = {"server": partial(serving, "waiting")}
    if envoy.is_here():
        starts[ENVOY] = _envoy
    found: dict[str, list[dict[str, Figures]]] = {kind: [] for kind in starts}
    for number in range(rounds):
        for kind, start in starts.items():
            progress(f"round {number + 1} of {rounds}: {kind}")
            found[kind].append(_round(start, seconds))
    progress("connections")
    payloads = {}
    for name in PAYLOADS:
        of = {kind: [figures[name] for figures in each] for kind, each in found.items()}
        server, fronts = of.pop("server"), {kind: _least(each) for kind, each in of.items()}
        ingress = Cost(RAY_INGRESS[name], RAY_INGRESS[name])
        payloads[name] = Costs(
            bytes=payload(name).bytes,
            latency=min(each.latency for each in server),
            spread=min(each.spread for each in server),
            server=_least(server),
            fronts={RAY: ingress, **fronts},
        )
    return Measured(
        payloads=payloads,
        connection=_connection(starts["server"], payloads[PAYLOADS[0]].server),
        origins={kind: ORIGINS[kind] for kind in payloads[PAYLOADS[0]].fronts},
        machine=machine.describe(),
        date=machine.today(),
        validation=validation.observe(seconds, rounds, progress),
    )


@contextmanager
def _envoy() -> Iterator[Served]:
    with serving("waiting") as upstream, envoy.Envoy(upstream.address) as process:
        yield Served(process.address, process.cpu_seconds)


def _round(start: Start, seconds: float) -> dict[str, Figures]:
    """Returns figures by payload."""
    with start() as served, crowd() as callers:
        return {name: _figures(served, callers, name, seconds) for name in PAYLOADS}


def _figures(served: Served, callers: Process, name: str, seconds: float) -> Figures:
    alone, times = _cpu(served, callers, name, seconds, clients=1)
    busy, _ = _cpu(served, callers, name, seconds, clients=_BUSY)
    usual = [each for each in times if each <= percentile(times, 99)]
    spread = min(1.0, statistics.pstdev(usual) / statistics.fmean(usual))
    return Figures(Cost(alone, busy), percentile(times, 50), spread)


def _cpu(
    served: Served, callers: Process, name: str, seconds: float, clients: int
) -> tuple[float, list[float]]:
    connect(callers, served.address, clients=clients)
    times_of(callers, name, seconds / 4)
    before = served.cpu()
    times = times_of(callers, name, seconds)
    return (served.cpu() - before) / len(times), times


def _connection(start: Start, call: Cost) -> float:
    """Returns the CPU of a new connection: that of first calls, less what later ones cost."""
    with start() as served, crowd() as callers:
        connect(callers, served.address, clients=_CONNECTIONS)
        before = served.cpu()
        callers.ask("measure", name=PAYLOADS[0], least=1, most=1, seconds=0)
        return max(0.0, (served.cpu() - before) / _CONNECTIONS - call.busy)


def _least(figures: list[Figures]) -> Cost:
    costs = [each.cost for each in figures]
    return Cost(min(cost.alone for cost in costs), min(cost.busy for cost in costs))
