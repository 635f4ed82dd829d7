# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A worker as the door sees it: a process that is started, and started again when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..backoff import Backoff
from ..logs import event
from .door import Visitor
from .link import Link
from .messages import Message

__all__ = ["Failure", "Worker"]

log = logging.getLogger("praxis_remote.workers")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0

# Who has been up for so long did not fail for the reason that it failed for before.
_STEADY_SECONDS = 60.0


class Failure(NamedTuple):
    """Why a worker cannot serve.

    Attributes:
        reason: In words, with what to do.
        exit_code: That of a server that finds this out by itself.
    """

    reason: str
    exit_code: int = 1


class Worker:
    """A process, the connections that it has, and those on their way to it.

    Args:
        index: Its number.
        command: Returns what starts it, by its number and that of its socket.
        device: What it is to see of the GPUs; None for all.
        failed: Called when it cannot serve, and never has.
        returned: Takes connections that it has not taken, when it has ended.
        asked: Takes its questions.

    Attributes:
        index: Its number.
        policy: The class of its policy, once that is loaded.
        load: How many connections are its.
        restarts: How often it was started again.
        loaded: Set as soon as its policy is loaded for the first time.
        up: Whether connections may be sent to it.
        warm: Whether it answers calls.
        was_warm: Whether it ever has.
    """

    def __init__(
        self,
        index: int,
        command: Callable[[str], Sequence[str]],
        device: str | None,
        *,
        failed: Callable[[Worker, Failure], None],
        returned: Callable[[Worker, list[Visitor]], None],
        asked: Callable[[Worker, Message], None],
    ) -> None:
        self.index = index
        self.policy = ""
        self.load = self.restarts = 0
        self.up = self.warm = False
        self.loaded = asyncio.Event()
        self._command = command
        self._environment = dict(os.environ)
        if device is not None:
            # Which AMD's libraries read as well.
            self._environment["CUDA_VISIBLE_DEVICES"] = device
        self._failed = failed
        self._returned = returned
        self._asked = asked
        self.was_warm = False
        self._address: tuple[str, int] | None = None
        self._link: Link | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._failure: Failure | None = None
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._begun = 0.0
        self._stopping = asyncio.Event()
        self._coming: dict[int, Visitor] = {}
        self._numbers = 0
        self._questions: dict[int, asyncio.Future[bytes]] = {}

    # ------------------------------------------------------------ life

    async def live(self) -> None:
        """Runs the process, again and again, until it is stopped or cannot serve."""
        while not self._stopping.is_set():
            code = await self._live_once()
            self._clear(code)
            if self._stopping.is_set():
                return
            failure = self._failure or Failure(f"worker {self.index} {_describe(code)}")
            if not self.was_warm:
                self._failed(self, failure)
                return
            if time.monotonic() - self._begun >= _STEADY_SECONDS:
                self._backoff.reset()
            await self._pause()
            self.restarts += 1

    async def _pause(self) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._backoff.next())

    async def _live_once(self) -> int:
        self._failure, self._begun = None, time.monotonic()
        ours, theirs = socket.socketpair()
        with theirs:
            link = self._link = Link(ours, lambda message: self._receive(link, message))
            words = self._command(f"{self.index}:{theirs.fileno()}")
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *words,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            except OSError as error:
                link.close()
                self._failure = Failure(f"worker {self.index}: cannot be started: {error}")
                return 1
        if self._stopping.is_set():
            self.kill()
        # A child of its own may have the socket; the end of the process is the end.
        code = await self._process.wait()
        if not link.closed.is_set():
            link.drain()
        return code

    def _clear(self, code: int) -> None:
        """Takes note of the end of the process."""
        was_up, failure = self.up, self._failure
        self.up = self.warm = False
        self._process = None
        for question in self._questions.values():
            if not question.done():
                question.set_result(b"")
        self._questions.clear()
        returned, self._coming = [*self._coming.values()], {}
        if self.was_warm and not self._stopping.is_set():
            if was_up and failure is None:
                self._log_end(code, self.load - len(returned))
            else:
                self._log_failure(_describe(code) if failure is None else failure.reason)
        self.load = 0
        self._returned(self, returned)

    def _log_end(self, code: int, lost: int) -> None:
        how = _describe(code)
        fields = event("worker_ended", worker=self.index, reason=how)
        text = "worker %d %s; its %d connections are lost, and it is started again"
        log.error(text, self.index, how, lost, extra=fields)

    def _log_failure(self, reason: str) -> None:
        fields = event("worker_failed", worker=self.index, reason=reason)
        text = "worker %d cannot serve, and is tried again: %s"
        log.error(text, self.index, reason, extra=fields)

    # ------------------------------------------------------------ messages

    def _receive(self, link: Link, message: Message) -> None:
        if link is not self._link:
            return
        fields = message.fields
        if message.kind == "loaded":
            self.policy = fields["policy"]
            self.loaded.set()
            self._begin()
        elif message.kind == "failed":
            self._failure = Failure(fields["reason"], fields["exit_code"])
        elif message.kind == "warm":
            self._warm_up()
        elif message.kind == "taken":
            if (visitor := self._coming.pop(fields["id"], None)) is not None:
                visitor.sock.close()
        elif message.kind == "dropped":
            self.load -= 1
        elif message.kind == "answer":
            if (question := self._questions.pop(fields["id"], None)) and not question.done():
                question.set_result(message.body)
        elif message.kind == "ask":
            self._asked(self, message)

    def _warm_up(self) -> None:
        if self.was_warm:
            fields = event("worker_back", worker=self.index)
            log.info("worker %d is back", self.index, extra=fields)
        self.warm = self.was_warm = True

    def serve(self, host: str, port: int) -> None:
        """Has it serve, now and whenever it is started again."""
        self._address = (host, port)
        if self.loaded.is_set():
            self._begin()

    def _begin(self) -> None:
        if self._address is not None and self._link is not None and not self._stopping.is_set():
            host, port = self._address
            self.up = True
            self._link.send(Message("serve", {"host": host, "port": port}))

    def take(self, visitor: Visitor) -> None:
        """Hands a connection over."""
        assert self._link is not None
        self._numbers += 1
        self._coming[self._numbers] = visitor
        self.load += 1
        fields = {"id": self._numbers, "since": visitor.since, "peer": visitor.peer}
        message = Message("connection", fields, bytes(visitor.first.received))
        self._link.send(message, visitor.sock)

    async def ask(self, what: str, seconds: float = 0.0) -> bytes:
        """Asks for numbers; returns the answer, or nothing if there is none."""
        if not self.up or self._link is None:
            return b""
        self._numbers += 1
        number = self._numbers
        question: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[number] = question
        self._link.send(Message("ask", {"id": number, "what": what, "seconds": seconds}))
        try:
            return await question
        finally:
            self._questions.pop(number, None)

    def answer(self, number: int, body: bytes) -> None:
        """Answers a question of its."""
        if self._link is not None:
            self._link.send(Message("answer", {"id": number}, body))

    # ------------------------------------------------------------ end

    def stop(self, grace: float) -> None:
        """Has it take no more calls, and end. May be called repeatedly."""
        self._stopping.set()
        if self.up and self._link is not None:
            self._link.send(Message("stop", {"grace": grace}))
        else:
            self.kill()

    def kill(self) -> None:
        """Ends it, whatever it does."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


def _describe(code: int) -> str:
    """Returns how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
