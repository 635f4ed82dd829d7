# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Serves and calls policies with whatever praxis-remote its Python has."""

from __future__ import annotations

import inspect
import os
import socket
import sys
from typing import Any

# The interpreter is isolated from this folder as from everything else.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120 - before any other import

import praxis_remote
from interop.peers.known_calls import (
    ACTIONS,
    CALLS,
    MISTAKES,
    PARTS,
    POLICIES,
    RESETS,
    Policy,
    describe,
)
from interop.peers.orders import obey
from praxis_remote import PolicyClient, PolicyServer


def outcome(error: BaseException) -> dict[str, Any]:
    """Returns how a call failed: a status, or a TypeError or ValueError before there was one."""
    code = getattr(error, "code", None)
    # Ours have a status as well when they are raised before there is a peer.
    if callable(code) and getattr(error, "address", "somewhere") is not None:
        return {"status": code().name, "details": error.details()}  # type: ignore[attr-defined]  # goes with code()
    for kind in (TypeError, ValueError):
        if isinstance(error, kind):
            return {"status": kind.__name__, "details": str(error)}
    return {"status": f"not foreseen: {type(error).__name__}", "details": str(error)}


def free_port() -> int:
    """Returns a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Endpoint:
    """Any number of servers, and a client for each address."""

    def __init__(self) -> None:
        self._servers: dict[int, tuple[PolicyServer, Policy]] = {}
        self._clients: dict[int, PolicyClient] = {}

    def about(self) -> Any:
        return {"version": praxis_remote.__version__, "file": praxis_remote.__file__}

    def defaults(self) -> Any:
        """Returns the defaults of what both versions have, by class and parameter."""
        return {
            cls.__name__: {
                name: parameter.default
                for name, parameter in inspect.signature(cls).parameters.items()
                if name in ("host", "port", "timeout")
            }
            for cls in (PolicyServer, PolicyClient)
        }

    def serve(self, policy: str, port: int = 0, host: str = "127.0.0.1") -> Any:
        # 0.1.1 cannot tell which port the system picked.
        port = port or free_port()
        served = POLICIES[policy]()
        server = PolicyServer(served, host=host, port=port)
        server.serve(block=False)
        self._servers[port] = (server, served)
        return port

    def stop(self, port: int, grace: float = 0) -> Any:
        self._servers.pop(port)[0].stop(grace=grace)

    def will(self, port: int, action: str) -> Any:
        self._servers[port][1].does = ACTIONS[action]

    def hold(self, port: int) -> Any:
        policy = self._servers[port][1]
        while policy.begun.acquire(blocking=False):
            pass
        policy.go_on.clear()

    def wait_begun(self, port: int) -> Any:
        return self._servers[port][1].begun.acquire(timeout=30)

    def release(self, port: int) -> Any:
        self._servers[port][1].go_on.set()

    def seen(self, port: int) -> Any:
        policy = self._servers[port][1]
        seen, policy.seen = policy.seen, []
        return seen

    def predict(self, port: int, call: str, timeout: float | None = None) -> Any:
        return self._try(port, "predict_action", timeout=timeout, **CALLS[call]())

    def predict_parts(self, port: int, parts: str) -> Any:
        return self._try(port, "predict_action_from_parts", **PARTS[parts])

    def reset(self, port: int, reset: str) -> Any:
        return self._try(port, "reset", **RESETS[reset])

    def health_check(self, port: int, host: str = "127.0.0.1") -> Any:
        if host == "127.0.0.1":
            return self._try(port, "health_check")
        with PolicyClient(host, port, timeout=30) as client:
            return describe(client.health_check())

    def call_after_close(self, port: int) -> Any:
        client = PolicyClient("127.0.0.1", port, timeout=30)
        client.close()
        client.close()
        try:
            return client.health_check()
        except Exception as error:
            return outcome(error)

    def mistake(self, port: int, mistake: str) -> Any:
        try:
            return {"returned": describe(MISTAKES[mistake](self._client(port)))}
        except Exception as error:
            return outcome(error)

    def _try(self, port: int, method: str, **keywords: Any) -> Any:
        client = self._client(port)
        try:
            return {"returned": describe(getattr(client, method)(**keywords))}
        except Exception as error:
            return outcome(error)

    def _client(self, port: int) -> PolicyClient:
        if port not in self._clients:
            self._clients[port] = PolicyClient("127.0.0.1", port, timeout=60)
        return self._clients[port]

    def close_client(self, port: int) -> Any:
        self._clients.pop(port).close()


if __name__ == "__main__":
    obey(Endpoint())
