# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Peers that fall silent: each end notices, frees what it holds, and goes on with who is there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from authority import Authority
from cutting import Cutter, Fault
from faces import FACES, BlockingFace, Face

from praxis_remote import ClientTLS, Limits, PolicyServer
from praxis_remote.errors import DeadlineExceededError, UnavailableError

from .endpoint import Policy, observe, read_number
from .ends import WAIT, End, until
from .holding import held

SIZE = 60_000_000
FREE = {"connections": 0, "calls": 0, "jobs": 0, "memory": 0}
SHORT = Limits(keepalive_seconds=0.2, keepalive_timeout=0.2, stall_seconds=0.4)


class Silenced:
    """A policy, its server, and a way to it that can fall silent."""

    def __init__(
        self, server: PolicyServer, policy: Policy, cutter: Cutter, tls: ClientTLS | None
    ) -> None:
        self.tls = tls
        self.server = server
        self.policy = policy
        self.cutter = cutter

    def wait_for(self, **expected: int) -> None:
        until(lambda: held(self.server), lambda found: found == FREE | expected)


@pytest.fixture(params=[False, True], ids=["bare", "tls"])
def silenced(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Silenced]:
    policy = Policy()
    theirs, ours = (authority.server(), authority.client()) if request.param else (None, None)
    with (
        PolicyServer(policy, port=0, limits=SHORT, tls=theirs) as server,
        Cutter(server.host, server.port) as cutter,
    ):
        yield Silenced(server, policy, cutter, ours)


# ---------------------------------------------------------------- a client whose server is gone


def test_a_call_without_a_timeout_ends_when_the_way_falls_silent_and_the_next_connects_anew(
    silenced: Silenced, face: Face, calls: ThreadPoolExecutor
) -> None:
    client = face.client(silenced.cutter.port, keepalive=0.1, timeout=None, tls=silenced.tls)
    call = calls.submit(client.predict_action, observe(1, wait=True))
    silenced.policy.begun.acquire(timeout=WAIT)
    silenced.cutter.break_now(Fault.SILENCE)
    with pytest.raises(UnavailableError, match="ping"):
        call.result(WAIT)
    silenced.policy.may_end.release()
    assert read_number(client.predict_action(observe(2))) == 2


def test_a_client_whose_calls_time_out_on_a_dead_connection_finds_the_server_again(
    silenced: Silenced, face: Face
) -> None:
    client = face.client(silenced.cutter.port, keepalive=0.1, tls=silenced.tls)
    assert read_number(client.predict_action(observe(0))) == 0
    silenced.cutter.break_now(Fault.SILENCE)
    expired = 0
    while True:
        try:
            assert read_number(client.predict_action(observe(1), timeout=0.05)) == 1
            break
        except (DeadlineExceededError, UnavailableError):
            expired += 1
            assert expired < 100  # five seconds of calls; a ping and its patience take a fifth


# ---------------------------------------------------------------- a server whose client is gone


@pytest.mark.parametrize("way", ["requests", "responses"])
def test_a_server_frees_a_large_message_whose_client_fell_silent_without_a_timeout(
    silenced: Silenced, face: Face, way: str, calls: ThreadPoolExecutor
) -> None:
    client = face.client(silenced.cutter.port, timeout=None, tls=silenced.tls)
    getattr(silenced.cutter, way).break_after(SIZE // 10, Fault.SILENCE)
    large = {"size": SIZE} if way == "requests" else {"floats": SIZE // 4}
    call = calls.submit(client.predict_action, observe(1, **large))
    silenced.cutter.wait_broken()
    until(
        lambda: held(silenced.server),
        lambda found: (found["calls"], found["jobs"], found["memory"]) == (0, 0, 0),
    )
    silenced.cutter.break_now(Fault.RESET)
    with pytest.raises(UnavailableError):
        call.result(WAIT)


def test_a_queued_call_whose_client_fell_silent_without_a_timeout_never_runs(
    silenced: Silenced, calls: ThreadPoolExecutor
) -> None:
    faces = [BlockingFace(), *(kind() for kind in FACES)]
    first = faces[0].client(silenced.server, tls=silenced.tls)
    options: dict[str, Any] = {"timeout": None, "tls": silenced.tls}
    running = calls.submit(first.predict_action, observe(0, wait=True))
    assert silenced.policy.begun.acquire(timeout=WAIT)
    waiting = [
        calls.submit(face.client(silenced.cutter.port, **options).predict_action, observe(1))
        for face in faces[1:]
    ]
    until(lambda: held(silenced.server), lambda found: found["jobs"] == 3)
    silenced.cutter.break_now(Fault.SILENCE)
    until(lambda: held(silenced.server), lambda found: found["calls"] == 1)
    silenced.policy.may_end.release()
    assert read_number(running.result(WAIT)) == 0
    assert silenced.policy.began == [0]
    silenced.cutter.break_now(Fault.RESET)
    for call in waiting:
        with pytest.raises(UnavailableError):
            call.result(WAIT)
    for face in faces:
        face.close()


def test_a_connection_whose_client_vanished_while_idle_is_closed_in_the_end(face: Face) -> None:
    limits = Limits(idle_seconds=0.2)
    with (
        PolicyServer(Policy(), port=0, limits=limits) as server,
        Cutter(server.host, server.port) as cutter,
    ):
        client = face.client(cutter.port)
        client.predict_action(observe(1))
        cutter.break_now(Fault.SILENCE)
        until(lambda: held(server), lambda found: found == FREE)


# ---------------------------------------------------------------- into test_servers.py


def test_large_requests_that_were_given_up_while_the_server_was_frozen_never_run(
    server: End, face: Face, host: str
) -> None:
    """See found.md, (faults) 1."""
    server.serve(host)
    client = face.client(server.port, host)
    assert read_number(client.predict_action(observe(0))) == 0
    for number in range(1, 11, 2):
        server.freeze()
        with pytest.raises(DeadlineExceededError):
            client.predict_action(observe(number, size=500_000), timeout=0.05)
        server.thaw()
        assert read_number(client.predict_action(observe(number + 1))) == number + 1
    assert server.ask("began") == [0, 2, 4, 6, 8, 10]
