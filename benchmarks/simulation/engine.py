# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The simulation: calls go from clients through the front to replicas, and back.

```
client ─▶ front ─▶ replica receives ─▶ policy, in a batch ─▶ replica sends ─▶ front ─▶ client
```

Front processes, replica processes and policies work on one thing at a time, in turn. A front
process and the process of a replica each have a core of their own, and each policy has a
device of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from benchmarks.simulation.batches import Batches
from benchmarks.simulation.events import Events
from benchmarks.simulation.line import Line
from benchmarks.simulation.outcome import Outcome, percentiles
from benchmarks.simulation.placement import PLACEMENTS
from benchmarks.simulation.scenario import Duration, Scenario

# Of the calls that are recorded, how many come before them.
_WARM_SHARE = 5


def simulate(scenario: Scenario) -> Outcome:
    """Returns what comes of a scenario."""
    return Simulation(scenario).run()


class Simulation:
    """One run of a scenario. Clients, and their calls, go by number: each has one at a time."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._events = Events()
        self._random = Random(scenario.seed)
        self._place_lines()
        self._place_clients()
        self._draw_times()
        # Since when calls count, how many do, and how long they took.
        self._counting_since = 0.0
        self._wanted = -(-scenario.calls // _WARM_SHARE)
        self._latencies: list[float] = []
        # Calls under way, and their sum over time.
        self._under_way = 0
        self._seconds_under_way = 0.0
        self._changed = 0.0
        self._busy_before: tuple[list[float], list[float], int] = ([], [], 0)

    def _place_lines(self) -> None:
        scenario = self._scenario
        self._cores = [Line() for _ in range(scenario.replicas)]
        fixed = self._drawing(scenario.policy.fixed)
        self._policies = [
            Batches(scenario.policy, self._events, fixed, self._decide)
            for _ in range(scenario.replicas)
        ]
        front = scenario.front
        self._fronts = [] if front is None else [Line() for _ in range(front.processes)]
        self._doors = [
            self._fronts[int(self._random.random() * len(self._fronts))] if self._fronts else Line()
            for _ in range(scenario.clients)
        ]

    def _place_clients(self) -> None:
        scenario = self._scenario
        placement = PLACEMENTS[scenario.placement]
        self._placement = placement(scenario.replicas, scenario.clients, self._random)
        self._homes = [self._placement.place(client) for client in range(scenario.clients)]
        # They began their episodes at different times.
        self._left = [
            1 + int(self._random.random() * scenario.episode) for _ in range(scenario.clients)
        ]
        self._began = [0.0] * scenario.clients

    def _draw_times(self) -> None:
        scenario = self._scenario
        self._step_time = self._drawing(scenario.step)
        self._client_time = self._drawing(scenario.client)
        self._receive_time = self._drawing(scenario.server.request)
        self._send_time = self._drawing(scenario.server.reply)
        if scenario.front is not None:
            self._request_time = self._drawing(scenario.front.request)
            self._reply_time = self._drawing(scenario.front.reply)
            self._connection_time = self._drawing(scenario.front.connection)

    def _drawing(self, duration: Duration) -> Callable[[], float]:
        """Returns what draws such times."""
        mean, varying = duration.mean, duration.mean * duration.spread
        if not varying:
            return lambda: mean
        least, rate, draw = mean - varying, 1 / varying, self._random.expovariate
        return lambda: least + draw(rate)

    # ------------------------------------------------------------ the run

    def run(self) -> Outcome:
        """Runs until enough calls are recorded."""
        step = self._step_time
        for client in range(self._scenario.clients):
            ready = 0.0
            if self._fronts:
                ready = self._doors[client].serve(0.0, self._connection_time())
            # They are not in step with each other.
            self._events.plan(ready + self._random.random() * step(), self._call, client)
        self._events.run()
        self._begin_counting()
        self._events.run()
        return self._outcome()

    def _begin_counting(self) -> None:
        self._count(0)
        self._counting_since = self._events.now
        self._seconds_under_way = 0.0
        self._latencies = []
        self._wanted = self._scenario.calls
        self._busy_before = self._busy()

    def _busy(self) -> tuple[list[float], list[float], int]:
        return (
            [line.busy for line in self._fronts],
            [policy.busy for policy in self._policies],
            sum(policy.started for policy in self._policies),
        )

    def _count(self, change: int) -> None:
        """Notes that so many calls more are under way."""
        self._seconds_under_way += self._under_way * (self._events.now - self._changed)
        self._changed = self._events.now
        self._under_way += change

    # ------------------------------------------------------------ a call

    def _call(self, client: int) -> None:
        self._count(1)
        events = self._events
        self._began[client] = events.now
        there = events.now + self._client_time()
        events.plan(there, self._enter if self._fronts else self._arrive, client)

    def _enter(self, client: int) -> None:
        events = self._events
        there = self._doors[client].serve(events.now, self._request_time())
        events.plan(there, self._arrive, client)

    def _arrive(self, client: int) -> None:
        events = self._events
        there = self._cores[self._homes[client]].serve(events.now, self._receive_time())
        events.plan(there, self._infer, client)

    def _infer(self, client: int) -> None:
        self._policies[self._homes[client]].join(client)

    def _decide(self, client: int) -> None:
        events = self._events
        there = self._cores[self._homes[client]].serve(events.now, self._send_time())
        events.plan(there, self._leave if self._fronts else self._return, client)

    def _leave(self, client: int) -> None:
        events = self._events
        there = self._doors[client].serve(events.now, self._reply_time())
        events.plan(there, self._return, client)

    def _return(self, client: int) -> None:
        self._count(-1)
        now = self._events.now
        self._latencies.append(now - self._began[client])
        if len(self._latencies) == self._wanted:
            self._events.stop()
        self._left[client] -= 1
        if not self._left[client]:
            self._homes[client] = self._placement.place(client)
            self._left[client] = self._scenario.episode
        self._events.plan(now + self._step_time(), self._call, client)

    # ------------------------------------------------------------ what came of it

    def _outcome(self) -> Outcome:
        self._count(0)
        seconds = self._events.now - self._counting_since
        fronts, policies, batches = (
            _differences(self._busy()[0], self._busy_before[0]),
            _differences(self._busy()[1], self._busy_before[1]),
            self._busy()[2] - self._busy_before[2],
        )
        p50, p99, p999 = percentiles(self._latencies)
        return Outcome(
            calls=len(self._latencies),
            seconds=seconds,
            calls_per_s=len(self._latencies) / seconds,
            mean=sum(self._latencies) / len(self._latencies),
            p50=p50,
            p99=p99,
            p999=p999,
            in_flight=self._seconds_under_way / seconds,
            front=max(fronts, default=0.0) / seconds,
            policy=sum(policies) / len(policies) / seconds,
            busiest=max(policies) / seconds,
            batch=len(self._latencies) / max(1, batches),
        )


def _differences(after: list[float], before: list[float]) -> list[float]:
    return [late - early for late, early in zip(after, before, strict=True)]
