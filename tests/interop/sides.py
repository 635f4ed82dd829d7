# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The implementations that face each other: this checkout and the published 0.1.1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from .endpoints import PEERS, ROOT, Peer

OURS, THEIRS = "ours", "0.1.1"


class Pairing(NamedTuple):
    """Who calls whom."""

    client: str
    server: str

    def __str__(self) -> str:
        return f"{self.client} calls {self.server}"


REFERENCE = Pairing(THEIRS, THEIRS)
PAIRINGS = [Pairing(OURS, OURS), Pairing(OURS, THEIRS), Pairing(THEIRS, OURS), REFERENCE]


class Side:
    """One implementation in a process of its own: a client, and a server for each policy.

    Attributes:
        name: Which implementation it is.
        peer: The process.
    """

    def __init__(self, name: str, peer: Peer) -> None:
        self.name = name
        self.peer = peer
        self._ports: dict[str, int] = {}

    @classmethod
    @contextmanager
    def of_checkout(cls, name: str, folder: Path) -> Iterator[Side]:
        """Starts the checkout that the tests belong to."""
        command = [sys.executable, str(PEERS / "endpoint.py")]
        with Peer(command, folder / "log", {"PYTHONPATH": str(ROOT)}) as peer:
            yield cls(name, peer)

    @classmethod
    @contextmanager
    def of_environment(cls, name: str, python: Path, folder: Path) -> Iterator[Side]:
        """Starts what an environment has installed."""
        with Peer([python, "-I", PEERS / "endpoint.py"], folder / "log") as peer:
            yield cls(name, peer)

    def port(self, policy: str = "ordinary") -> int:
        """Returns the port where a policy is served, all through the session."""
        if policy not in self._ports:
            self._ports[policy] = self.peer.ask("serve", policy=policy)
        return self._ports[policy]

    def will(self, action: str) -> None:
        """Has the ordinary policy answer with this action from now on."""
        self.peer.ask("will", port=self.port(), action=action)

    def seen(self, policy: str = "ordinary") -> Any:
        """Returns what a policy was called with since the last time."""
        return self.peer.ask("seen", port=self.port(policy))


Sides: TypeAlias = dict[str, Side]
