# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The real Envoy with `deploy/envoy`: servers come and go, and sessions are where they were."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from command import TIMEOUT
from fleet import POINTS, SERVERS, Fleet, Servers, asked, envoy_binary
from fleet_traffic import Session, Traffic
from grpclib.client import Channel
from grpclib.protocol import H2Protocol
from processes import Gate, predict_at_gate

from praxis_remote.errors import UnavailableError
from praxis_remote.schema import PolicyServiceStub
from praxis_remote.serialization import decode_numpy_array, encode_request

CLIENTS = [f"robot-{number}" for number in range(32)]


@pytest.fixture
def other_gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    envoy_binary()
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.close()


@pytest.fixture
def fleet(servers: Servers, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(servers, tmp_path) as fleet:
        yield fleet


@pytest.fixture
def small_ring(servers: Servers, tmp_path: Path) -> Iterator[Fleet]:
    """Of whose points one in thirteen is Envoy's own."""
    with Fleet(servers, tmp_path, points=4) as fleet:
        yield fleet


def test_a_file_with_a_mistake_leaves_the_servers_as_they_are(fleet: Fleet) -> None:
    homes = fleet.clients_of_each(1)
    listed = fleet.envoy.listed()
    assert fleet.envoy.refuses(listed[:-10])
    assert fleet.envoy.refuses(listed.replace("127.0.0.1", "a-name", 1))
    assert {client: asked(client) for client in homes} == homes


def test_a_server_has_its_points_however_many_others_there_are(fleet: Fleet) -> None:
    assert fleet.envoy.gauge("policy.ring_hash_lb.size") == 3 * POINTS + 1
    fleet.envoy.remove(3)
    fleet.envoy.wait_until(lambda: fleet.envoy.gauge("policy.ring_hash_lb.size") == 2 * POINTS + 1)
    assert fleet.envoy.gauge("policy.ring_hash_lb.max_hashes_per_host") == POINTS
    assert fleet.envoy.gauge("policy.ring_hash_lb.min_hashes_per_host") == 1


# ---------------------------------------------------------------- Envoy's own point


def test_a_session_that_meets_envoy_itself_has_one_server_as_well(small_ring: Fleet) -> None:
    envoy, again = small_ring.envoy, []
    homes = {}
    for number in range(60):
        client = small_ring.client(session_id=f"robot-{number}")
        before = envoy.count("again.downstream_rq_total")
        homes[client] = asked(client)
        if envoy.count("again.downstream_rq_total") > before:
            again.append(client)
    assert 0 < len(again) < 30
    assert {homes[client] for client in again} <= set(SERVERS)
    assert {client: asked(client) for client in homes} == homes

    lines = [json.loads(line) for line in envoy.lines(2 * len(homes))]
    assert set(Counter(line["session"] for line in lines).values()) == {2}
    assert all(line["server"].startswith("127.0.0.1:") for line in lines)


class From(Channel):
    """A channel from an address of this machine."""

    def __init__(self, source: str, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self._source = source

    async def _create_connection(self) -> H2Protocol:
        _, protocol = await self._loop.create_connection(
            self._protocol_factory, "127.0.0.1", self._port, local_addr=(self._source, 0)
        )
        return protocol


def test_callers_without_a_session_that_meet_envoy_itself_have_one_server_as_well(
    small_ring: Fleet,
) -> None:
    async def ask(source: str) -> float:
        async with From(source, small_ring.envoy.port) as channel:
            response = await PolicyServiceStub(channel).predict(encode_request([{"state": 1}]))
            return float(decode_numpy_array(response.action)[0])

    async def ask_all() -> list[float]:
        return [await ask(f"127.0.0.{number}") for number in range(1, 41)]

    assert set(asyncio.run(ask_all())) <= set(SERVERS)
    assert small_ring.envoy.count("again.downstream_rq_total") > 0


# ---------------------------------------------------------------- a fleet that changes


def test_no_call_is_lost_but_those_of_the_server_that_is_killed_while_others_come_and_go(
    tmp_path: Path, gate: Gate, other_gate: Gate, pool: ThreadPoolExecutor
) -> None:
    servers = Servers(tmp_path)
    try:
        unlisted = servers.add(4)
        with Fleet(servers, tmp_path) as fleet, Traffic(fleet.envoy, CLIENTS) as traffic:
            three = traffic.homes()
            fleet.envoy.add(4, unlisted)
            four = traffic.homes()
            assert all(four[name] in (home, 4) for name, home in three.items())
            assert 0 < list(four.values()).count(4) <= 2 * len(CLIENTS) / 4

            kept = predict_at_gate(fleet.client_of(2), gate, pool)
            fleet.envoy.remove(2)
            servers[2].send(signal.SIGTERM)
            gate.open()
            assert kept.result(TIMEOUT)[0] == 2
            assert servers[2].end() == 0
            without_2 = traffic.homes()
            assert moved(four, without_2) == {name for name, home in four.items() if home == 2}

            lost = predict_at_gate(fleet.client_of(3), other_gate, pool)
            servers[3].send(signal.SIGKILL)
            with pytest.raises(UnavailableError):
                lost.result(TIMEOUT)
            fleet.envoy.wait_until(lambda: not fleet.envoy.takes(3))
            without_3 = traffic.homes()
            of_3 = {name for name, home in without_2.items() if home == 3}
            assert moved(without_2, without_3) == of_3

            servers.restart(3)
            fleet.envoy.wait_until(lambda: fleet.envoy.takes(3))
            again = traffic.homes()
            assert again == without_2

        for session in traffic.sessions:
            steps = (three, four, without_2, without_3, again)
            assert way(session) == without_repeats(step[session.name] for step in steps)
            assert not session.failed or session.name in of_3
        check_that_each_call_ran_once(servers, traffic.sessions)
    finally:
        servers.close()


def moved(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def without_repeats(servers: Any) -> list[int]:
    return [server for server, _ in itertools.groupby(servers)]


def way(session: Session) -> list[int]:
    """Returns the servers of a session in order; each knew all of its calls since it came."""
    visits = itertools.groupby(session.answers.values(), key=lambda answer: answer[0])
    way = []
    for server, answers in visits:
        seen = [count for _, count in answers]
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        way.append(server)
    return way


def check_that_each_call_ran_once(servers: Servers, sessions: list[Session]) -> None:
    """No call ran twice, and those that failed nowhere but on server 3."""
    ran = {call: number for number in servers.ports for call in servers.ran(number)}
    assert len(ran) == sum(len(servers.ran(number)) for number in servers.ports)
    for session in sessions:
        for call, (server, _) in session.answers.items():
            assert ran.pop(call) == server
        for call in session.failed:
            assert ran.pop(call, 3) == 3
    assert ran == {}
