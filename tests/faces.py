# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One body of tests for both clients: the async one is driven to the end of each call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer


class Face:
    """Makes clients and closes them at the end of a test."""

    def __init__(self) -> None:
        self._clients: list[Any] = []

    def client(self, server: PolicyServer | int, host: str = "127.0.0.1", **options: Any) -> Any:
        """Returns a client for a server, or for a port of a host."""
        address = (host, server) if isinstance(server, int) else (server.host, server.port)
        client = self._make(*address, **{"timeout": 30.0, **options})
        self._clients.append(client)
        return client

    def _make(self, host: str, port: int, **options: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        for client in self._clients:
            client.close()


class BlockingFace(Face):
    def _make(self, host: str, port: int, **options: Any) -> PolicyClient:
        return PolicyClient(host, port, **options)


class _Driven:
    """An async object whose coroutines run to their end when called."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if inspect.iscoroutinefunction(value):
            return self._blocking(value)
        return _Driven(value, self._loop) if name == "stub" else value

    def _blocking(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._loop.run_until_complete(function(*args, **kwargs))


class AsyncFace(Face):
    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()

    def _make(self, host: str, port: int, **options: Any) -> _Driven:
        return _Driven(AsyncPolicyClient(host, port, **options), self._loop)

    def close(self) -> None:
        super().close()
        self._loop.close()


FACES = [
    # Named so that test ids say which client it was.
    BlockingFace,
    AsyncFace,
]
