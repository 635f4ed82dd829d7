# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The policy of `waiting`, and many clients on one event loop: less CPU than many threads."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.payloads import Action
from benchmarks.peers.client import Client, Limit
from benchmarks.peers.many import stepper
from benchmarks.peers.praxis import PACKAGES, TIMEOUT, where
from benchmarks.peers.waiting import serve
from praxis_remote import AsyncPolicyClient

__all__ = ["PACKAGES", "connect", "serve"]


def connect(address: str, clients: int = 1, step: float = 0.0, ramp: float = 0.0) -> Client:
    """Returns so many clients, in turn for each of the addresses that commas part.

    See `many.Many` for the times.
    """
    return AsyncWaitingClient(address.split(","), clients, step, ramp)


class AsyncWaitingClient(Client):
    """Many clients as one, which all call when there is something to measure."""

    def __init__(self, addresses: list[str], clients: int, step: float, ramp: float) -> None:
        self._clients = [
            AsyncPolicyClient(*where(addresses[number % len(addresses)]), timeout=TIMEOUT)
            for number in range(clients)
        ]
        self._step = step
        self._ramp = ramp
        self._loop = asyncio.new_event_loop()

    def predict(self, batch: Any) -> Action:
        """Has all call once, so that all are connected."""
        return self._loop.run_until_complete(self._predict(batch))

    async def _predict(self, batch: Any) -> Action:
        actions = [await client.predict_action(batch) for client in self._clients]
        return actions[0]

    def measure(self, prepared: Any, limit: Limit) -> list[float]:
        """Returns the seconds of each call; the limit of calls is one for each client."""
        return self._loop.run_until_complete(self._measure(prepared, limit))

    async def _measure(self, batch: Any, limit: Limit) -> list[float]:
        begin, ramp = time.perf_counter(), limit.seconds * self._ramp

        async def run(number: int) -> list[float]:
            times: list[float] = []
            draw = stepper(number, self._step)
            await asyncio.sleep(draw())
            while not limit.reached(len(times), time.perf_counter() - begin):
                before = time.perf_counter()
                await self._clients[number].predict_action(batch)
                if before - begin >= ramp:
                    times.append(time.perf_counter() - before)
                if self._step:
                    await asyncio.sleep(draw())
            return times

        found = await asyncio.gather(*map(run, range(len(self._clients))))
        return [seconds for times in found for seconds in times]
