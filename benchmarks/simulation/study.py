# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is asked of the simulation: which scenarios, and what is kept of their outcomes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from benchmarks.results import rounded
from benchmarks.rounds import Progress
from benchmarks.simulation.costs import Measured
from benchmarks.simulation.engine import simulate
from benchmarks.simulation.outcome import Outcome
from benchmarks.simulation.placement import PLACEMENTS
from benchmarks.simulation.scenario import Duration, Policy, Scenario

# ---------------------------------------------------------------- the setting

PAYLOAD = "2x224"
REPLICAS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
PER_REPLICA = 8
# As many as a policy that joins no calls can just carry.
PLAIN_PER_REPLICA = 4
STEP = Duration(0.05, 0.5)
# A batch of one takes 21 ms.
FIXED, ITEM = Duration(0.02), 0.001
BATCH, DELAY = 8, 0.005
PLAIN = Policy(FIXED, ITEM)
BATCHING = Policy(FIXED, ITEM, BATCH, DELAY)

CROWDS = (1, 2, 4, 8, 16, 32, 64)
CROWD_REPLICAS = 10
CROWD_BATCH = 64

# How busy the processes of a front may be for its share of the tail to stay small.
UTILIZATION = 0.7

# Of each client, and at least so many of all.
_CALLS_EACH, _FEWEST_CALLS = 40, 10_000

ONE, ENOUGH = "one", "enough"

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A scenario, and where its outcome belongs.

    Attributes:
        study: The question that it is part of.
        line: What varies between lines of a picture.
        amount: What varies along a line: replicas, or clients of each.
    """

    study: str
    line: str
    amount: int
    scenario: Scenario


def runs(measured: Measured, most: int = REPLICAS[-1]) -> list[Run]:
    """Returns everything that does not depend on the outcome of another run.

    Args:
        measured: What calls cost.
        most: Replicas; larger scenarios are left out.
    """
    return [run for run in _runs(measured) if run.scenario.replicas <= most]


def _runs(measured: Measured) -> Iterator[Run]:
    for replicas in REPLICAS:
        direct = scenario(measured, replicas)
        fewer = replace(scenario(measured, replicas, PLAIN_PER_REPLICA), policy=PLAIN)
        for placement in PLACEMENTS:
            yield Run("placement", placement, replicas, replace(direct, placement=placement))
            yield Run("plain", placement, replicas, replace(fewer, placement=placement))
        for kind in measured.origins:
            front = measured.front(kind, PAYLOAD)
            yield Run("front", f"{kind}-{ONE}", replicas, replace(direct, front=front))
    for clients in CROWDS:
        for line, policy in (
            ("plain", PLAIN),
            ("batches", replace(BATCHING, max_batch_size=CROWD_BATCH)),
        ):
            crowd = scenario(measured, CROWD_REPLICAS, clients)
            yield Run("crowd", line, clients, replace(crowd, policy=policy))


def scenario(measured: Measured, replicas: int, per_replica: int = PER_REPLICA) -> Scenario:
    """Returns so many replicas with batches and nothing before them."""
    clients = replicas * per_replica
    return Scenario(
        replicas=replicas,
        clients=clients,
        policy=BATCHING,
        step=STEP,
        server=measured.server(PAYLOAD),
        client=measured.client(PAYLOAD),
        calls=max(_FEWEST_CALLS, _CALLS_EACH * clients),
    )


def needed(calls_per_s: float, measured: Measured, kind: str, payload: str = PAYLOAD) -> int:
    """Returns how many processes of a front carry a rate without being too busy."""
    front = measured.front(kind, payload)
    return math.ceil(calls_per_s * (front.request.mean + front.reply.mean) / UTILIZATION)


def most_of_one(measured: Measured, kind: str, payload: str) -> float:
    """Returns the calls a second at which one process of a front has no time left."""
    front = measured.front(kind, payload)
    return 1 / (front.request.mean + front.reply.mean)


def carry_out(measured: Measured, progress: Progress, most: int = REPLICAS[-1]) -> list[Row]:
    """Returns the rows of all runs, those with fronts that are large enough included."""
    first = _simulated(runs(measured, most), progress)
    free = {
        row["amount"]: row["calls_per_s"]
        for row in first
        if row["study"] == "placement" and row["line"] == "least"
    }
    second = [
        Run("front", f"{kind}-{ENOUGH}", replicas, replace(direct, front=front))
        for replicas, rate in free.items()
        for kind in measured.origins
        for direct in [scenario(measured, replicas)]
        for front in [measured.front(kind, PAYLOAD, needed(rate, measured, kind))]
    ]
    return first + _simulated(second, progress)


def _simulated(todo: Sequence[Run], progress: Progress) -> list[Row]:
    # The longest first, so that no process is left alone with one at the end.
    order = sorted(todo, key=lambda run: -run.scenario.calls)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = {}
        for run, outcome in zip(
            order, pool.map(simulate, [r.scenario for r in order]), strict=True
        ):
            progress(f"{run.study} {run.line}: {run.amount}")
            rows[run] = row_of(run, outcome)
    return [rows[run] for run in todo]


def row_of(run: Run, outcome: Outcome) -> Row:
    """Returns what is kept of a run."""
    front = run.scenario.front
    row = {
        "study": run.study,
        "line": run.line,
        "amount": run.amount,
        "processes": 0 if front is None else front.processes,
        **outcome.as_dict(),
    }
    found: Row = rounded(row)
    return found
