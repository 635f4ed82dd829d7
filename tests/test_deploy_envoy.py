# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The real Envoy with `deploy/envoy/envoy.yaml` before three servers: who notices what."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from command import ROOT, TIMEOUT
from fleet import CONFIG, LISTED, SERVERS, Envoy, Fleet, Servers, asked, envoy_binary, within
from grpclib.client import Channel
from hosts import LOOPBACK, unused_port
from processes import Gate, predict_at_gate

from praxis_remote import PolicyClient
from praxis_remote.errors import (
    DeadlineExceededError,
    HandlerError,
    InvalidArgumentError,
    UnavailableError,
)
from praxis_remote.schema import PolicyServiceStub
from praxis_remote.serialization import decode_numpy_array, encode_request

MEGABYTES = 30


@pytest.fixture
def other_gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """For tests that leave them as they are."""
    envoy_binary()
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def fleet(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(servers, tmp_path_factory.mktemp("envoy")) as fleet:
        yield fleet


@pytest.fixture
def mended(fleet: Fleet, servers: Servers) -> Iterator[None]:
    """For tests that do not: server 1 serves again after them."""
    yield
    servers.restart(1)
    fleet.envoy.wait_until(lambda: all(map(fleet.envoy.takes, SERVERS)))


def test_envoy_takes_the_configuration_without_a_complaint(tmp_path: Path) -> None:
    config = tmp_path / CONFIG.name
    config.write_text(within(tmp_path, CONFIG), encoding="utf-8")
    shutil.copy(LISTED, tmp_path)
    result = subprocess.run(
        [envoy_binary(), "-c", str(config), "--mode", "validate", "-l", "warning"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, f"configuration '{config}' OK\n")
    assert result.stderr == ""


# ---------------------------------------------------------------- what passes through


def test_a_large_message_passes_in_both_directions(fleet: Fleet) -> None:
    sent = np.arange(MEGABYTES * 10**6 // 4, dtype=np.int32)
    assert np.array_equal(fleet.client().predict_action([{"echo": sent}]), sent)


def test_the_text_of_an_error_passes_through(fleet: Fleet) -> None:
    client = fleet.client()
    with pytest.raises(InvalidArgumentError, match="no such task: 100 % 葡萄"):
        client.predict_action([{"wrong": "no such task: 100 % 葡萄"}])
    for _ in range(5):  # more than make a server an outlier
        with pytest.raises(HandlerError, match="out of memory"):
            client.predict_action([{"broken": "out of memory"}])
    assert all(fleet.envoy.takes(number) for number in SERVERS)


def test_a_deadline_reaches_the_policy_and_ends_the_call(fleet: Fleet, gate: Gate) -> None:
    client = fleet.client()
    _, remaining = client.predict_action([{"state": 1}], timeout=15)
    assert 0 < remaining <= 15
    with pytest.raises(DeadlineExceededError):
        client.predict_action([{"gate": gate.port}], timeout=0.2)
    gate.reached()
    gate.open()
    assert asked(client) in SERVERS


def test_a_session_is_one_servers_whatever_connection_it_comes_on(fleet: Fleet) -> None:
    homes = fleet.clients_of_each(2)
    for client, number in homes.items():
        same = fleet.client(session_id=client.session_id)
        assert [asked(same), asked(client)] == [number, number]


def test_callers_that_send_no_session_are_one_servers_as_well(fleet: Fleet) -> None:
    async def ask() -> float:
        async with Channel("127.0.0.1", fleet.envoy.port) as channel:
            response = await PolicyServiceStub(channel).predict(encode_request([{"state": 1}]))
            return float(decode_numpy_array(response.action)[0])

    async def ask_often() -> list[float]:
        return [await ask() for _ in range(12)]

    assert len(set(asyncio.run(ask_often()))) == 1


def test_the_log_has_a_line_for_each_call_and_nothing_of_what_was_said(fleet: Fleet) -> None:
    client = fleet.client(session_id="logged", metadata={"authorization": "Bearer secret"})
    with pytest.raises(InvalidArgumentError):
        client.predict_action([{"wrong": "secret"}])
    asked(client)

    def lines() -> list[str]:
        text = fleet.envoy.access_log.read_text(encoding="utf-8")
        return [line for line in text.splitlines() if '"logged"' in line]

    fleet.envoy.wait_until(lambda: len(lines()) == 2)
    statuses = [json.loads(line)["status"] for line in lines()]
    assert statuses == ["InvalidArgument", "OK"]
    assert "secret" not in fleet.envoy.access_log.read_text(encoding="utf-8")


# ---------------------------------------------------------------- servers that go


def test_only_the_clients_of_a_server_that_is_killed_notice(
    servers: Servers, fleet: Fleet, gate: Gate, other_gate: Gate, pool: ThreadPoolExecutor
) -> None:
    homes = fleet.clients_of_each(3)
    of = {number: client for client, number in homes.items()}
    lost = predict_at_gate(of[1], gate, pool)
    kept = predict_at_gate(of[2], other_gate, pool)
    servers[1].send(signal.SIGKILL)
    with pytest.raises(UnavailableError) as raised:
        lost.result(TIMEOUT)
    assert not raised.value.never_ran
    other_gate.open()
    assert kept.result(TIMEOUT)[0] == 2

    at_once = {client: asked(client) for client in homes}
    fleet.envoy.wait_until(lambda: not fleet.envoy.takes(1))
    later = {client: asked(client) for client in homes}
    assert at_once == later
    for client, number in homes.items():
        assert later[client] in ({2, 3} if number == 1 else {number})

    servers.restart(1)
    fleet.envoy.wait_until(lambda: {client: asked(client) for client in homes} == homes)


@pytest.mark.usefixtures("mended")
def test_no_client_notices_that_no_connection_could_be_made(
    servers: Servers, tmp_path: Path
) -> None:
    # Health checks come too late to help.
    with Fleet(servers, tmp_path, interval="3600s") as fleet:
        homes = fleet.clients_of_each(2)
        servers[1].send(signal.SIGKILL)
        servers[1].process.wait(TIMEOUT)
        now = {client: asked(client) for client in homes}
        moved = {client for client in homes if now[client] != homes[client]}
        assert moved == {client for client, number in homes.items() if number == 1}
        assert fleet.envoy.count("upstream_rq_retry_success") > 0
        # None of them knocked at the same door twice.
        lines = [json.loads(line) for line in fleet.envoy.lines(2 * len(homes))]
        assert {line["tries"] for line in lines} == {1, 2}


@pytest.mark.usefixtures("mended")
def test_a_server_that_drains_loses_no_call(
    servers: Servers, fleet: Fleet, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    homes = fleet.clients_of_each(2)
    held = next(client for client, number in homes.items() if number == 1)
    call = predict_at_gate(held, gate, pool)
    drained = threading.Event()

    def keep_asking(client: PolicyClient) -> int:
        times = 0
        while not drained.is_set():
            asked(client)
            times += 1
        return times

    others = [client for client in homes if client is not held]
    with ThreadPoolExecutor(len(others)) as callers:
        running = [callers.submit(keep_asking, client) for client in others]
        try:
            servers[1].send(signal.SIGTERM)
            fleet.envoy.wait_until(lambda: not fleet.envoy.takes(1))
            gate.open()
            assert call.result(TIMEOUT)[0] == 1
            assert servers[1].end() == 0
        finally:
            drained.set()
        assert all(each.result(TIMEOUT) > 0 for each in running)
    assert all(asked(client) in (2, 3) for client in others)


def test_a_server_that_says_it_is_not_ready_is_passed_by(servers: Servers, fleet: Fleet) -> None:
    homes = fleet.clients_of_each(2)
    without = {client: {number} - {1} or {2, 3} for client, number in homes.items()}
    servers.set_ready(1, False)
    fleet.envoy.wait_until(lambda: all(asked(client) in without[client] for client in homes))
    servers.set_ready(1, True)
    fleet.envoy.wait_until(lambda: {client: asked(client) for client in homes} == homes)


def test_envoy_on_kubernetes_sends_clients_away_before_it_ends_and_loses_no_call(
    servers: Servers, tmp_path: Path
) -> None:
    text = (ROOT / "deploy/kubernetes/envoy/proxy.yaml").read_text(encoding="utf-8")
    pod = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    shell, option, script = container["lifecycle"]["preStop"]["exec"]["command"]
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    at = container["args"].index("--drain-time-s")
    with Fleet(servers, tmp_path, options=container["args"][at : at + 2]) as fleet:
        client = fleet.client()
        home = asked(client)
        begun, sleep, _ = script.partition("sleep ")
        assert sleep
        begun = begun.replace("127.0.0.1/9901", fleet.envoy.admin.replace(":", "/"))
        words = [shell, option, f'{begun}echo "$answer"']
        said = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=True)
        assert said.stdout.split()[1] == "200"

        def sent_away() -> bool:
            assert asked(client) == home
            return fleet.envoy.count("http.policy.downstream_cx_drain_close") > 0

        fleet.envoy.wait_until(sent_away)
        assert asked(client) == home


def test_without_a_server_the_caller_is_told_so(tmp_path: Path) -> None:
    envoy = Envoy(tmp_path, {number: unused_port(LOOPBACK) for number in SERVERS}, "0.1s")
    try:
        with (
            PolicyClient("127.0.0.1", envoy.port, timeout=TIMEOUT) as client,
            pytest.raises(UnavailableError, match="no healthy upstream"),
        ):
            client.predict_action([{"state": 1}])
    finally:
        envoy.close()
