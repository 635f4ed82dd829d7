# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""All workers, and which of them a connection goes to."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .. import wire
from ..http2 import FirstRequest
from ..logs import event
from ..schema.generated_monitor import StatusResponse
from .door import Door, Visitor
from .messages import Message
from .sessions import Sessions
from .status import join_statuses
from .worker import Failure, Worker

__all__ = ["Group", "GroupError"]

log = logging.getLogger("praxis_remote.workers")

_HEALTH = b"/grpc.health.v1.Health/"

_NOBODY = "all workers are down, and are started again; try again later"

# For an answer of a worker, whose policy may hold the interpreter.
_ANSWER_SECONDS = 1.0

# What workers get to end when they were told to do so at once.
_END_SECONDS = 5.0

Answers: TypeAlias = "list[tuple[Worker, bytes]]"


class GroupError(Exception):
    """The workers cannot serve.

    Attributes:
        failure: Why the first one cannot.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Group:
    """Workers of one policy.

    Args:
        command: Returns what starts a worker, by its number and that of its socket.
        number: How many there are.
        devices: What each is to see of the GPUs, in turn. None: all see all.

    Attributes:
        workers: They.
    """

    def __init__(
        self, command: Callable[[str], Sequence[str]], number: int, devices: Sequence[str] = ()
    ) -> None:
        self.workers = [
            Worker(
                index,
                command,
                devices[index % len(devices)] if devices else None,
                failed=self._fail,
                returned=self._take_back,
                asked=self._asked,
            )
            for index in range(number)
        ]
        self._sessions = Sessions()
        # Of those with the same load, the one whose turn was longest ago is next.
        self._turns = list(self.workers)
        self._door: Door | None = None
        self._failure: Failure | None = None
        self._failed = asyncio.Event()
        self._stopping = False
        self._lives: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._statuses: dict[float, asyncio.Task[bytes]] = {}

    async def load(self) -> str:
        """Starts the workers; returns the class of the policy when all have loaded it.

        Raises:
            GroupError: One cannot.
        """
        self._lives = [asyncio.ensure_future(worker.live()) for worker in self.workers]
        loaded = asyncio.gather(*(worker.loaded.wait() for worker in self.workers))
        await self._first_of(loaded, asyncio.ensure_future(self._failed.wait()))
        if self._failure is not None:
            await self._end()
            raise GroupError(self._failure)
        return self.workers[0].policy

    async def serve(
        self,
        listening: socket.socket,
        address: tuple[str, int],
        *,
        most: int,
        patience: float,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """Lets connections in until it is stopped, and all workers have ended.

        Raises:
            GroupError: A worker cannot serve, and never has.
        """
        for worker in self.workers:
            worker.serve(*address)
        self._door = Door(listening, self._let_in, most=most, patience=patience, tls=tls)
        if self._stopping:
            self._door.close()
        lives = asyncio.ensure_future(asyncio.wait(self._lives))
        await self._first_of(lives, asyncio.ensure_future(self._failed.wait()))
        if self._failure is not None and not self._stopping:
            self.request_stop()
            await asyncio.wait(self._lives)
            raise GroupError(self._failure)

    @staticmethod
    async def _first_of(*futures: asyncio.Future[Any]) -> None:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        for future in futures:
            if not future.done():
                future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)

    async def _end(self) -> None:
        for worker in self.workers:
            worker.kill()
        await asyncio.gather(*self._lives, return_exceptions=True)

    def request_stop(self, *, grace: float = 0.0) -> None:
        """Has the workers end what they do. May be called repeatedly, with less and less grace."""
        self._stopping = True
        if self._door is not None:
            self._door.close()
        for worker in self.workers:
            worker.stop(grace)
        if not grace:
            loop = asyncio.get_running_loop()
            for worker in self.workers:
                loop.call_later(_END_SECONDS, worker.kill)

    def _fail(self, _: Worker, failure: Failure) -> None:
        self._failure = self._failure or failure
        self._failed.set()

    # ------------------------------------------------------------ connections

    def _let_in(self, visitor: Visitor) -> None:
        worker = self._choose(visitor.first)
        if worker is None:
            fields = event("connection_refused", peer=visitor.peer, reason=_NOBODY)
            log.info("%s: refusing the connection: %s", visitor.peer, _NOBODY, extra=fields)
            visitor.refuse(_NOBODY)
            return
        self._turns.remove(worker)
        self._turns.append(worker)
        self._sessions.settle(visitor.first.session, worker.index)
        worker.take(visitor)

    def _choose(self, first: FirstRequest) -> Worker | None:
        home = self._sessions.home(first.session)
        if home is not None and self.workers[home].up:
            return self.workers[home]
        up = [worker for worker in self._turns if worker.up]
        # At the first start all warm up, and take their shares. A health check shall find
        # one that is ready if there is one.
        probe = first.path.startswith(_HEALTH)
        able = [w for w in up if w.warm or not (probe or w.was_warm)] or up
        return min(able, key=lambda worker: worker.load, default=None)

    def _take_back(self, worker: Worker, visitors: list[Visitor]) -> None:
        """Lets those in elsewhere whom a worker that has ended did not take."""
        self._sessions.forget(worker.index)
        for visitor in visitors:
            self._let_in(visitor)

    # ------------------------------------------------------------ numbers

    async def ask(self, what: str, seconds: float = 0.0) -> Answers:
        """Asks all workers; returns the answers of those that answer in time."""
        questions = {
            asyncio.ensure_future(worker.ask(what, seconds)): worker for worker in self.workers
        }
        done, late = await asyncio.wait(questions, timeout=_ANSWER_SECONDS)
        for question in late:
            question.cancel()
        answers = [(worker, task.result()) for task, worker in questions.items() if task in done]
        return [(worker, answer) for worker, answer in answers if answer]

    def _asked(self, worker: Worker, message: Message) -> None:
        """Answers a worker what all do."""
        task = asyncio.ensure_future(
            self._answer(worker, message.fields["id"], message.fields["seconds"])
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, worker: Worker, number: int, seconds: float) -> None:
        # However many ask at once, the workers are asked once.
        if (look := self._statuses.get(seconds)) is None:
            look = self._statuses[seconds] = asyncio.ensure_future(self._status(seconds))
            look.add_done_callback(lambda _: self._statuses.pop(seconds))
        worker.answer(number, await asyncio.shield(look))

    async def _status(self, seconds: float) -> bytes:
        answers = await self.ask("status", seconds)
        statuses = [wire.read_message(StatusResponse, answer) for _, answer in answers]
        return wire.write_message(join_statuses(statuses)) if statuses else b""
