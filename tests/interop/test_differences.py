# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What this package does in another way than praxis-remote 0.1.1, beyond statuses.

Whoever reads the README's table of differences may rely on it: each row is here, or
in `test_mistakes`.
"""

from __future__ import annotations

import socket
from typing import Any

import grpc
import pytest

from .endpoints import PeerError
from .google import Generated, channel_to
from .peers.known_calls import describe
from .sides import OURS, PAIRINGS, THEIRS, Pairing, Sides

pytestmark = pytest.mark.registry

each_side = pytest.mark.parametrize("name", [OURS, THEIRS])


def test_only_the_default_host_of_a_server_is_another(sides: Sides) -> None:
    ours, theirs = (sides[name].peer.ask("defaults") for name in (OURS, THEIRS))
    assert ours["PolicyServer"].pop("host") == "127.0.0.1"
    assert theirs["PolicyServer"].pop("host") == "0.0.0.0"
    assert ours == theirs


@each_side
def test_only_our_server_answers_a_health_check_while_the_policy_works(
    sides: Sides, generated: Generated, name: str
) -> None:
    peer = sides[name].peer
    port = peer.ask("serve", policy="ordinary")
    with channel_to(port) as channel:
        stub = generated.services.PolicyServiceStub(channel)
        # Served and asked once, it knows what to say.
        stub.HealthCheck(generated.messages.Empty(), timeout=30)
        peer.ask("hold", port=port)
        request = generated.messages.PredictRequest(observations=[generated.messages.Observation()])
        running = stub.Predict.future(request, timeout=30)
        assert peer.ask("wait_begun", port=port)
        if name == OURS:
            health = stub.HealthCheck(generated.messages.Empty(), timeout=30)
            assert health.model_info == "interop 🤖"
        else:
            with pytest.raises(grpc.RpcError) as caught:
                stub.HealthCheck(generated.messages.Empty(), timeout=0.3)
            # Client and server find out at the same moment, and say different things.
            assert caught.value.code() in (
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.CANCELLED,
            )
        peer.ask("release", port=port)
        running.result()
    peer.ask("stop", port=port)


@each_side
def test_only_our_server_refuses_a_port_that_another_server_has(sides: Sides, name: str) -> None:
    peer = sides[name].peer
    port = peer.ask("serve", policy="ordinary")
    if name == OURS:
        with pytest.raises(PeerError, match="Address already in use"):
            peer.ask("serve", policy="ordinary", port=port)
    else:
        assert peer.ask("serve", policy="ordinary", port=port) == port
    peer.ask("stop", port=port)


@each_side
def test_both_servers_refuse_a_port_that_something_else_has(sides: Sides, name: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        error = "OSError" if name == OURS else "RuntimeError"
        with pytest.raises(PeerError, match=error):
            sides[name].peer.ask("serve", policy="ordinary", port=other.getsockname()[1])


@pytest.mark.parametrize(("name", "status"), [(OURS, "CANCELLED"), (THEIRS, "ValueError")])
def test_a_call_after_close_is_a_status_of_our_client(sides: Sides, name: str, status: str) -> None:
    port = sides[OURS].port()
    assert sides[name].peer.ask("call_after_close", port=port)["status"] == status


@pytest.mark.parametrize("action", ["raises SystemExit", "raises KeyboardInterrupt"])
def test_their_server_never_answers_when_a_policy_raises_what_ends_programs(
    sides: Sides, action: str
) -> None:
    server = sides[THEIRS]
    server.will(action)
    answer = sides[OURS].peer.ask("predict", port=server.port(), call="no kwargs", timeout=0.3)
    server.will("ordinary")
    assert answer["status"] == "DEADLINE_EXCEEDED"


# ---------------------------------------------------------------- hosts


@pytest.mark.parametrize("pairing", PAIRINGS, ids=str)
def test_localhost_is_the_same_host_for_all(sides: Sides, pairing: Pairing) -> None:
    client, server = sides[pairing.client].peer, sides[pairing.server].peer
    port = server.ask("serve", policy="ordinary", host="localhost")
    health = client.ask("health_check", port=port, host="localhost")
    assert health == describe((True, "interop 🤖"))
    server.ask("stop", port=port)


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
def test_an_ipv6_host_goes_without_brackets_here_and_with_brackets_there(sides: Sides) -> None:
    hosts = {OURS: "::1", THEIRS: "[::1]"}
    for pairing in PAIRINGS:
        server, client = sides[pairing.server].peer, sides[pairing.client].peer
        port = server.ask("serve", policy="ordinary", host=hosts[pairing.server])
        health: Any = client.ask("health_check", port=port, host=hosts[pairing.client])
        assert health == describe((True, "interop 🤖"))
        server.ask("stop", port=port)


@needs_ipv6
def test_the_brackets_that_the_other_version_needs_are_taken_here_as_well(sides: Sides) -> None:
    peer = sides[OURS].peer
    port = peer.ask("serve", policy="ordinary", host="[::1]")
    peer.ask("health_check", port=port, host="[::1]")
    peer.ask("stop", port=port)
