# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Networks that lose, delay and end: two hosts in namespaces of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faces import FACES
from namespaces import Host, Link, NoNamespacesError, check_namespaces

from .ends import WAIT, End, until

SIZE = 60_000_000
FLOATS = SIZE // 4
PACKETS = SIZE // 1500

KINDS = [face.__name__ for face in FACES]

each_kind = pytest.mark.parametrize("kind", KINDS)


class Network:
    """A server on one host, callers on another, and the link between.

    Raises:
        NoNamespacesError: What is missing.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        check_namespaces()
        self.hosts = [Host("10.77.0.1", "10.77.0.2"), Host("10.77.0.2", "10.77.0.1")]
        for host in self.hosts:
            stack.callback(host.close)
        self.link = stack.enter_context(Link(*self.hosts))
        self.server, self.caller = (
            stack.enter_context(End(folder / f"log {host.address}", within=host.within))
            for host in self.hosts
        )
        self.folder, self.stack = folder, stack

    def serve(self) -> None:
        """Serves a new policy, and loses nothing."""
        self.link.mend()
        self.link.loss, self.link.rate, self.link.pause_every = 0.0, float("inf"), 0
        self.server.serve(self.hosts[0].address)

    def open(self, name: str, kind: str) -> None:
        """Makes a client."""
        address = {"host": self.server.host, "port": self.server.port}
        self.caller.ask("open", name=name, kind=kind, timeout=WAIT, **address)


@pytest.fixture(scope="module")
def shared_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with ExitStack() as stack:
        try:
            network = Network(tmp_path_factory.mktemp("network"), stack)
        except NoNamespacesError as error:
            pytest.skip(f"no network namespaces: {error}")
        yield network


@pytest.fixture
def network(shared_network: Network) -> Network:
    """A network that the test leaves as it is."""
    shared_network.serve()
    return shared_network


@pytest.fixture
def fragile_network(tmp_path: Path) -> Iterator[Network]:
    """A network of which the test destroys a part."""
    with ExitStack() as stack:
        try:
            network = Network(tmp_path, stack)
        except NoNamespacesError as error:
            pytest.skip(f"no network namespaces: {error}")
        network.serve()
        yield network


@pytest.mark.parametrize("way", ["request", "response"])
@pytest.mark.parametrize("cut", ["silence", "link down"])
def test_a_network_cut_amid_large_messages_costs_the_timeout_and_no_more(
    network: Network, way: str, cut: str
) -> None:
    server, caller, link = network.server, network.caller, network.link
    for number, kind in enumerate(KINDS):
        network.open(kind, kind)
        assert caller.ask("call", name=kind, number=number) == {"number": number}
    large = {"size": SIZE} if way == "request" else {"floats": FLOATS}
    link.cut_after(PACKETS // 40)
    for number, kind in enumerate(KINDS, 2):
        caller.ask("begin", name=kind, number=number, timeout=1.0, **large)
    link.wait_cut()
    if cut == "link down":
        network.hosts[1].take_down()
    for kind in KINDS:
        ended = caller.ask("end", name=kind)
        assert (ended["error"], ended["code"]) == ("DeadlineExceededError", "DEADLINE_EXCEEDED")
        assert "passed before the answer came" in ended["details"]
    held = until(lambda: server.ask("held"), lambda held: held["calls"] == held["jobs"] == 0)
    assert held["memory"] == 0
    link.mend()
    network.hosts[1].bring_up()
    for number, kind in enumerate(KINDS, 4):
        assert caller.ask("call", name=kind, number=number) == {"number": number}
        caller.ask("close", name=kind)
    began = server.ask("began")
    assert began[:2] + began[-2:] == [0, 1, 4, 5]
    if way == "request":
        assert len(began) == 4


@each_kind
@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_on_a_network_that_loses_packets_every_call_gets_its_own_answer(
    network: Network, kind: str, loss: float
) -> None:
    network.open("", kind)
    network.link.loss = loss
    lost = network.link.lost
    for number in range(1, 5):
        ended = network.caller.ask("call", name="", number=number, size=2_000_000, floats=100_000)
        assert ended == {"number": number}
    assert network.link.lost > lost
    network.link.loss = 0.0
    network.caller.ask("close", name="")
    assert network.server.ask("began") == [1, 2, 3, 4]


@each_kind
def test_on_a_network_that_pauses_and_is_slow_every_call_gets_its_own_answer(
    network: Network, kind: str
) -> None:
    network.open("", kind)
    network.link.rate, network.link.pause_every = 40e6, 1500
    pauses = network.link.pauses
    for number in range(1, 3):
        ended = network.caller.ask("call", name="", number=number, size=2_000_000, floats=250_000)
        assert ended == {"number": number}
    assert network.link.pauses > pauses
    network.caller.ask("close", name="")
    assert network.server.ask("began") == [1, 2]


def test_of_a_client_host_that_vanishes_nothing_runs_that_waits_and_others_are_served(
    fragile_network: Network,
) -> None:
    network = fragile_network
    server, caller, link = network.server, network.caller, network.link
    network.open("running", "BlockingFace")
    caller.ask("begin", name="running", number=0, size=10**6, wait=True)
    server.wait_begun()
    for number, kind in enumerate(KINDS, 1):
        network.open(kind, kind)
        caller.ask("begin", name=kind, number=number, size=10**6, timeout=2.0)
    until(lambda: server.ask("held"), lambda held: held["jobs"] == 1 + len(KINDS))
    link.cut()
    caller.kill()
    network.hosts[1].vanish()
    until(lambda: server.ask("held"), lambda held: held["calls"] == 1)
    server.ask("let_end")
    # Somebody else on the server's own host.
    other = network.stack.enter_context(
        End(network.folder / "log other", within=network.hosts[0].within)
    )
    other.ask(
        "open", name="", kind="BlockingFace", host=server.host, port=server.port, timeout=WAIT
    )
    assert other.ask("call", name="", number=9) == {"number": 9}
    held = until(lambda: server.ask("held"), lambda held: held["calls"] == held["jobs"] == 0)
    assert held["memory"] == 0
    assert server.ask("began") == [0, 9]
