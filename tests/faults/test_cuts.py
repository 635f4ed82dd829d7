# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A way that breaks in the midst of a large message, and what both ends make of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cutting import Cutter, Fault
from faces import Face
from hosts import LOOPBACK

from praxis_remote import PolicyServer
from praxis_remote.errors import DeadlineExceededError, StatusCode, UnavailableError

from .endpoint import Policy, observe, read_number
from .ends import until
from .holding import held

SIZE = 60_000_000
FLOATS = SIZE // 4
FREE = {"calls": 0, "jobs": 0, "memory": 0}


# Nothing falls silent within one machine.
only_tcp = pytest.mark.parametrize("host", [LOOPBACK])


class Broken:
    """A policy, its server, and a way to it that can be broken."""

    def __init__(self, server: PolicyServer, policy: Policy, cutter: Cutter) -> None:
        self.server = server
        self.policy = policy
        self.cutter = cutter

    def wait_free(self, connections: int) -> None:
        """Waits until nothing is held but so many connections."""
        until(lambda: held(self.server), lambda found: found == FREE | {"connections": connections})


@pytest.fixture
def broken(host: str) -> Iterator[Broken]:
    policy = Policy()
    with (
        PolicyServer(policy, host=host, port=0) as server,
        Cutter(server.host, server.port) as cutter,
    ):
        yield Broken(server, policy, cutter)


def call(client: Any, number: int, way: str, **options: Any) -> int:
    """Makes a call that is large this way."""
    batch = observe(number, size=SIZE) if way == "requests" else observe(number, floats=FLOATS)
    return read_number(client.predict_action(batch, **options))


@pytest.mark.parametrize("way", ["requests", "responses"])
@pytest.mark.parametrize(
    ("host", "fault"),
    [
        ("tcp", Fault.RESET),
        ("tcp", Fault.END),
        ("tcp", Fault.HALF),
        ("unix", Fault.END),
    ],
    indirect=["host"],
)
def test_a_connection_that_ends_amid_a_large_message_is_unavailable_and_the_next_call_gets_its_own(
    broken: Broken, face: Face, way: str, fault: Fault
) -> None:
    client = face.client(broken.cutter.port, broken.cutter.host)
    getattr(broken.cutter, way).break_after(SIZE // 2, fault)
    with pytest.raises(UnavailableError) as raised:
        call(client, 1, way)
    broken.cutter.wait_broken()
    assert raised.value.code() is StatusCode.UNAVAILABLE
    assert any(word in raised.value.details().lower() for word in ("lost", "reset", "broken"))
    assert call(client, 2, way) == 2
    broken.wait_free(connections=1)
    assert broken.policy.began == ([2] if way == "requests" else [1, 2])


@only_tcp
@pytest.mark.parametrize("way", ["requests", "responses"])
def test_a_way_that_falls_silent_costs_the_timeout_and_the_server_frees_what_it_has(
    broken: Broken, face: Face, way: str
) -> None:
    client = face.client(broken.cutter.port, broken.cutter.host)
    assert read_number(client.predict_action(observe(0))) == 0
    getattr(broken.cutter, way).break_after(SIZE // 10, Fault.SILENCE)
    with pytest.raises(DeadlineExceededError, match="passed before the answer came"):
        call(client, 1, way, timeout=0.5)
    broken.cutter.wait_broken()
    broken.wait_free(connections=1)
    assert broken.policy.began == ([0] if way == "requests" else [0, 1])


@only_tcp
@pytest.mark.parametrize("way", ["requests", "responses"])
def test_a_way_that_stands_still_and_goes_on_gives_the_late_answer_to_nobody(
    broken: Broken, face: Face, way: str
) -> None:
    client = face.client(broken.cutter.port, broken.cutter.host)
    assert read_number(client.predict_action(observe(0))) == 0
    getattr(broken.cutter, way).break_after(SIZE // 10, Fault.STALL)
    with pytest.raises(DeadlineExceededError, match="passed before the answer came"):
        call(client, 1, way, timeout=0.5)
    broken.cutter.wait_broken()
    broken.cutter.go_on()
    assert call(client, 2, way) == 2
    broken.wait_free(connections=1)
    assert broken.policy.began == ([0, 2] if way == "requests" else [0, 1, 2])
