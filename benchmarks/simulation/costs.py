# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a call costs each process on its way: measured once, read by every simulation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import rounded
from benchmarks.simulation.scenario import Duration, Front, Server

SCHEMA = 1
PAYLOADS = ("state", "2x224", "16x2x224")
PATH = Path(__file__).resolve().parents[1] / "results" / "service-times.json"


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU that a call takes of one process.

    Attributes:
        alone: With one call at a time.
        busy: With several connections that call without a pause, which is what counts where
            something is saturated: a process that does not sleep between calls is faster.
    """

    alone: float
    busy: float


@dataclass(frozen=True)
class Costs:
    """What was measured of one payload.

    Attributes:
        bytes: Of the arrays that go over.
        latency: Median seconds of a whole call with one client, nothing between it and the server.
        spread: Of the times of such calls: their standard deviation as a share of the mean,
            without the slowest hundredth.
        server: CPU of the server, with a policy that costs nothing.
        fronts: CPU of each kind of front.
    """

    bytes: int
    latency: float
    spread: float
    server: Cost
    fronts: dict[str, Cost]


@dataclass(frozen=True)
class Measured:
    """Everything that simulations take from reality.

    Attributes:
        payloads: Costs of each.
        connection: Seconds of CPU that a new connection costs a server; taken for fronts as well.
        origins: Where the figures of each front come from.
        machine: Where it was measured.
        date: When.
        validation: What real processes did; see `validation`.
    """

    payloads: dict[str, Costs]
    connection: float
    origins: dict[str, str]
    machine: dict[str, Any]
    date: str
    validation: list[dict[str, Any]]

    def server(self, payload: str) -> Server:
        """Returns the process of a replica."""
        costs = self.payloads[payload]
        return Server(*self._halves(costs.server.busy, self.payloads["state"].server.busy, costs))

    def front(self, kind: str, payload: str, processes: int = 1) -> Front:
        """Returns a front of some kind."""
        costs = self.payloads[payload]
        small = self.payloads["state"].fronts[kind].busy
        request, reply = self._halves(costs.fronts[kind].busy, small, costs)
        return Front(processes, request, reply, Duration(self.connection))

    def client(self, payload: str) -> Duration:
        """Returns what is left of a lone call's latency: the client's own work, the way, waking."""
        costs = self.payloads[payload]
        return Duration(max(0.0, costs.latency - costs.server.busy))

    @staticmethod
    def _halves(whole: float, small: float, costs: Costs) -> tuple[Duration, Duration]:
        """Returns the parts of request and reply.

        A reply is small whatever was asked, and costs half of what a small call does.
        """
        reply = min(small, whole) / 2
        return Duration(whole - reply, costs.spread), Duration(reply, costs.spread)


def write(path: Path, measured: Measured) -> None:
    """Writes it as JSON, rounded to what it is worth."""
    text = json.dumps(rounded({"schema": SCHEMA, **asdict(measured)}), indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def read(path: Path = PATH) -> Measured:
    """Returns what was measured.

    Raises:
        ValueError: It was written by another version.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if (schema := found.pop("schema")) != SCHEMA:
        raise ValueError(f"{path}: schema {schema}; known: {SCHEMA}")
    payloads = {name: _costs(each) for name, each in found.pop("payloads").items()}
    return Measured(payloads=payloads, **found)


def _costs(found: dict[str, Any]) -> Costs:
    fronts = {kind: Cost(**each) for kind, each in found.pop("fronts").items()}
    return Costs(server=Cost(**found.pop("server")), fronts=fronts, **found)
