# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The server's end: a listening socket, its connections, and the calls on them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from typing_extensions import override

from ..address import name_peer
from ..calls import (
    CONTENT_TYPE,
    Deadline,
    Headers,
    Metadata,
    decode_metadata,
    decode_timeout,
    encode_status,
)
from ..errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    MessageTooLargeError,
    RemoteError,
    StatusCode,
    UnavailableError,
)
from ..framing import ACCEPTED_ENCODINGS, MessageReader, MessageWriter, Segments
from .connection import CLOSE_TIMEOUT, Call, Owner, Protocol, Stream

log = logging.getLogger("praxis_remote.http2")

_RESPONSE_HEADERS: Headers = [
    (":status", "200"),
    ("content-type", CONTENT_TYPE),
    ("grpc-accept-encoding", ACCEPTED_ENCODINGS),
]
_OK_TRAILERS = encode_status(StatusCode.OK)

_BACKLOG = 1024


class ServerCall(Call):
    """A call as the service sees it.

    Attributes:
        path: ``/package.Service/Method``.
        metadata: What the caller sent along.
        deadline: When the caller gives up, if it said so.
        peer: The caller's address; for one without, as on a UNIX socket, the socket's.
    """

    path: str
    metadata: Metadata
    deadline: Deadline | None = None
    task: asyncio.Task[None]

    def __init__(self, stream: Stream, headers: Headers, peer: str, max_message_size: int) -> None:
        super().__init__()
        fields = dict(headers)
        self._stream = stream
        self._fields = fields
        self._encoding = fields.get("grpc-encoding", "identity")
        self._reader = MessageReader(max_message_size, "request")
        self._received = False
        self._error: RemoteError | None = None
        self._gone = False
        self._headers_sent = False
        self.path = fields.get(":path", "")
        self.metadata = decode_metadata(headers)
        self.peer = peer

    def refusal(self) -> str | None:
        """Returns the HTTP status for a request that is no gRPC call at all."""
        if self._fields.get(":method") != "POST":
            return "405"
        content_type = self._fields.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in (CONTENT_TYPE, CONTENT_TYPE + "+proto"):
            return "415"
        return None

    def start_timer(self) -> asyncio.TimerHandle | None:
        """Reads the deadline, and has the call ended when it passes.

        Raises:
            InvalidArgumentError: The deadline cannot be read.
            DeadlineExceededError: It has passed already.
        """
        raw = self._fields.get("grpc-timeout")
        if raw is None:
            return None
        seconds = decode_timeout(raw)
        if seconds <= 0:
            raise _expired()
        self.deadline = Deadline.after(seconds)
        return asyncio.get_running_loop().call_later(seconds, self.end_with, _expired())

    # What the stream tells.

    @override
    def abandoned(self) -> bool:
        return self._gone

    @override
    def receive_headers(self, headers: Headers) -> None:
        """Trailers of a request mean nothing."""

    @override
    def receive_data(self, data: bytes | memoryview) -> None:
        if self._error is None:
            try:
                self._reader.feed(data)
            except RemoteError as error:
                self._error = error
                self.wake()

    @override
    def receive_into(self, size: int) -> memoryview | None:
        return None if self._error is not None else self._reader.space(size)

    @override
    def received_into(self, size: int) -> None:
        self._reader.filled(size)

    @override
    def receive_end(self) -> None:
        self._received = True
        self.wake()

    @override
    def fail(self, error: RemoteError) -> None:
        self._gone = True
        self.task.cancel()

    # What the service asks.

    async def receive(self) -> bytearray:
        """Returns the request message, once all of it is here.

        Raises:
            RemoteError: It is too large, cut off, or not there.
        """
        while not self._received and self._error is None:
            await self.pause()
        if self._error is not None:
            raise self._error
        message = self._reader.end(self._encoding)
        if message is None:
            raise InvalidArgumentError("the call ended without a request message")
        return message

    # What the server does.

    def end_with(self, error: RemoteError) -> None:
        """Stops the work on the call and has it answered with a status."""
        self._error = error
        self.task.cancel()

    def error_after_cancel(self) -> RemoteError | None:
        """Returns what to answer after the call was stopped; None if nobody listens."""
        return None if self._gone else self._error

    async def send(self, segments: Segments, max_message_size: int) -> None:
        """Sends the response."""
        try:
            writer = MessageWriter(segments, max_message_size, "response")
        except MessageTooLargeError as error:
            log.warning("%s: %s: %s", self.peer, self.path, error.details())
            raise
        self._stream.queue_headers(_RESPONSE_HEADERS)
        self._headers_sent = True
        await self._stream.send_message(writer, _OK_TRAILERS)

    def send_status(self, code: StatusCode, details: str) -> None:
        """Answers with a status alone. What was half sent is cut off instead."""
        if self._headers_sent:
            self._stream.reset_if_open(ErrorCodes.CANCEL)
            return
        self.send_headers(_RESPONSE_HEADERS + encode_status(code, details))

    def send_headers(self, headers: Headers) -> None:
        """Sends headers that are all of the response."""
        with suppress(H2Error):
            self._stream.queue_headers(headers, end_stream=True)
            self._stream.connection.flush()

    def close(self) -> None:
        """Lets the peer stop sending, if it still does."""
        self._stream.reset_if_open(ErrorCodes.NO_ERROR)


def _expired() -> DeadlineExceededError:
    return DeadlineExceededError("the caller's deadline passed before the answer was ready")


def _stopping() -> UnavailableError:
    return UnavailableError("the server is shutting down")


async def _wait_lost(protocols: list[Protocol], patience: float) -> None:
    """Waits until these connections have ended, or the patience has."""
    waiting = [asyncio.ensure_future(protocol.lost.wait()) for protocol in protocols]
    if waiting:
        _, left = await asyncio.wait(waiting, timeout=max(0.0, patience))
        for task in left:
            task.cancel()


Respond: TypeAlias = Callable[[ServerCall], Awaitable[Segments]]
"""Turns a call into the segments of its response, or raises `RemoteError`."""


class _ServerConnection(Owner):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._peer: str | None = None
        self.protocol = Protocol(self, client_side=False)

    @override
    def accept(self, stream: Stream, headers: Headers, release: Callable[[], None]) -> None:
        if self._peer is None:
            name = self.protocol.connection.transport.get_extra_info
            self._peer = name_peer(name("peername"), name("sockname"))
        call = ServerCall(stream, headers, self._peer, self._listener.max_message_size)
        stream.call = call
        self._listener.begin(call, release)

    @override
    def settings_received(self) -> None:
        """Nothing waits for it."""

    @override
    def going_away(self) -> None:
        """A client that goes away still wants its answers; it closes the connection after."""

    @override
    def connection_closed(self, reason: str) -> None:
        self._listener.connections.discard(self)


class Listener:
    """Accepts connections on a socket and answers their calls.

    Attributes:
        max_message_size: Bytes of a request or response.
        connections: Those that are open.
    """

    def __init__(self, respond: Respond, max_message_size: int) -> None:
        self._respond = respond
        self._server: asyncio.Server | None = None
        self._running: set[ServerCall] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self.max_message_size = max_message_size
        self.connections: set[_ServerConnection] = set()

    async def start(self, sock: socket.socket) -> None:
        """Accepts connections on ``sock``, which is bound."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, sock=sock, backlog=_BACKLOG)

    def _connect(self) -> Protocol:
        connection = _ServerConnection(self)
        self.connections.add(connection)
        return connection.protocol

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and closes when the running ones are done and sent.

        Args:
            grace: Seconds after which they are ended with UNAVAILABLE.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self._stopping = True
        if self._server is not None:
            self._server.close()
        self.end_calls(grace)
        await self._idle.wait()
        protocols = [connection.protocol for connection in self.connections]
        made = [protocol for protocol in protocols if protocol.made]
        if grace > 0:
            for protocol in made:
                protocol.leave()
            await _wait_lost([p for p in made if p.connection.unsent()], end - loop.time())
            await _wait_lost(made, CLOSE_TIMEOUT)
        for protocol in protocols:
            protocol.close("the server is shutting down")
        await _wait_lost(protocols, 2 * CLOSE_TIMEOUT)

    def end_calls(self, grace: float) -> None:
        """Ends the running calls after the grace. Of several graces the shortest holds."""

        def end() -> None:
            for call in list(self._running):
                call.end_with(_stopping())

        asyncio.get_running_loop().call_later(max(0.0, grace), end)

    def begin(self, call: ServerCall, release: Callable[[], None]) -> None:
        """Answers a call in a task of its own."""

        def finish(_: asyncio.Task[None]) -> None:
            # Not in the task: one that is cancelled before it starts never runs.
            release()
            call.close()
            self._running.discard(call)
            if not self._running:
                self._idle.set()

        self._running.add(call)
        self._idle.clear()
        call.task = asyncio.get_running_loop().create_task(self._run(call))
        call.task.add_done_callback(finish)

    async def _run(self, call: ServerCall) -> None:
        timer = None
        try:
            if (refusal := call.refusal()) is not None:
                call.send_headers([(":status", refusal)])
                return
            timer = call.start_timer()
            if self._stopping:
                raise _stopping()
            await call.send(await self._respond(call), self.max_message_size)
        except asyncio.CancelledError:
            error = call.error_after_cancel()
            if error is not None:
                call.send_status(error.code(), error.details())
        except RemoteError as error:
            call.send_status(error.code(), error.details())
        except H2Error as error:
            log.debug("%s: the connection failed while answering: %s", call.peer, error)
        except Exception as error:
            log.exception("%s: %s failed in a way that was not foreseen", call.peer, call.path)
            call.send_status(StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        finally:
            if timer is not None:
                timer.cancel()
