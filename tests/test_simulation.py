# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The simulator agrees with theory where there is one, and with itself everywhere."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from benchmarks.simulation.batches import Batches
from benchmarks.simulation.engine import simulate
from benchmarks.simulation.events import Events
from benchmarks.simulation.line import Line
from benchmarks.simulation.placement import PLACEMENTS, LeastLoaded
from benchmarks.simulation.scenario import Duration, Front, Policy, Scenario, Server

MS = 1e-3
CALLS = 30_000


def exponential(mean: float) -> Duration:
    return Duration(mean, 1.0)


def closed(**options: object) -> Scenario:
    """Returns clients of a policy of 10 ms, with nothing else that takes time."""
    given = {"replicas": 1, "clients": 1, "policy": Policy(Duration(10 * MS)), "calls": 2000}
    return Scenario(**{**given, **options})  # type: ignore[arg-type]  # of several types


# ---------------------------------------------------------------- theory


def waiting_in_line(spread: float, load: float) -> tuple[float, float]:
    """Returns the mean wait for a line, and the share that waits longer than 5 services."""
    random, line, now, waits = Random(1), Line(), 0.0, []
    for _ in range(200_000):
        now += random.expovariate(load)
        service = random.expovariate(1.0) if spread else 1.0
        waits.append(line.serve(now, service) - now - service)
    return sum(waits) / len(waits), sum(wait > 5 for wait in waits) / len(waits)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_line_with_exponential_services_waits_as_an_m_m_1(load: float) -> None:
    mean, long = waiting_in_line(1.0, load)
    assert mean == pytest.approx(load / (1 - load), rel=0.05)
    assert long == pytest.approx(load * math.exp(-(1 - load) * 5), rel=0.1)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_line_with_constant_services_waits_as_an_m_d_1(load: float) -> None:
    mean, _ = waiting_in_line(0.0, load)
    assert mean == pytest.approx(load / (2 * (1 - load)), rel=0.05)


def mean_value_analysis(clients: int, step: float, *stations: float) -> tuple[float, float]:
    """Returns throughput and latency of a closed network of exponential stations, exactly."""
    queues = [0.0] * len(stations)
    for number in range(1, clients + 1):
        times = [seconds * (1 + queue) for seconds, queue in zip(stations, queues, strict=True)]
        rate = number / (step + sum(times))
        queues = [rate * seconds for seconds in times]
    return rate, sum(times)


@pytest.mark.parametrize("clients", [1, 4, 12])
def test_a_whole_path_of_exponential_stations_is_as_mean_value_analysis_has_it(
    clients: int,
) -> None:
    # Each visit takes as long, of front and server on the way there and on the way back.
    found = simulate(
        Scenario(
            replicas=1,
            clients=clients,
            policy=Policy(exponential(10 * MS)),
            step=exponential(40 * MS),
            server=Server(exponential(2 * MS), exponential(2 * MS)),
            front=Front(1, exponential(3 * MS), exponential(3 * MS)),
            calls=CALLS,
        )
    )
    rate, latency = mean_value_analysis(clients, 40 * MS, 6 * MS, 4 * MS, 10 * MS)
    assert found.calls_per_s == pytest.approx(rate, rel=0.03)
    assert found.mean == pytest.approx(latency, rel=0.03)


@pytest.mark.parametrize("clients", [1, 2, 5, 20])
def test_a_closed_loop_is_within_its_bounds_and_reaches_them(clients: int) -> None:
    found = simulate(closed(clients=clients, step=Duration(40 * MS)))
    # Constant times: nobody waits until there are as many as fill the policy.
    bound = min(clients / (50 * MS), 1 / (10 * MS))
    assert found.calls_per_s == pytest.approx(bound, rel=0.01)
    assert found.mean == pytest.approx(max(10 * MS, clients * 10 * MS - 40 * MS), rel=0.01)


RICH = Scenario(
    replicas=3,
    clients=20,
    policy=Policy(Duration(10 * MS, 0.5), MS, 4, 5 * MS),
    step=Duration(20 * MS, 0.5),
    server=Server(Duration(MS, 0.3), Duration(MS, 0.3)),
    front=Front(2, Duration(MS, 0.3), Duration(MS, 0.3), Duration(MS)),
    client=Duration(MS),
    episode=7,
    calls=5000,
)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_calls_under_way_are_rate_times_latency(placement: str) -> None:
    found = simulate(replace(RICH, placement=placement))
    assert found.in_flight == pytest.approx(found.calls_per_s * found.mean, rel=0.02)
    # And a client is always either in a call or in a step.
    assert found.in_flight + found.calls_per_s * 20 * MS == pytest.approx(20, rel=0.02)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_seed_has_one_outcome(placement: str) -> None:
    scenario = replace(RICH, placement=placement)
    assert simulate(scenario) == simulate(scenario)
    assert simulate(scenario) != simulate(replace(scenario, seed=1))


# ---------------------------------------------------------------- what saturates


def test_a_front_process_passes_as_much_as_its_core_can() -> None:
    front = Front(1, Duration(2 * MS), Duration(MS))
    found = simulate(closed(replicas=20, clients=100, front=front, calls=5000))
    assert found.calls_per_s == pytest.approx(1 / (3 * MS), rel=0.01)
    assert found.front == pytest.approx(1.0, rel=0.01)
    two = simulate(closed(replicas=20, clients=400, front=replace(front, processes=2), calls=9000))
    assert two.calls_per_s == pytest.approx(2 / (3 * MS), rel=0.02)


def test_a_front_that_costs_connections_only_costs_calls_nothing() -> None:
    free = simulate(closed(clients=4, calls=3000))
    front = Front(connection=Duration(MS))
    assert simulate(closed(clients=4, front=front, calls=3000)).mean == pytest.approx(free.mean)


def test_a_replica_s_own_process_can_be_what_is_full() -> None:
    server = Server(Duration(15 * MS), Duration(5 * MS))
    found = simulate(closed(clients=8, server=server))
    assert found.calls_per_s == pytest.approx(50, rel=0.01)
    assert found.policy == pytest.approx(0.5, rel=0.02)


def test_twice_the_replicas_and_clients_do_twice_as_much_in_the_same_time() -> None:
    one, two = (
        simulate(replace(RICH, front=None, replicas=3 * n, clients=24 * n, calls=10_000 * n))
        for n in (1, 2)
    )
    assert two.calls_per_s == pytest.approx(2 * one.calls_per_s, rel=0.02)
    assert two.p99 == pytest.approx(one.p99, rel=0.05)


# ---------------------------------------------------------------- batches


def run_batches(size: int, delay: float, *arrivals: tuple[float, int]) -> list[tuple[float, int]]:
    """Returns when calls of clients are done that come at these times, 10 s for any batch."""
    events, done = Events(), []
    policy = Policy(Duration(10.0), 0.0, size, delay)

    def note(client: int) -> None:
        done.append((events.now, client))

    batches = Batches(policy, events, lambda: 10.0, note)
    for instant, client in arrivals:
        events.plan(instant, batches.join, client)
    events.run()
    return done


def test_an_idle_policy_takes_a_call_at_once() -> None:
    assert run_batches(8, 5.0, (3, 0)) == [(13, 0)]
    # Client 0 might have come back until 15.
    assert run_batches(8, 5.0, (0, 0), (20, 1)) == [(10, 0), (30, 1)]


def test_calls_that_came_meanwhile_leave_together_with_those_that_are_expected() -> None:
    calls = [(0, 0), (1, 1), (2, 2)]
    assert run_batches(8, 5.0, *calls) == [(10, 0), (25, 1), (25, 2)]
    assert run_batches(8, 0.0, *calls) == [(10, 0), (20, 1), (20, 2)]
    assert run_batches(8, 5.0, *calls, (11, 0))[1:] == [(21, 1), (21, 2), (21, 0)]


def test_a_full_batch_leaves_at_once() -> None:
    done = run_batches(2, 5.0, (0, 0), (8, 1), (9, 2), (12, 3))
    assert done == [(10, 0), (20, 1), (20, 2), (35, 3)]


def test_one_call_at_a_time_is_first_come_first_served() -> None:
    assert run_batches(1, 5.0, (0, 0), (1, 1), (2, 2)) == [(10, 0), (20, 1), (30, 2)]


def test_batches_carry_more_clients_where_their_size_costs_nothing() -> None:
    plain, joined = (
        simulate(closed(clients=8, policy=Policy(Duration(10 * MS), 0.0, size, 5 * MS)))
        for size in (1, 8)
    )
    assert plain.batch == pytest.approx(1.0, rel=0.01)
    assert joined.calls_per_s == pytest.approx(8 * plain.calls_per_s, rel=0.01)
    assert joined.p99 == pytest.approx(plain.p99 / 8, rel=0.01)


# ---------------------------------------------------------------- placement


def loads(placement: str, replicas: int, clients: int) -> list[int]:
    placed = PLACEMENTS[placement](replicas, clients, Random(0))
    counts = Counter(placed.place(client) for client in range(clients))
    return sorted(counts[number] for number in range(replicas))


def test_the_least_loaded_replica_gets_the_next_episode() -> None:
    assert loads("least", 10, 25) == [2] * 5 + [3] * 5
    placed = PLACEMENTS["least"](2, 2, Random(0))
    home, _ = placed.place(0), placed.place(1)
    # An episode that has ended is no load.
    assert [placed.place(0) for _ in range(5)] == [home] * 5


def test_a_hash_loads_replicas_by_chance_and_a_ring_with_few_points_more_so() -> None:
    drawn, ring = loads("hash", 1000, 8000), loads("ring", 1000, 8000)
    # Of a Poisson distribution with mean 8, 18 in 1,000 are above 14.
    assert 17 <= drawn[-1] <= 22
    assert ring[-1] > 1.5 * drawn[-1]
    assert ring[0] == 0


@pytest.mark.parametrize("placement", ["hash", "ring"])
def test_a_session_s_hash_always_leads_to_the_same_replica(placement: str) -> None:
    placed = PLACEMENTS[placement](7, 5, Random(0))
    first = [placed.place(client) for client in range(5)]
    assert [placed.place(client) for client in range(5)] == first


def test_an_episode_s_hash_leads_elsewhere() -> None:
    placed = PLACEMENTS["episode"](7, 1, Random(0))
    assert len({placed.place(0) for _ in range(100)}) == 7


def test_an_episode_is_placed_after_as_many_calls_as_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    placed: list[int] = []

    class Counting(LeastLoaded):
        def place(self, client: int) -> int:
            placed.append(client)
            return super().place(client)

    monkeypatch.setitem(PLACEMENTS, "least", Counting)
    simulate(closed(clients=1, episode=10, calls=1000))
    # One at the beginning, and 1,200 calls with those of the warm-up.
    assert 120 <= len(placed) <= 122


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Duration(-1.0), "mean: -1.0"),
        (lambda: Duration(1.0, 1.5), "spread: 1.5; allowed: 0 to 1"),
        (lambda: Front(0), "processes: 0"),
        (lambda: Policy(Duration(1.0), max_batch_size=0), "max_batch_size: 0"),
        (lambda: closed(clients=0), "clients: 0"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()
