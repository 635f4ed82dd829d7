# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The published praxis-remote 0.1.1 at one end, this at the other, and one of them dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from faces import BlockingFace, Face
from hosts import LOOPBACK, unused_port
from registry import venv_with

from praxis_remote import PolicyClient, PolicyServer
from praxis_remote.errors import DeadlineExceededError, UnavailableError

from .conftest import Run
from .endpoint import Policy, observe, read_number
from .ends import WAIT, End, until
from .holding import held

pytestmark = pytest.mark.registry

SIZE = 10_000_000


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Run]:
    """Starts ends of 0.1.1, and kills them after the test."""
    python = venv_with("praxis-remote-0.1.1", ["praxis-remote==0.1.1"])
    ends: list[End] = []

    def run() -> End:
        ends.append(End(tmp_path / f"log{len(ends)}", python=python))
        assert ends[-1].ask("about") == "0.1.1"
        return ends[-1]

    yield run
    for end in ends:
        end.close()


def wait_for_jobs(server: PolicyServer, number: int) -> None:
    until(lambda: held(server), lambda found: found["jobs"] == number)


def test_a_0_1_1_client_finds_our_killed_servers_successor(published: Run, run: Run) -> None:
    caller, port = published(), unused_port(LOOPBACK)
    server = run()
    server.serve(LOOPBACK, port)
    caller.ask("open", name="", kind="published", host=LOOPBACK, port=port, timeout=WAIT)
    caller.ask("begin", name="", number=1, size=SIZE, wait=True)
    server.wait_begun()
    server.kill()
    assert caller.ask("end", name="")["code"] == "UNAVAILABLE"
    server = run()
    server.serve(LOOPBACK, port)
    # grpcio waits before it connects again, and fails the calls that come meanwhile.
    until(
        lambda: caller.ask("call", name="", number=2),
        lambda ended: ended == {"number": 2} or ended["code"] != "UNAVAILABLE",
    )
    assert caller.ask("call", name="", number=3) == {"number": 3}
    assert server.ask("began") == [2, 3]


def test_of_a_0_1_1_client_that_is_killed_nothing_runs_that_waits(published: Run) -> None:
    policy = Policy()
    with PolicyServer(policy, port=0) as server:
        caller = published()
        for number in range(3):
            name = str(number)
            address = {"host": LOOPBACK, "port": server.port}
            caller.ask("open", name=name, kind="published", timeout=WAIT, **address)
            caller.ask("begin", name=name, number=number, size=SIZE, wait=True)
            wait_for_jobs(server, number + 1)
        caller.kill()
        until(lambda: held(server), lambda found: (found["calls"], found["jobs"]) == (0, 1))
        policy.may_end.release()
        face = BlockingFace()
        assert read_number(face.client(server).predict_action(observe(9))) == 9
        face.close()
        until(lambda: held(server), lambda found: not any(found.values()))
    assert policy.began == [0, 9]


def test_a_0_1_1_client_that_is_interrupted_leaves_nothing_in_the_queue(published: Run) -> None:
    policy = Policy()
    with PolicyServer(policy, port=0) as server:
        caller = published()
        address = {"host": LOOPBACK, "port": server.port}
        caller.ask("open", name="", kind="published", timeout=WAIT, **address)
        caller.ask("open", name="main", kind="published", timeout=WAIT, **address)
        caller.ask("begin", name="", number=0, wait=True)
        wait_for_jobs(server, 1)
        caller.send("call", name="main", number=1, size=SIZE)
        wait_for_jobs(server, 2)
        caller.interrupt()
        assert caller.receive() == {"error": "KeyboardInterrupt"}
        until(lambda: held(server), lambda found: found["calls"] == 1)
        policy.may_end.release()
        assert caller.ask("end", name="") == {"number": 0}
        assert caller.ask("call", name="main", number=2) == {"number": 2}
    assert policy.began == [0, 2]


def test_our_client_finds_a_killed_0_1_1_servers_successor(
    published: Run, face: Face, calls: ThreadPoolExecutor
) -> None:
    server = published()
    server.serve()
    client = face.client(server.port)
    call = calls.submit(client.predict_action, observe(1, size=SIZE, wait=True))
    server.wait_begun()
    server.kill()
    with pytest.raises(UnavailableError):
        call.result(WAIT)
    successor = published()
    successor.serve(LOOPBACK, server.port)
    client.wait_ready(WAIT)
    assert read_number(client.predict_action(observe(2))) == 2


def test_the_late_answer_of_a_frozen_0_1_1_server_goes_to_nobody(
    published: Run, face: Face
) -> None:
    server = published()
    server.serve()
    client = face.client(server.port)
    assert read_number(client.predict_action(observe(0))) == 0
    server.freeze()
    with pytest.raises(DeadlineExceededError):
        client.predict_action(observe(1), timeout=0.2)
    server.thaw()
    assert read_number(client.predict_action(observe(2))) == 2


def test_a_0_1_1_server_bears_the_pings_that_our_client_sends_by_itself(
    published: Run, monkeypatch: pytest.MonkeyPatch, calls: ThreadPoolExecutor
) -> None:
    """Four within five minutes would have grpcio end the connection."""
    monkeypatch.setattr("praxis_remote.async_client._KEEPALIVE", 0.05)
    server = published()
    server.serve()
    with PolicyClient(LOOPBACK, server.port, timeout=WAIT) as client:
        call = calls.submit(client.predict_action, observe(1, wait=True))
        server.wait_begun()
        asked, looks = pings(client, monkeypatch)
        until(lambda: (asked(), looks()), lambda found: found[0] == 3)
        # Three, and not one more however often it looks.
        enough = looks() + 20
        until(looks, lambda found: found >= enough)
        assert asked() == 3
        server.ask("let_end")
        assert read_number(call.result(WAIT)) == 1
        assert read_number(client.predict_action(observe(2))) == 2


def test_pings_that_a_caller_asked_for_are_more_than_a_0_1_1_server_bears(
    published: Run, calls: ThreadPoolExecutor
) -> None:
    server = published()
    server.serve()
    with PolicyClient(LOOPBACK, server.port, timeout=WAIT, keepalive=0.05) as client:
        call = calls.submit(client.predict_action, observe(1, wait=True))
        server.wait_begun()
        with pytest.raises(UnavailableError, match="too_many_pings"):
            call.result(WAIT)


def pings(
    client: PolicyClient, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[[], int], Callable[[], int]]:
    """Returns what counts a client's pings, and the looks that may lead to one."""
    (connection,) = client._client._channel._connections
    watch = connection._protocol._watch
    looks = 0
    look = watch.look

    def counted(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return look(*args)

    monkeypatch.setattr(watch, "look", counted)
    return lambda: watch._pings, lambda: looks
