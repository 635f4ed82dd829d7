# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A server that is killed, frozen or started again, and what its clients make of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from cutting import Cutter, Fault
from faces import FACES, Face
from hosts import LOOPBACK, unused_port

from praxis_remote import PolicyServer
from praxis_remote.errors import DeadlineExceededError, StatusCode, UnavailableError

from .conftest import Run
from .endpoint import Policy, observe, read_number
from .ends import WAIT, End, until
from .hammers import HAMMERS, Hammer

LARGE = 60_000_000
FLOATS = 2_500_000


def check_lost(error: UnavailableError, port: int) -> None:
    assert error.code() is StatusCode.UNAVAILABLE
    assert "lost" in error.details() or "reset" in error.details().lower()
    assert error.address is not None
    assert error.address.startswith("unix:") or error.address.endswith(f":{port}")


def test_a_server_killed_while_the_policy_works_is_unavailable_and_its_successor_is_found(
    run: Run, host: str, calls: ThreadPoolExecutor
) -> None:
    server = run()
    server.serve(host)
    faces = [kind() for kind in FACES]
    clients = [face.client(server.port, host) for face in faces]
    killed = [calls.submit(client.predict_action, observe(1, wait=True)) for client in clients]
    until(lambda: server.ask("held"), lambda held: held["jobs"] == len(clients))
    server.kill()
    for call in killed:
        with pytest.raises(UnavailableError) as raised:
            call.result(WAIT)
        check_lost(raised.value, server.port)
    for client in clients:
        with pytest.raises(UnavailableError, match="is the server running"):
            client.predict_action(observe(2))
    policy = Policy()
    with PolicyServer(policy, host=host, port=server.port):
        for number, client in enumerate(clients, 3):
            client.wait_ready(WAIT)
            assert read_number(client.predict_action(observe(number))) == number
    for face in faces:
        face.close()
    assert policy.began == [3, 4]


@pytest.mark.parametrize("way", ["requests", "responses"])
def test_a_server_killed_amid_a_large_message_is_unavailable_and_its_successor_is_found(
    run: Run, face: Face, way: str, calls: ThreadPoolExecutor
) -> None:
    server = run()
    server.serve()
    with Cutter(server.host, server.port) as cutter:
        client = face.client(cutter.port)
        assert read_number(client.predict_action(observe(1))) == 1
        getattr(cutter, way).break_after(1_000_000, Fault.STALL)
        call = calls.submit(
            client.predict_action,
            observe(2, size=LARGE) if way == "requests" else observe(2, floats=FLOATS),
        )
        cutter.wait_broken()
        server.kill()
        cutter.go_on()
        with pytest.raises(UnavailableError) as raised:
            call.result(WAIT)
        check_lost(raised.value, cutter.port)
        policy = Policy()
        with PolicyServer(policy, port=server.port):
            client.wait_ready(WAIT)
            assert read_number(client.predict_action(observe(3, floats=FLOATS))) == 3
        assert policy.began == [3]


def test_what_expires_while_the_server_is_frozen_never_runs_and_the_next_call_gets_its_own(
    server: End, face: Face, host: str
) -> None:
    server.serve(host)
    client = face.client(server.port, host)
    assert read_number(client.predict_action(observe(0))) == 0
    before = server.ask("held")
    for number in range(1, 30, 3):
        server.freeze()
        for expired in (number, number + 1):
            with pytest.raises(DeadlineExceededError, match="passed before"):
                client.predict_action(observe(expired), timeout=0.02)
        server.thaw()
        assert read_number(client.predict_action(observe(number + 2))) == number + 2
    assert server.ask("began") == [0, *range(3, 33, 3)]
    server.settle(before)


def test_the_late_answer_of_a_server_that_was_frozen_amid_a_call_goes_to_nobody(
    server: End, face: Face, host: str, calls: ThreadPoolExecutor
) -> None:
    server.serve(host)
    client = face.client(server.port, host)
    read_number(client.predict_action(observe(0)))
    server.wait_begun()
    before = server.ask("held")
    call = calls.submit(client.predict_action, observe(1, wait=True, floats=FLOATS), timeout=0.5)
    server.wait_begun()
    server.freeze()
    server.send("let_end")  # which it reads when it goes on
    with pytest.raises(DeadlineExceededError):
        call.result(WAIT)
    server.thaw()
    assert read_number(client.predict_action(observe(2, floats=FLOATS))) == 2
    server.receive()
    server.settle(before)
    assert server.ask("began") == [0, 1, 2]


# ---------------------------------------------------------------- started again


@pytest.mark.parametrize("hammer_type", HAMMERS)
def test_while_a_server_is_restarted_each_call_gets_its_own_action_or_is_unavailable(
    hammer_type: type[Hammer], host: str
) -> None:
    port = unused_port(host)
    began: list[int] = []
    with hammer_type(host, port) as hammer:
        for _ in range(8):
            policy = Policy()
            with PolicyServer(policy, host=host, port=port):
                hammer.wait_for("own action", 40)
            hammer.wait_for("UnavailableError", 8)
            began += policy.began
    assert hammer.wrong == []
    assert len(began) == len(set(began))
    assert hammer.outcomes["own action"] <= len(began)


@pytest.mark.parametrize("hammer_type", HAMMERS)
def test_while_a_server_is_killed_and_started_each_call_gets_its_own_action_or_is_unavailable(
    run: Run, hammer_type: type[Hammer]
) -> None:
    port = unused_port(LOOPBACK)
    servers = [run(), run()]
    for server in servers:
        server.ask("about")
    with hammer_type(LOOPBACK, port) as hammer:
        for server in servers:
            server.serve(LOOPBACK, port)
            hammer.wait_for("own action", 40)
            server.kill()
            hammer.wait_for("UnavailableError", 8)
    assert hammer.wrong == []
