# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A client that calls, waits a little, and calls again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from praxis_remote import AsyncPolicyClient, PolicyClient, RemoteError

from .kinds import ANSWERED, CANCELLED, KINDS, WRONG, Batch, Kind, draw, stamp
from .policy import answer
from .tally import Tally

# For a call that has all the time that it needs: longer than any wait for others.
_PATIENCE = 120.0


class Shared:
    """What the workers of a process share.

    Attributes:
        tally: Where they count.
        locks: Of the kinds of which a process does only one at a time.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.locks = {name: asyncio.Lock() for name, kind in KINDS.items() if kind.alone}
        self._batches: dict[str, Batch] = {}

    def batch(self, name: str, kind: Kind) -> Batch | None:
        """Returns a batch: for a kind that is alone always the same, since it is large."""
        if kind.make is None:
            return None
        if not kind.alone:
            return kind.make()
        if name not in self._batches:
            self._batches[name] = kind.make()
        return self._batches[name]


class Worker:
    """One connection.

    Args:
        port: Of the server.
        seed: Of its choices.
        pause: Seconds between calls, on average.
        shared: What it shares with others.
        blocking: Whether its client is the blocking one, on a thread.
    """

    def __init__(
        self, port: int, seed: int, pause: float, shared: Shared, *, blocking: bool
    ) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self._pause = pause
        self._shared = shared
        self._blocking = blocking
        self._client = self._connect()

    def _connect(self) -> Any:
        cls = PolicyClient if self._blocking else AsyncPolicyClient
        return cls("127.0.0.1", self._port, timeout=_PATIENCE)

    async def run(self, leaving: asyncio.Event) -> None:
        """Calls until it is told to leave."""
        while not leaving.is_set():
            name = draw(self._chance)
            lock = self._shared.locks.get(name)
            if lock is None:
                await self._do(name)
            elif not lock.locked():
                async with lock:
                    await self._do(name)
            try:
                await asyncio.wait_for(leaving.wait(), self._chance.expovariate(1) * self._pause)
            except asyncio.TimeoutError:
                continue
        await self._close()

    async def _close(self) -> None:
        await self._own(self._client.close)

    async def _own(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Calls a method of the client in the client's way."""
        if self._blocking:
            return await asyncio.to_thread(function, *args, **options)
        return await function(*args, **options)

    async def _do(self, name: str) -> None:
        kind, tally = KINDS[name], self._shared.tally
        if name == "leave and come back":
            await self._close()
            self._client = self._connect()
        try:
            outcome = await self._call(name, kind)
        except asyncio.CancelledError:
            outcome = CANCELLED
        except RemoteError as error:
            tally.add(name, type(error).__name__, str(error))
            return
        tally.add(name, outcome)

    async def _call(self, name: str, kind: Kind) -> str:
        batch = self._shared.batch(name, kind)
        if name == "health":
            return _verdict(await self._own(self._client.health_check) == (True, "soak"))
        if name == "reset" or batch is None:
            ids = [f"{self._chance.getrandbits(40)}"]
            return _verdict(await self._own(self._client.reset, episode_ids=ids) is True)
        stamp(batch, self._chance)
        predict = partial(
            self._client.predict_action,
            batch,
            policy_kwargs={"floats": kind.floats},
            episode_ids=[f"{each['ticket']}" for each in batch],
        )
        limit = None if kind.timeouts is None else self._chance.uniform(*kind.timeouts)
        if limit is None:
            action = await self._own(predict)
        elif name != CANCELLED:
            action = await self._punctual(name, predict, limit)
        elif self._blocking:
            # It cannot be cancelled, but closed by another thread.
            action = await self._own(predict)
        else:
            action = await self._cancelled(predict, limit)
        return _verdict(np.array_equal(action, answer(batch, kind.floats)))

    async def _punctual(self, name: str, predict: Callable[..., Any], limit: float) -> Any:
        """Calls with a timeout, and notes how late it came back."""
        late = self._shared.tally.late.setdefault(name, [])
        if self._blocking:
            return await asyncio.to_thread(_timed, late, predict, limit)
        begin = time.perf_counter()
        try:
            return await predict(timeout=limit)
        except TimeoutError:
            late.append(time.perf_counter() - begin - limit)
            raise

    async def _cancelled(self, predict: Callable[..., Any], limit: float) -> Any:
        task = asyncio.ensure_future(predict())
        asyncio.get_running_loop().call_later(limit, task.cancel)
        return await task


def _timed(late: list[float], predict: Callable[..., Any], limit: float) -> Any:
    begin = time.perf_counter()
    try:
        return predict(timeout=limit)
    except TimeoutError:
        late.append(time.perf_counter() - begin - limit)
        raise


def _verdict(right: bool) -> str:
    return ANSWERED if right else WRONG
