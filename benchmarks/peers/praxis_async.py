# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""praxis-remote's client for event loops; the server is that of `praxis`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.payloads import Action
from benchmarks.peers.client import Client, Limit
from benchmarks.peers.praxis import PACKAGES, TIMEOUT, serve, where
from praxis_remote import AsyncPolicyClient

__all__ = ["PACKAGES", "connect", "serve"]


def connect(address: str) -> Client:
    """Returns the client, on an event loop of its own."""
    return AsyncClient(AsyncPolicyClient(*where(address), timeout=TIMEOUT))


class AsyncClient(Client):
    """Awaits one call after the other; the loop keeps running between them."""

    def __init__(self, client: AsyncPolicyClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()

    def predict(self, batch: Any) -> Action:
        """Calls the policy once."""
        return self._loop.run_until_complete(self._client.predict_action(batch))

    def measure(self, prepared: Any, limit: Limit) -> list[float]:
        """Returns the seconds that each call took, all within the running loop."""
        return self._loop.run_until_complete(self._measure(prepared, limit))

    async def _measure(self, batch: Any, limit: Limit) -> list[float]:
        times: list[float] = []
        begin = now = time.perf_counter()
        while not limit.reached(len(times), now - begin):
            before = time.perf_counter()
            await self._client.predict_action(batch)
            now = time.perf_counter()
            times.append(now - before)
        return times
