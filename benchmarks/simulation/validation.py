# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The simulator against reality, as far as one small machine goes.

Servers and clients are real processes; policies wait, as for a GPU, so that the machine's few
cores are not what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.figures import percentile
from benchmarks.peers.many import STEP_SPREAD
from benchmarks.peers.praxis import TIMEOUT, where
from benchmarks.rounds import Progress
from benchmarks.simulation.costs import Measured
from benchmarks.simulation.engine import simulate
from benchmarks.simulation.processes import connect, crowd, serving, times_of
from benchmarks.simulation.scenario import Duration, Policy, Scenario
from praxis_remote import PolicyClient

# A policy that waits so long, and simulators that step so long.
_POLICY, _STEP = 0.01, 0.03
_CALLS = 20_000

# Of the time, what passes until all are at it.
_RAMP = 0.2


@dataclass(frozen=True)
class Case:
    """Some clients of some replicas."""

    payload: str
    replicas: int
    clients: int
    policy: float
    step: float


CASES = [
    *(Case("state", 1, clients, _POLICY, 0.0) for clients in (1, 4, 16)),
    *(Case("2x224", replicas, 16, _POLICY, _STEP) for replicas in (1, 2)),
    *(Case("2x224", replicas, 4, _POLICY, _STEP) for replicas in (1, 2)),
    # Nothing but the server's own CPU.
    Case("2x224", 1, 16, 0.0, 0.0),
]


def observe(seconds: float, rounds: int, progress: Progress) -> list[dict[str, Any]]:
    """Returns what real processes do in each case: in the round in which they did most.

    What else the machine does only ever takes from it.
    """
    rows = []
    for case in CASES:
        progress(f"reality: {case}")
        found = [_observe(case, seconds) for _ in range(rounds)]
        rows.append({**asdict(case), **max(found, key=lambda each: each["calls_per_s"])})
    return rows


def _observe(case: Case, seconds: float) -> dict[str, float]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving("waiting", seconds=case.policy))
            for _ in range(case.replicas)
        ]
        addresses = [server.address for server in servers]
        clients = stack.enter_context(crowd())
        connect(clients, *addresses, clients=case.clients, step=case.step, ramp=_RAMP)
        times_of(clients, case.payload, seconds / 4)
        times = times_of(clients, case.payload, seconds)
        return {"waited": _waited(addresses[0]), **_figures(times, case)}


def _waited(address: str) -> float:
    """Returns how long the policy's waits took in fact: systems wake late."""
    with PolicyClient(*where(address), timeout=TIMEOUT) as client:
        _, info = client.health_check()
    return float(info)


def _figures(times: list[float], case: Case) -> dict[str, float]:
    mean = sum(times) / len(times)
    return {
        # In a closed loop each client ends a call in the time of a call and a step.
        "calls_per_s": case.clients / (mean + case.step),
        "p50": percentile(times, 50),
        "p99": percentile(times, 99),
    }


def predicted(row: Mapping[str, Any], measured: Measured) -> dict[str, float]:
    """Returns what the simulator has for a case."""
    outcome = simulate(
        Scenario(
            replicas=row["replicas"],
            clients=row["clients"],
            policy=Policy(Duration(row["waited"])),
            step=Duration(row["step"], STEP_SPREAD),
            server=measured.server(row["payload"]),
            client=measured.client(row["payload"]),
            calls=_CALLS,
        )
    )
    return {"calls_per_s": outcome.calls_per_s, "p50": outcome.p50, "p99": outcome.p99}


def errors(measured: Measured) -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    """Yields each case with what is predicted as a share of what was seen, less one."""
    for row in measured.validation:
        found = predicted(row, measured)
        yield row, {name: value / row[name] - 1 for name, value in found.items()}
