# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Who is measured: peers, each in an environment of its own, and pairs of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks.closing import Closing
from benchmarks.process import PeerError, Process
from tools.environments import venv_with


@dataclass(frozen=True)
class Peer:
    """A way to call a policy.

    Attributes:
        module: Which of `peers` it is.
        environment: The name of its environment, None for this one.
        requirements: What is installed there.
        version: The praxis-remote that it must turn out to be, if it is one.
    """

    module: str
    environment: str | None = None
    requirements: tuple[str, ...] = ()
    version: str | None = None

    def python(self) -> Path:
        """Returns its interpreter; installs what it needs, the first time."""
        if self.environment is None:
            return Path(sys.executable)
        return venv_with(self.environment, self.requirements)

    def start(self) -> Process:
        """Returns a process of it."""
        return Process(self.python(), self.module)


THIS = Peer("praxis")
ASYNC = Peer("praxis_async")
# The name and requirements that the tests use, so that there is one environment.
PUBLISHED = Peer("praxis", "praxis-remote-0.1.1", ("praxis-remote==0.1.1",), version="0.1.1")
ZEROMQ = Peer("zeromq", "bench-zeromq", ("pyzmq==27.3.0", "msgpack==1.2.4", "numpy"))
OPENPI = Peer(
    "openpi",
    "bench-openpi",
    # It imports typing-extensions, which it does not ask for. No version of websockets
    # is both for every Python and new, so that the newest is taken and reported.
    ("openpi-client==0.1.2", "websockets>=15", "typing-extensions"),
)
BARE = Peer("bare")


@dataclass(frozen=True)
class Pair:
    """A client and the server that it calls.

    Attributes:
        title: What the reader sees.
        client: Who calls.
        server: Who answers.
        unix: Whether they meet at a UNIX socket instead of on loopback.
        options: What both are told beyond that, for peers that know it.
    """

    title: str
    client: Peer
    server: Peer
    unix: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


PAIRS = {
    "this": Pair("this", THIS, THIS),
    "unix": Pair("this, UNIX socket", THIS, THIS, unix=True),
    "async": Pair("this, async client", ASYNC, THIS),
    "published": Pair("0.1.1", PUBLISHED, PUBLISHED),
    "zeromq": Pair("ZeroMQ + msgpack", ZEROMQ, ZEROMQ),
    "bare": Pair("bare sockets", BARE, BARE),
    "this-published": Pair("this client, 0.1.1 server", THIS, PUBLISHED),
    "published-this": Pair("0.1.1 client, this server", PUBLISHED, THIS),
}
if sys.version_info < (3, 13):
    # It needs numpy 1, which has nothing for newer ones.
    PAIRS["openpi"] = Pair("openpi-client", OPENPI, OPENPI)


class Running(Closing):
    """The two processes of a pair, connected."""

    def __init__(self, pair: Pair) -> None:
        self.server = pair.server.start()
        self.client = pair.client.start()
        try:
            self.address: str = self.server.ask("serve", unix=pair.unix, **pair.options)
            self.client.ask("connect", address=self.address, **pair.options)
        except BaseException:
            self.close()
            raise

    def check(self, payload: str) -> None:
        """Calls once, and compares what the policy saw and what came back.

        Raises:
            PeerError: Something else than was sent.
        """
        self.server.ask("answer", name=payload, watch=True)
        sent = self.client.ask("check", name=payload)
        seen = self.server.ask("seen")
        self.server.ask("answer", name=payload)
        compare(payload, sent, seen)

    def close(self) -> None:
        """Ends both."""
        self.client.close()
        self.server.close()


def compare(payload: str, sent: list[str], seen: list[str] | None) -> None:
    """Raises unless the policy saw what was sent, or its server parses nothing at all.

    Raises:
        PeerError: It saw something else.
    """
    if seen is not None and seen != sent:
        raise PeerError(f"{payload}: the policy saw {seen} instead of {sent}")


@cache
def versions(peer: Peer) -> dict[str, str]:
    """Returns what a peer runs on.

    Raises:
        PeerError: It is not the praxis-remote that it should be.
    """
    with peer.start() as process:
        found: dict[str, str] = process.ask("versions")
    if peer.version is not None and found["praxis-remote"] != peer.version:
        raise PeerError(f"praxis-remote {found['praxis-remote']} instead of {peer.version}")
    return found
