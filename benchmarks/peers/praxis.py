# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""praxis-remote, this one or 0.1.1: the same lines for both."""

from __future__ import annotations

import re
import socket
import tempfile
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from benchmarks.payloads import Action, Batch
from benchmarks.peers.client import Client
from praxis_remote import PolicyClient, PolicyServer

_REQUIRED = [text for text in requires("praxis-remote") or () if "extra ==" not in text]
PACKAGES = ["praxis-remote", *(re.split("[^a-zA-Z0-9_.-]", text)[0] for text in _REQUIRED)]
TIMEOUT = 120.0


class Handler:
    """A policy as praxis-remote calls it."""

    def __init__(self, policy: Any) -> None:
        self._answer = policy.answer

    def predict_action(self, observations: Batch, *, policy_kwargs: Any = None) -> Action:  # noqa: ARG002 - the contract's names
        """Answers at once."""
        action: Action = self._answer(observations)
        return action

    def reset(self) -> None:
        """Remembers nothing."""

    def model_info(self) -> str:
        """Returns what it is."""
        return "trivial"


def serve(policy: Any, *, unix: bool) -> str:
    """Serves on loopback, or on a UNIX socket in a folder of its own."""
    return serve_handler(Handler(policy), unix=unix)


def serve_handler(handler: Any, *, unix: bool = False, **options: Any) -> str:
    """Serves a handler, with more options for the server."""
    if unix:
        _folders.append(tempfile.TemporaryDirectory())
        address = f"unix:{Path(_folders[-1].name, 'socket')}"
        server = PolicyServer(handler, host=address, **options)
    else:
        # 0.1.1 cannot tell which port the system picked.
        port = _free_port()
        address = f"127.0.0.1:{port}"
        server = PolicyServer(handler, host="127.0.0.1", port=port, **options)
    server.serve(block=False)
    _servers.append(server)
    return address


def where(address: str) -> tuple[Any, ...]:
    """Returns what clients of praxis-remote take for an address."""
    if address.startswith("unix:"):
        return (address,)
    host, _, port = address.rpartition(":")
    return (host, int(port))


def connect(address: str) -> Client:
    """Returns the blocking client."""
    return PraxisClient(PolicyClient(*where(address), timeout=TIMEOUT))


class PraxisClient(Client):
    """The blocking client."""

    def __init__(self, client: PolicyClient) -> None:
        self._client = client

    def predict(self, batch: Any) -> Action:
        """Calls the policy."""
        return self._client.predict_action(batch)


# Until the process ends.
_folders: list[tempfile.TemporaryDirectory[str]] = []
_servers: list[PolicyServer] = []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
