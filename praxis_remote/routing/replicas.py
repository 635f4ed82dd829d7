# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The servers that have the same policy: connections, and whether they are there.

Which of them a call is for is asked of `owners`; nothing here knows what a call says.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from .. import wire
from ..address import parse_address
from ..calls import HEALTH_CHECK, Deadline, Headers
from ..channel import Channel
from ..errors import (
    HandlerError,
    RemoteError,
    UnavailableError,
)
from ..framing import Find, Segments
from ..http2 import Response, Silences
from ..logs import event
from ..schema import HealthResponse
from ..tokens import Token
from .owners import Key, Owners

__all__ = ["Replica", "Replicas"]

log = logging.getLogger("praxis_remote.routing")

# A replica is asked so often how it is, and more seldom where there are more of them: all
# together are asked so often a second at most.
_ASK_SECONDS, _ASKED_A_SECOND = 1.0, 100
# Its event loop answers, whatever its policy does.
_ANSWER_SECONDS = 10.0

# On the way to a replica, as a client has them.
_SILENCES = Silences(ping=20.0, answer=20.0)


class Replica:
    """One server.

    Attributes:
        name: By which it is known.
        address: Where it listens.
        ready: What it said last of being ready.
        info: What its policy said last of itself.
    """

    def __init__(self, name: str, address: str, channel: Channel) -> None:
        self.name = name
        self.address = address
        self.ready = False
        self.info: str | HandlerError = ""
        self._channel = channel
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def call(
        self,
        path: str,
        segments: Segments,
        deadline: Deadline | None,
        metadata: Headers = (),
        find: Find | None = None,
    ) -> Response:
        """Sends a request and returns the response.

        Raises:
            RemoteError: Whatever became of it.
        """
        self._in_flight += 1
        self._idle.clear()
        try:
            return await self._channel.call(
                path, segments, deadline=deadline, metadata=metadata, find=find
            )
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def ask(self) -> None:
        """Asks how it is.

        Raises:
            RemoteError: It does not say.
        """
        deadline = Deadline.after(_ANSWER_SECONDS)
        try:
            response = await self.call(HEALTH_CHECK.path, [b""], deadline)
        except HandlerError as error:  # of its policy's model_info
            self.ready, self.info = True, HandlerError(error.details())
        else:
            health = wire.read_message(HealthResponse, response.message)
            self.ready, self.info = health.ready, health.model_info

    async def close(self) -> None:
        """Closes the connection when the calls that run have ended."""
        await self._idle.wait()
        await self._channel.close()


class Replicas:
    """All that are there.

    Args:
        owners: Who has which episode.
        max_message_size: Bytes of a request or response.
        token: Shown to each of them.
    """

    def __init__(self, owners: Owners, max_message_size: int, token: str | None = None) -> None:
        self._owners = owners
        self._max_message_size = max_message_size
        self._token = None if token is None else Token(token)
        self._replicas: dict[str, Replica] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._suspects: set[Replica] = set()

    def __len__(self) -> int:
        return len(self._replicas)

    @property
    def all(self) -> tuple[Replica, ...]:
        """Those that are there."""
        return tuple(self._replicas.values())

    def loads(self) -> dict[str, int]:
        """Returns how many episodes each of them has. May be called in any thread."""
        return self._owners.loads()

    async def add(self, name: str, address: str) -> None:
        """Takes one that says where it listens; one with the same name is replaced.

        Raises:
            RemoteError: It cannot be reached.
        """
        channel = Channel(
            parse_address(address), self._max_message_size, (), _SILENCES, token=self._token
        )
        replica = Replica(name, address, channel)
        try:
            await replica.ask()
        except BaseException:
            await replica.close()
            raise
        if (before := self._replicas.get(name)) is not None:
            self.lose(before, "it came anew")
        self._replicas[name] = replica
        self._owners.add(name)
        log.info("replica %s at %s", name, address, extra=event("replica_found", address=address))
        self._begin(self._watch(replica))

    def lose(self, replica: Replica, reason: str) -> None:
        """Takes the news that one is gone, or takes no more calls."""
        if self._replicas.get(replica.name) is not replica:
            return
        del self._replicas[replica.name]
        self._owners.remove(replica.name)
        log.warning(
            "lost replica %s at %s: %s",
            replica.name,
            replica.address,
            reason,
            extra=event("replica_lost", address=replica.address, reason=reason),
        )
        self._begin(replica.close())

    def owner_of(self, key: Key) -> Replica:
        """Returns who has an episode.

        Raises:
            UnavailableError: There is none.
        """
        name = self._owners.find(key, time.monotonic())
        return self._replicas[_some(name)]

    def any(self) -> Replica:
        """Returns one of them, which is ready if there is such a one.

        Raises:
            UnavailableError: There is none.
        """
        best = max(self.all, key=lambda replica: replica.ready, default=None)
        return self._replicas[_some(None if best is None else best.name)]

    def begin_anew(self, key: Key) -> tuple[Replica, ...]:
        """Returns who is to reset an episode.

        Raises:
            UnavailableError: There is none.
        """
        names = self._owners.begin_anew(key, time.monotonic())
        return tuple(self._replicas[name] for name in names or (_some(None),))

    def forget_episodes(self) -> None:
        """Forgets who has which."""
        self._owners.clear()

    async def _watch(self, replica: Replica) -> None:
        """Asks again and again, which also keeps the connection."""
        while self._replicas.get(replica.name) is replica:
            await asyncio.sleep(max(_ASK_SECONDS, len(self) / _ASKED_A_SECOND))
            await self._look_at(replica)

    async def _look_at(self, replica: Replica) -> None:
        """Asks one how it is, and loses it if it does not say."""
        try:
            await replica.ask()
        except RemoteError as error:
            self.lose(replica, error.details())

    def suspect(self, replica: Replica) -> None:
        """Has one looked at, at once."""
        if replica not in self._suspects:
            self._suspects.add(replica)
            self._begin(self._look_at_suspect(replica))

    async def _look_at_suspect(self, replica: Replica) -> None:
        try:
            await self._look_at(replica)
        finally:
            self._suspects.discard(replica)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Closes all connections."""
        replicas, self._replicas = self.all, {}
        for task in (tasks := tuple(self._tasks)):
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        for replica in replicas:
            await replica.close()


def _some(name: str | None) -> str:
    if name is None:
        raise UnavailableError("no replica of the policy is there; try again later", never_ran=True)
    return name
