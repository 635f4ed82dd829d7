# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""openpi: its client as published, and a server for it.

The client comes from PyPI, the server does not: it is written here with the same
library, the same options and the same codec as openpi's own.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

from openpi_client import msgpack_numpy  # type: ignore[import-not-found]  # in its own environment
from openpi_client.websocket_client_policy import (  # type: ignore[import-not-found]  # as above
    WebsocketClientPolicy,
)
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed

from benchmarks.payloads import Action
from benchmarks.peers.client import Client

PACKAGES = ["openpi-client", "websockets", "msgpack", "numpy"]


def serve(policy: Any, *, unix: bool) -> str:
    """Serves on loopback."""
    assert not unix
    ready: Future[int] = Future()
    threading.Thread(target=lambda: asyncio.run(_serve(policy, ready)), daemon=True).start()
    return f"ws://127.0.0.1:{ready.result()}"


async def _serve(policy: Any, ready: Future[int]) -> None:
    async def handle(connection: Any) -> None:
        packer = msgpack_numpy.Packer()
        await connection.send(packer.pack({}))
        try:
            while True:
                request = msgpack_numpy.unpackb(await connection.recv())
                action = {"actions": policy.answer(request["batch"])}
                await connection.send(packer.pack(action))
        except ConnectionClosed:
            return

    async with listen(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        ready.set_result(server.sockets[0].getsockname()[1])
        await server.serve_forever()


def connect(address: str) -> Client:
    """Returns a client."""
    return OpenpiClient(address)


class OpenpiClient(Client):
    """The published client."""

    def __init__(self, address: str) -> None:
        self._policy = WebsocketClientPolicy(address)

    def predict(self, batch: Any) -> Action:
        """Calls the policy."""
        action: Action = self._policy.infer({"batch": batch})["actions"]
        return action
