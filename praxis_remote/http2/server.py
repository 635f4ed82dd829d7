# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The server's end: a listening socket, its connections, and the calls on them."""

from __future__ import annotations

import asyncio
import logging
import socket
import typing
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

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
from ..memory import Pool
from ..stepper import Stepper
from .connection import CLOSE_TIMEOUT, Call, Owner, Protocol, Stream

log = logging.getLogger("praxis_remote.http2")

_RESPONSE_HEADERS: Headers = (
    (":status", "200"),
    ("content-type", CONTENT_TYPE),
    ("grpc-accept-encoding", ACCEPTED_ENCODINGS),
)
_OK_TRAILERS = encode_status(StatusCode.OK)

_BACKLOG = 1024


class _Request(NamedTuple):
    """What the headers of a request say. `refusal` is the HTTP status for one that is no call."""

    path: str
    metadata: Metadata
    timeout: str | None
    encoding: str
    refusal: str | None


@lru_cache(maxsize=64)
def _read_headers(headers: Headers) -> _Request:
    fields = dict(headers)
    content_type = fields.get("content-type", "").partition(";")[0].strip().lower()
    refusal = None
    if fields.get(":method") != "POST":
        refusal = "405"
    elif content_type not in (CONTENT_TYPE, CONTENT_TYPE + "+proto"):
        refusal = "415"
    return _Request(
        path=fields.get(":path", ""),
        metadata=decode_metadata(headers),
        timeout=fields.get("grpc-timeout"),
        encoding=fields.get("grpc-encoding", "identity"),
        refusal=refusal,
    )


class ServerCall(Call):
    """A call as the service sees it.

    Attributes:
        path: ``/package.Service/Method``.
        metadata: What the caller sent along.
        deadline: When the caller gives up, if it said so.
        peer: The caller's address; for one without, as on a UNIX socket, the socket's.
    """

    deadline: Deadline | None = None

    def __init__(self, stream: Stream, headers: Headers, peer: str, listener: Listener) -> None:
        super().__init__()
        request = _read_headers(headers)
        self.path = request.path
        self.metadata = request.metadata
        self.peer = peer
        self._request = request
        self._stream = stream
        self._listener = listener
        self._reader = listener.reader()
        self._error: RemoteError | None = None
        self._answer: Stepper[None] | None = None
        self._gone = False
        self._finished = False
        self._headers_sent = False

    def begin(self) -> None:
        """Starts the deadline, or answers at once what needs no message to be answered."""
        if self._request.refusal is not None:
            self.send_headers(((":status", self._request.refusal),))
            self._finish()
            return
        try:
            self._read_deadline()
            self._listener.check(self)
        except RemoteError as error:
            self.end_with(error)

    def _read_deadline(self) -> None:
        if self._request.timeout is None:
            return
        seconds = decode_timeout(self._request.timeout)
        if seconds <= 0:
            raise _expired()
        self.deadline = Deadline.after(seconds)
        self._stream.processor.deadlines.add(self.deadline, self._expire)

    def _expire(self) -> None:
        self.end_with(_expired())

    # What the stream tells.

    @override
    def abandoned(self) -> bool:
        return self._gone

    @override
    def receive_headers(self, headers: Headers) -> None:
        """Trailers of a request mean nothing."""

    @override
    def receive_data(self, data: bytes | memoryview) -> None:
        if not self._finished:
            try:
                self._reader.feed(data)
            except RemoteError as error:
                self.end_with(error)

    @override
    def receive_into(self, size: int) -> memoryview | None:
        return None if self._finished else self._reader.space(size)

    @override
    def received_into(self, size: int) -> None:
        self._reader.filled(size)

    @override
    def receive_end(self) -> None:
        if not self._finished:
            self._answer = Stepper(self._listener.answer(self), self._step)
            self._step()

    @override
    def fail(self, error: RemoteError) -> None:
        self._gone = True
        if self._answer is None:
            self._finish()
        else:
            self._answer.cancel()

    # What the service asks.

    def message(self) -> bytearray | memoryview:
        """Returns the request message.

        Raises:
            RemoteError: It is cut off, cannot be decompressed, or is not there.
        """
        message = self._reader.end(self._request.encoding)
        if message is None:
            raise InvalidArgumentError("the call ended without a request message")
        # It belongs to the caller from now on, who knows when it is of no more use.
        self._reader.clear()
        return message

    # What the server does.

    def _step(self) -> None:
        assert self._answer is not None
        self._answer.step()
        if self._answer.done:
            self._finish()

    def _finish(self) -> None:
        """Ends the call, and lets the peer stop sending if it still does."""
        if self._finished:
            return
        self._finished = True
        if self.deadline is not None:
            self._stream.processor.deadlines.remove(self._expire)
        self._stream.processor.release(self._stream)
        self._stream.reset_if_open(ErrorCodes.NO_ERROR)
        self._listener.forget(self)
        self._reader.clear()

    def end_with(self, error: RemoteError) -> None:
        """Has the call answered with a status, and stops the work on it."""
        if self._answer is not None:
            self._error = error
            self._answer.cancel()
            return
        self.send_status(error.code(), error.details())
        self._finish()

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


class Service(typing.Protocol):
    """What answers calls."""

    def check(self, call: ServerCall) -> None:
        """Raises `RemoteError` for a call whose message need not be waited for."""

    async def respond(self, call: ServerCall) -> Segments:
        """Returns the response's message, or raises `RemoteError`."""
        raise NotImplementedError

    def find(self, head: bytes | memoryview) -> int:
        """Returns the place in a request that shall be aligned, from its first bytes."""
        raise NotImplementedError


class _ServerConnection(Owner):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._peer: str | None = None
        self.protocol = Protocol(self, client_side=False)

    @override
    def accept(self, stream: Stream, headers: Headers) -> None:
        if self._peer is None:
            name = self.protocol.connection.transport.get_extra_info
            self._peer = name_peer(name("peername"), name("sockname"))
        call = ServerCall(stream, headers, self._peer, self._listener)
        stream.processor.register(stream, call)
        self._listener.begin(call)

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
        memory: Where large requests arrive.
        connections: Those that are open.
    """

    def __init__(self, service: Service, max_message_size: int) -> None:
        self._service = service
        self._server: asyncio.Server | None = None
        self._running: set[ServerCall] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self.memory = Pool()
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

    def refuse_calls(self) -> None:
        """Takes no more calls from now on. May be called in any thread."""
        self._stopping = True

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and closes when the running ones are done and sent.

        Args:
            grace: Seconds after which they are ended with UNAVAILABLE.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self.refuse_calls()
        if self._server is not None:
            # What is accepted already gets its transport in the next turn, and its protocol
            # in the one after. Once the server is closed, asyncio would leak it instead.
            for sock in self._server.sockets:
                loop.remove_reader(sock)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
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
        self.memory.close()

    def end_calls(self, grace: float) -> None:
        """Ends the running calls after the grace. Of several graces the shortest holds."""

        def end() -> None:
            for call in list(self._running):
                call.end_with(_stopping())

        asyncio.get_running_loop().call_later(max(0.0, grace), end)

    def begin(self, call: ServerCall) -> None:
        """Takes a call, whose message is still to come."""
        self._running.add(call)
        self._idle.clear()
        call.begin()

    def check(self, call: ServerCall) -> None:
        """Raises `RemoteError` for a call whose message need not be waited for."""
        if self._stopping:
            raise _stopping()
        self._service.check(call)

    def reader(self) -> MessageReader:
        """Returns what takes a request's message."""
        return MessageReader(
            self.max_message_size, "request", self.memory.allocate, self._service.find
        )

    def forget(self, call: ServerCall) -> None:
        """Takes the news that a call has ended."""
        self._running.discard(call)
        if not self._running:
            self._idle.set()

    async def answer(self, call: ServerCall) -> None:
        """Answers a call whose message is there."""
        try:
            await call.send(await self._service.respond(call), self.max_message_size)
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
