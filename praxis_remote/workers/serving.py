# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The worker's own side: a server whose connections others have accepted."""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from typing_extensions import override

from .. import wire
from ..calls import Deadline
from ..errors import UnavailableError
from ..protocol import PolicyHandler
from ..schema.generated_monitor import StatusRequest, StatusResponse
from ..server import PolicyServer
from ..stage import Stage
from ..tls import ServerContexts
from .messages import Message, MessageReader, write_message

__all__ = ["Control", "WorkerServer"]

_READ, _FILES = 64 * 1024, 16

# For an answer about all workers.
_ANSWER_SECONDS = 2.0

# What the server gets to end in good order when the door is gone.
_END_SECONDS = 5.0


class Control:
    """The socket to the door, which is read by a thread from the start.

    When it is closed the door is gone, and the process ends, whatever it does.

    Args:
        sock: The worker's end.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._address: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._server: WorkerServer | None = None
        # What came before there was a server.
        self._early: list[tuple[Message, int | None]] = []
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        for target, name in ((self._read, "reader"), (self._write, "writer")):
            threading.Thread(target=target, name=f"praxis-remote-{name}", daemon=True).start()

    def wait_to_serve(self, policy: str) -> tuple[str, int]:
        """Tells that the policy is loaded; returns the address once there is one."""
        self.send(Message("loaded", {"policy": policy}))
        return self._address.get()

    def fail(self, reason: str, exit_code: int) -> None:
        """Tells why there will be no server, before this returns."""
        self.send_at_once(Message("failed", {"reason": reason, "exit_code": exit_code}))

    def send(self, message: Message) -> None:
        """Sends a message, and does not wait for it."""
        self._outgoing.put(write_message(message))

    def send_at_once(self, message: Message) -> None:
        """Sends a message before this returns."""
        self._send_all(write_message(message))

    def _write(self) -> None:
        while True:
            self._send_all(self._outgoing.get())

    def _send_all(self, data: bytes) -> None:
        with self._sending, suppress(OSError):  # the reader finds out that the door is gone
            self._socket.sendall(data)

    def _read(self) -> None:
        reader, files = MessageReader(), list[int | None]()
        while True:
            data, fds = self._receive_some()
            files += fds
            if not data:
                self._lose_door()
                return
            for message in reader.feed(data):
                self._receive(message, files.pop(0) if message.kind == "connection" else None)

    def _receive_some(self) -> tuple[bytes, list[int | None]]:
        try:
            data, fds, flags, _ = socket.recv_fds(self._socket, _READ, _FILES)
        except OSError:
            return b"", []
        for fd in fds:
            os.set_inheritable(fd, False)
        # Without a free place for it in this process, a socket is gone.
        return data, [*fds, *([None] if flags & socket.MSG_CTRUNC else [])]

    def _receive(self, message: Message, fd: int | None) -> None:
        if message.kind == "serve":
            self._address.put((message.fields["host"], message.fields["port"]))
            return
        if message.kind == "connection":
            # Before anything is done with it: if this process ends, it is known that nobody
            # else may have it.
            self.send_at_once(Message("taken", {"id": message.fields["id"]}))
            if fd is None:
                self.send(Message("dropped", {"id": message.fields["id"]}))
                return
        with self._lock:
            if self._server is None:
                self._early.append((message, fd))
                return
        self._server.receive_soon(message, fd)

    def attach(self, server: WorkerServer) -> None:
        """Gives a server, which runs by now, what comes."""
        with self._lock:
            self._server = server
            for message, fd in self._early:
                server.receive_soon(message, fd)
            self._early.clear()

    def _lose_door(self) -> None:
        if self._server is not None:
            # Callers learn in good order that this is the end.
            self._server.request_stop()
            threading.Event().wait(_END_SECONDS)
        os._exit(1)


class WorkerServer(PolicyServer):
    """A server on the connections that the door hands over.

    Args:
        handler: The policy.
        control: The socket to the door.
        host: Where the door listens.
        port: The same.
        collect: Returns the metrics, if there are any.
        tls: The door's affair; with it, the door is who is at the other end of each connection.
        socket_mode: The same.
        shared_memory: As of `PolicyServer`.
        options: Of `PolicyServer`.
    """

    def __init__(
        self,
        handler: PolicyHandler,
        *,
        control: Control,
        host: str,
        port: int,
        collect: Callable[[], bytes] = bytes,
        tls: object = None,
        socket_mode: object = None,  # noqa: ARG002 - see the docstring
        shared_memory: bool = True,
        **options: Any,
    ) -> None:
        shares = shared_memory and tls is None
        super().__init__(handler, host=host, port=port, shared_memory=shares, **options)
        self._control = control
        self._collect = collect
        self._questions: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._service.answer_status(self._get_status)

    @override
    def _listen(
        self, mode: int | None, tls: ServerContexts | None, *, named: bool
    ) -> socket.socket:
        """Returns a socket on which nothing comes: the door listens."""
        return socket.socket()

    @override
    async def _accept(self) -> None:
        self._control.attach(self)

    def _do(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @override
    def _warm(self) -> None:
        # Who has answered a call was warm: the door shall know that if this process dies.
        if self.stage is not Stage.DRAINING:
            self._control.send_at_once(Message("warm", {}))

    # ------------------------------------------------------------ messages

    def receive_soon(self, message: Message, fd: int | None) -> None:
        """Takes a message from another thread."""
        loop = self._loop
        try:
            assert loop is not None
            loop.call_soon_threadsafe(self._receive, message, fd)
        except (AssertionError, RuntimeError):  # the end is near
            if fd is not None:
                os.close(fd)

    def _receive(self, message: Message, fd: int | None) -> None:
        fields = message.fields
        if fd is not None:
            self._adopt(message, fd)
        elif message.kind == "stop":
            self.request_stop(grace=fields["grace"])
        elif message.kind == "ask":
            self._do(self._answer(fields["id"], fields["what"], fields["seconds"]))
        elif (question := self._questions.get(fields["id"])) is not None:
            _settle(question, message.body)

    def _adopt(self, message: Message, fd: int) -> None:
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        number = message.fields["id"]
        self._listener.adopt(
            sock,
            message.body,
            since=message.fields["since"],
            peer=message.fields["peer"],
            dropped=lambda: self._control.send(Message("dropped", {"id": number})),
        )

    # ------------------------------------------------------------ numbers

    async def _answer(self, number: int, what: str, seconds: float) -> None:
        if what == "metrics":
            body = self._collect()
        else:
            request = StatusRequest(seconds=seconds)
            body = wire.write_message(await self._service.get_status(request, None))
        self._control.send(Message("answer", {"id": number}, body))

    async def _get_status(
        self, request: StatusRequest, deadline: Deadline | None
    ) -> StatusResponse:
        """Answers what all workers do.

        Raises:
            InvalidValueError: As `Monitor.get_status` does.
            UnavailableError: They did not answer in time.
        """
        await self._service.get_status(request, deadline)
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        question: asyncio.Future[bytes] = loop.create_future()
        self._questions[number] = question
        fields = {"id": number, "what": "status", "seconds": request.seconds}
        self._control.send(Message("ask", fields))
        # A call is no task, outside of which asyncio has no timeouts.
        timer = loop.call_later(_ANSWER_SECONDS, _settle, question, b"")
        try:
            body = await question
        finally:
            timer.cancel()
            del self._questions[number]
        if not body:
            raise UnavailableError("the workers did not tell in time what they do")
        return wire.read_message(StatusResponse, body)


def _settle(question: asyncio.Future[bytes], answer: bytes) -> None:
    if not question.done():
        question.set_result(answer)
