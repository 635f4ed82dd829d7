# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What both ends of a connection have in common: streams, events, windows."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import select
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Any, cast

from grpclib import protocol as grpclib_protocol
from grpclib.config import Configuration
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from typing_extensions import override

from ..calls import Headers
from ..errors import (
    CallCancelledError,
    HandlerError,
    RemoteError,
    RequestRefusedError,
    ResourceExhaustedError,
    UnavailableError,
)
from ..framing import MessageWriter
from .deadlines import Deadlines
from .machine import StateMachine
from .offence import OffenceError
from .patience import Patience
from .receiving import Receiver
from .watch import Finding, Seen, Silences, Watch

log = logging.getLogger("praxis_remote.http2")

# Wide enough that no sender waits for news of them: a message's size is checked before
# its memory is taken, and TCP keeps the pace.
_STREAM_WINDOW = 128 * 2**20
_CONNECTION_WINDOW = 512 * 2**20
# What another call on the same connection may have to wait for.
_MAX_FRAME_SIZE = 4 * 2**20
_MAX_STREAMS = 128
_DEFAULT_WINDOW = 65535

# Below this size one joined write costs less than segments.
_SCATTER_SIZE = 16 * 1024
# What one sendmsg takes on every system.
_MAX_SEGMENTS = 1024

# Linux's default takes a fifth of a megabyte at a time. The system cuts this to its limit.
_UNIX_SEND_BUFFER = 4 * 2**20

# Reads at a time, so that no peer holds the loop.
_MAX_READS = 64

# What a peer that reads nothing may have waiting in answers to its frames. Of messages
# no more is taken than the socket takes.
_MAX_WAITING = 2**20

_PING = b"praxis??"

# TCP's own: how often it asks, and the most seconds that Linux takes.
_PROBES = 3
_MAX_TCP_SECONDS = 32767

# What a connection gets to flush its last frames when it is closed.
CLOSE_TIMEOUT = 1.0


class StreamRefusedError(UnavailableError):
    """The peer says that it has not begun the call, so that it may be sent again."""


# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors
_ERROR_OF_RESET: dict[int, type[RemoteError]] = {
    ErrorCodes.REFUSED_STREAM: StreamRefusedError,
    ErrorCodes.CANCEL: CallCancelledError,
    ErrorCodes.ENHANCE_YOUR_CALM: ResourceExhaustedError,
    ErrorCodes.INADEQUATE_SECURITY: RequestRefusedError,
}


class Call(ABC):
    """One end of a call: it is told what arrives, and waits until it may go on."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    async def pause(self) -> None:
        """Waits until something changed: a window, the socket, or the call itself."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Ends a `pause`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @abstractmethod
    def abandoned(self) -> bool:
        """Tells whether what is being sent is of no more use to anybody."""

    @abstractmethod
    def receive_headers(self, headers: Headers) -> None:
        """Takes headers or trailers that came after the first ones of a server's call."""

    @abstractmethod
    def receive_data(self, data: bytes | memoryview) -> None:
        """Takes the next part of the message."""

    @abstractmethod
    def receive_into(self, size: int) -> memoryview | None:
        """Returns where the next bytes of the message belong, None if they cannot go there."""

    @abstractmethod
    def received_into(self, size: int) -> None:
        """Takes the news that so many bytes are there."""

    @abstractmethod
    def receive_end(self) -> None:
        """Takes the news that the peer has sent everything."""

    @abstractmethod
    def fail(self, error: RemoteError) -> None:
        """Takes the news that the stream or its connection is gone."""

    @abstractmethod
    def due(self) -> bool:
        """Tells whether the peer shall send or take more of a message, or lose the call."""

    @abstractmethod
    def stalled(self, seconds: float) -> None:
        """Takes the news that nothing of it came or went for so long."""


class Owner(ABC):
    """Who a connection belongs to: it is told what concerns no call that is running."""

    def accept(self, stream: Stream, headers: Headers) -> None:  # noqa: ARG002 - for servers
        """Takes a new call, which it shall register. Not for clients."""
        raise OffenceError(f"a request on stream {stream.id}, from a server")

    @abstractmethod
    def settings_received(self) -> None:
        """Takes the news that the peer has sent its settings."""

    @abstractmethod
    def going_away(self) -> None:
        """Takes the news that the peer takes no new calls on this connection."""

    @abstractmethod
    def connection_closed(self, reason: str) -> None:
        """Takes the news that the connection is closed."""


class Stream:
    """A stream, on which a message is sent in chunks as the windows allow.

    grpclib's own has events and buffers that nothing here waits for.
    """

    __slots__ = ("call", "connection", "h2", "id", "processor")

    call: Call

    def __init__(self, processor: Processor, stream_id: int) -> None:
        self.processor = processor
        self.connection = processor.connection
        self.h2 = self.connection.h2
        self.id = stream_id

    async def send_message(self, message: MessageWriter, trailers: Headers | None = None) -> None:
        """Sends a message, and trailers after it, or as much as anybody wants.

        Without trailers the stream ends with the message.
        """
        while not (self.call.abandoned() or self._send_chunk(message, trailers)):
            await self.call.pause()

    def _send_chunk(self, message: MessageWriter, trailers: Headers | None) -> bool:
        """Sends what may be sent now; returns whether that was all."""
        while self.connection.write_ready.is_set() and (size := self.h2.sendable(self.id)) > 0:
            size = min(size, message.remaining)
            parts = message.take(size)
            last = not message.remaining
            self.h2.send_chunk(self.id, parts, size, end_stream=last and trailers is None)
            self.processor.sent(size)
            if last and trailers is not None:
                self.queue_headers(trailers, end_stream=True)
            self.connection.flush()
            if last:
                return True
        self.connection.flush()
        return False

    def queue_headers(self, headers: Headers, *, end_stream: bool = False) -> None:
        """Lets headers leave with the next flush."""
        self.h2.send_headers(self.id, headers, end_stream=end_stream)
        self.connection.last_sent = time.monotonic()

    def reset_if_open(self, code: ErrorCodes) -> None:
        """Tells the peer that the stream is over, where it is not over already."""
        stream = self.h2.streams.get(self.id)
        if stream is None or stream.closed or self.connection.is_closing():
            return
        with suppress(ProtocolError):  # the whole connection is over
            self.h2.reset_stream(self.id, error_code=code)
            self.connection.flush()


class Connection(grpclib_protocol.Connection):
    """grpclib's connection, with streams of our own, which sends segments unjoined.

    Attributes:
        taken: Bytes that the socket was given.
        last_sent: When headers or trailers of a call left last, on the monotonic clock.
    """

    _connection: StateMachine

    def __init__(
        self, h2: StateMachine, transport: asyncio.Transport, *, config: Configuration
    ) -> None:
        super().__init__(h2, transport, config=config)
        # Nothing waits in the transport's buffer, into which it would be copied.
        transport.set_write_buffer_limits(high=0)
        self._socket = _open_again(transport)
        self._poll = None if self._socket is None else _poll(self._socket)
        self._backlog: deque[memoryview] = deque()
        self._waiting = 0
        self._ending = False
        self.taken = 0
        self.last_sent = 0.0
        self.drained: Callable[[], None] = _nothing

    @property
    def h2(self) -> StateMachine:
        """The state machine."""
        return self._connection

    @property
    def transport(self) -> asyncio.Transport:
        """The socket's transport."""
        return self._transport

    @override
    def flush(self) -> None:
        """Sends what h2 has for the peer, or as much of it as the socket takes."""
        segments = self._connection.take_segments()
        if not segments or self.is_closing():
            return
        size = sum(map(len, segments))
        if not self.write_ready.is_set():
            self._waiting += size
            if self._waiting > _MAX_WAITING:
                log.warning("ending a connection whose peer sends, and reads nothing")
                self._transport.abort()
                return
        if self._socket is None:
            self.taken += size
            self._transport.write(b"".join(segments))
            return
        waiting = bool(self._backlog)
        if size < _SCATTER_SIZE:
            segments = [b"".join(segments)]
        self._backlog.extend(map(memoryview, segments))
        if not waiting:
            self._send_backlog()

    def _send_backlog(self) -> None:
        assert self._socket is not None
        backlog = self._backlog
        while backlog:
            try:
                if len(backlog) == 1:
                    sent = self._socket.send(backlog[0])
                else:
                    sent = self._socket.sendmsg(list(islice(backlog, _MAX_SEGMENTS)))
            except (BlockingIOError, InterruptedError):
                self._wait_until_writable()
                return
            except OSError:
                # The transport finds out why, and says so.
                backlog.clear()
                self._transport.abort()
                return
            self.taken += sent
            while sent:
                first = backlog.popleft()
                if sent < len(first):
                    backlog.appendleft(first[sent:])
                sent -= min(sent, len(first))

    def _wait_until_writable(self) -> None:
        # Not by the transport, which would copy what it cannot send at once.
        if self.write_ready.is_set():
            self.write_ready.clear()
            asyncio.get_running_loop().add_writer(cast("int", self._socket), self._writable)

    def _writable(self) -> None:
        self._send_backlog()
        if not self._backlog:
            self._stop_waiting()
            self.drained()

    def _stop_waiting(self) -> None:
        if self._socket is not None and not self.write_ready.is_set():
            asyncio.get_running_loop().remove_writer(self._socket)
        self.resume_writing()
        if self._ending and not self.is_closing():
            self._write_eof()

    @override
    def resume_writing(self) -> None:
        """Takes the news that the socket takes more."""
        self._waiting = 0
        super().resume_writing()

    def write_eof(self) -> None:
        """Tells the peer that nothing follows what is to be sent."""
        self._ending = True
        if not self._backlog:
            self._write_eof()

    def _write_eof(self) -> None:
        if self._transport.can_write_eof():
            with suppress(OSError):  # the peer has gone already
                self._transport.write_eof()

    def receive_into(self, place: memoryview) -> int:
        """Receives what is there already. An end or an error is left to the transport."""
        if self._socket is None:
            return 0
        try:
            return self._socket.recv_into(place)
        except OSError:
            return 0

    def has_news(self) -> bool:
        """Tells whether there is something to read, or the peer has closed."""
        return self._poll is not None and bool(self._poll.poll(0))

    def unsent(self) -> int:
        """Returns how many bytes the socket has not taken yet."""
        if self.is_closing():
            return 0
        return self._transport.get_write_buffer_size() + sum(map(len, self._backlog))

    def end_if_flushed(self) -> None:
        """Ends the sending for whoever holds the socket: a forked child may, after it is closed."""
        if self._socket is not None and not self.unsent():
            with suppress(OSError):
                # Not by the transport's own, which uvloop lets nobody shut down.
                self._socket.shutdown(socket.SHUT_WR)

    @override
    def close(self) -> None:
        """Closes, after what was to be sent."""
        if not self.is_closing() and self._backlog:
            self._transport.write(b"".join(self._backlog))
        self._backlog.clear()
        self._ending = False
        self._stop_waiting()
        if self._socket is not None:
            self._socket.close()
            self._socket = self._poll = None
        super().close()


def _open_again(transport: asyncio.Transport) -> socket.socket | None:
    """Returns a second handle of a plain socket, to send segments with.

    asyncio's own joins them before Python 3.12, and copies what does not fit.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("ssl_object") is not None:
        return None
    again = socket.socket(fileno=os.dup(sock.fileno()))
    again.setblocking(False)
    return again


def _keep_alive(sock: socket.socket, silences: Silences) -> None:
    """Has the system find out whether the other machine is there, also without a call.

    A client without a loop of its own cannot answer a ping between its calls.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    first, each = math.ceil(silences.ping), math.ceil(silences.answer / _PROBES)
    options = {
        "TCP_KEEPIDLE": first,
        "TCP_KEEPALIVE": first,  # macOS's name for it
        "TCP_KEEPINTVL": each,
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": 1000 * (first + math.ceil(silences.answer)),
    }
    for name, value in options.items():
        if (option := getattr(socket, name, None)) is not None:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, min(value, _MAX_TCP_SECONDS))


def _poll(sock: socket.socket) -> select.poll:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll


def _nothing() -> None:
    """Takes no notice."""


class Processor(grpclib_protocol.EventsProcessor):
    """Passes h2's events on to the calls.

    Attributes:
        deadlines: Those of the calls.
        patience: What the peer has left of it.
        payload_sent: Bytes of messages.

    grpclib's own closes the connection, with all its calls, on an event that it
    does not know (any extension frame), and takes a zero-length DATA frame for the
    end of the message.
    """

    connection: Connection

    def __init__(
        self, owner: Owner, handler: grpclib_protocol.AbstractHandler, connection: Connection
    ) -> None:
        super().__init__(handler, connection)
        self._owner = owner
        self._streams = cast("dict[int, Stream]", self.streams)
        self.deadlines = Deadlines()
        self.patience = Patience()
        self.payload_sent = 0
        self._client_side = bool(connection.h2.config.client_side)

    @override
    def process(self, event: events.Event) -> None:
        """Passes one event on, if it is one that matters here."""
        # grpclib deletes its table when it closes the connection.
        process: Any = getattr(self, "processors", {}).get(event.__class__)
        if process is not None:
            process(event)

    @override
    def close(
        self, reason: str = "the connection was lost", patience: float = CLOSE_TIMEOUT
    ) -> None:
        """Closes the connection and fails its calls. Called by grpclib as well.

        What is written already is still sent, for as long as the patience lasts.
        """
        if hasattr(self, "processors"):
            transport = self.connection.transport
            calls = self.calls()
            # For grpclib there is nobody to be told.
            self._streams.clear()
            super().close(reason)
            for call in calls:
                call.fail(UnavailableError(reason))
            self.deadlines.clear()
            # Closing waits for a peer that does not read, for ever.
            asyncio.get_running_loop().call_later(patience, transport.abort)
            self._owner.connection_closed(reason)

    def calls(self) -> list[Call]:
        """Returns the calls that are running."""
        return [stream.call for stream in self._streams.values()]

    def find(self, stream_id: int) -> Call | None:
        """Returns the call of a stream."""
        stream = self._streams.get(stream_id)
        return None if stream is None else stream.call

    @override
    def register(  # type: ignore[override]  # and `release` below
        self, stream: Stream, call: Call
    ) -> None:
        """Has a call told of what arrives on its stream."""
        stream.call = call
        self._streams[stream.id] = stream

    def release(self, stream: Stream) -> None:
        """Forgets a stream, which forgets its call."""
        self._streams.pop(stream.id, None)
        del stream.call

    def sent(self, size: int) -> None:
        """Takes note of bytes of a message that were sent."""
        self.payload_sent += size
        self.patience.moved(size)

    @override
    def process_request_received(self, event: events.RequestReceived) -> None:
        """A server's new call."""
        self._owner.accept(Stream(self, event.stream_id), _text(event.headers))

    def _receive_headers(self, event: Any) -> None:
        if (call := self.find(event.stream_id)) is not None:
            call.receive_headers(_text(event.headers))

    process_response_received = process_trailers_received = _receive_headers

    @override
    def process_data_received(self, event: events.DataReceived) -> None:
        """A part of a message."""
        # Given back at once: the reader takes no more than the message's limit.
        self.connection.h2.acknowledge_received_data(
            event.flow_controlled_length or 0, event.stream_id
        )
        if event.data and (call := self.find(event.stream_id)) is not None:
            call.receive_data(event.data)

    @override
    def process_stream_ended(self, event: events.StreamEnded) -> None:
        """The peer's last word on a stream."""
        if self._client_side:
            self.patience.answered()
        if (call := self.find(event.stream_id)) is not None:
            call.receive_end()

    @override
    def process_stream_reset(self, event: events.StreamReset) -> None:
        """The end of a stream before its time."""
        if (call := self.find(event.stream_id)) is not None:
            code = int(event.error_code or 0)
            name = ErrorCodes(code).name if code in set(ErrorCodes) else str(code)
            kind = _ERROR_OF_RESET.get(code, HandlerError)
            call.fail(kind(f"the peer reset the stream with {name}"))

    @override
    def process_window_updated(self, event: events.WindowUpdated) -> None:
        """More may be sent."""
        self.wake_calls()

    @override
    def process_remote_settings_changed(self, event: events.RemoteSettingsChanged) -> None:
        """Windows or frame size may have changed."""
        self._owner.settings_received()
        self.wake_calls()

    @override
    def process_connection_terminated(self, event: events.ConnectionTerminated) -> None:
        """The peer goes away, at once or after the calls that it has accepted."""
        text = bytes(event.additional_data or b"")[:200].decode("utf-8", "replace")
        if event.error_code:
            self.close(f"the peer closed the connection: {event.error_code!r} {text}".rstrip())
            return
        self._owner.going_away()
        if self._client_side:
            for stream_id, stream in list(self._streams.items()):
                if stream_id > (event.last_stream_id or 0):
                    stream.call.fail(
                        UnavailableError(
                            f"the server went away before it took the call: {text}".rstrip(": ")
                        )
                    )

    def wake_calls(self) -> None:
        """Lets every call look again at what it waits for."""
        for call in self.calls():
            call.wake()


def _text(headers: Any) -> Headers:
    """Returns headers as `Headers`, which those of a broken up block are not yet."""
    return headers if isinstance(headers, tuple) else tuple((key, value) for key, value in headers)


class _NoHandler(grpclib_protocol.AbstractHandler):
    """What grpclib's classes insist on; `Owner` and `Call` are told instead."""

    def accept(self, stream: Any, headers: Any, release_stream: Any) -> None:
        """Not used."""

    def cancel(self, stream: Any) -> None:
        """Not used."""

    def close(self) -> None:
        """Not used."""


class Protocol(grpclib_protocol.H2Protocol, asyncio.BufferedProtocol):
    """grpclib's asyncio protocol, with windows and frame size announced at the start.

    Args:
        owner: Who it belongs to.
        client_side: Whether the peer is a server.
        silences: How long the peer may be silent; see `look`.

    Attributes:
        lost: Set when the connection has ended, with all that was to be sent.
        ending: Whether the peer was told that calls are not taken any more.
    """

    connection: Connection
    processor: Processor

    def __init__(self, owner: Owner, *, client_side: bool, silences: Silences) -> None:
        super().__init__(
            _NoHandler(),
            Configuration().__for_client__() if client_side else Configuration().__for_server__(),
            H2Configuration(
                client_side=client_side,
                # Decodes any byte, where ASCII would close the connection.
                header_encoding="latin-1",
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_inbound_headers=False,
                normalize_outbound_headers=False,
            ),
        )
        self._owner = owner
        self._silences = silences
        self.lost = asyncio.Event()
        self.ending = self._leaving = False
        self._refusal: str | None = None
        self._received = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the settings."""
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(sock, self._silences)
        elif sock is not None:
            # TCP's grows by itself.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNIX_SEND_BUFFER)
        self.connection = Connection(
            self._start_h2(), cast("asyncio.Transport", transport), config=self.config
        )
        self.processor = Processor(self._owner, self.handler, self.connection)
        self.connection.drained = self.processor.wake_calls
        self._receiver = Receiver(
            client_side=bool(self.h2_config.client_side),
            max_frame_size=_MAX_FRAME_SIZE,
            find=self.processor.find,
            feed=self._feed,
            headers=self._receive_block,
            complete=self._complete,
            patience=self.processor.patience,
        )
        self._watch = Watch(self._silences, time.monotonic())
        self.connection.flush()
        if self._refusal is not None:
            self.end(self._refusal, ErrorCodes.ENHANCE_YOUR_CALM)

    def _start_h2(self) -> StateMachine:
        h2 = StateMachine(self.h2_config)
        values = {
            SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            SettingCodes.MAX_FRAME_SIZE: _MAX_FRAME_SIZE,
            SettingCodes.MAX_CONCURRENT_STREAMS: _MAX_STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
        }
        client = bool(self.h2_config.client_side)
        if client:
            values[SettingCodes.ENABLE_PUSH] = 0
        # As initial values they hold from the first byte; an update would hold only
        # once the peer has acknowledged it.
        h2.local_settings = Settings(client=client, initial_values=values)
        h2.settings_changed()
        h2.max_inbound_frame_size = _MAX_FRAME_SIZE
        h2.initiate_connection()
        h2.increment_flow_control_window(_CONNECTION_WINDOW - _DEFAULT_WINDOW)
        return h2

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        """Says where the next bytes from the socket belong."""
        return self._receiver.buffer()

    @override
    def buffer_updated(self, nbytes: int) -> None:
        """Takes bytes from the socket."""
        self._received += nbytes
        if not self._leaving:
            self._handle(self._receive, nbytes)

    def _receive(self, nbytes: int) -> None:
        self._receiver.received(nbytes)
        for _ in range(_MAX_READS):
            if not (self._receiver.amid and nbytes) or self._receiver.behind:
                break
            # Without a turn of the loop for each piece.
            nbytes = self.connection.receive_into(self._receiver.buffer())
            self._received += nbytes
            self._receiver.received(nbytes)
        if self._receiver.behind and not self.connection.is_closing():
            # Whatever a peer sends at once, others have their turn in between.
            self.connection.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._catch_up)

    def _catch_up(self) -> None:
        if not (self.connection.is_closing() or self._leaving):
            self._handle(self._receiver.go_on)
        if self.connection.is_closing():
            return
        if self._receiver.behind and not self._leaving:
            asyncio.get_running_loop().call_soon(self._catch_up)
        else:
            self.connection.transport.resume_reading()

    def _handle(self, act: Callable[..., None], *args: int) -> None:
        """Does what a peer's bytes ask for, and ends the connection if that may not be."""
        try:
            act(*args)
            self.connection.flush()
        except OffenceError as error:
            self.end(f"the peer broke the protocol: {error}", error.code)
        except ProtocolError as error:
            # h2 has said goodbye already.
            self.connection.flush()
            self.processor.close(f"the peer broke the protocol: {error}")
        except Exception:
            # It shall cost this connection, and not more.
            log.exception("closing a connection after an unforeseen error")
            self.processor.close("an unforeseen error; see the log of the process")

    # What follows in the same read on the end of the connection is of no interest.

    def _feed(self, data: memoryview) -> None:
        if not self.connection.is_closing():
            for event in self.connection.feed(bytes(data)):
                self.processor.process(event)

    def _receive_block(self, stream_id: int, block: bytes, end_stream: bool) -> None:
        if not self.connection.is_closing():
            h2 = self.connection.h2
            for event in h2.receive_block(stream_id, block, end_stream=end_stream):
                self.processor.process(event)

    def _complete(self, stream_id: int, size: int, end_stream: bool) -> None:
        if not self.connection.is_closing():
            h2 = self.connection.h2
            for event in h2.receive_payload(stream_id, size, end_stream=end_stream):
                self.processor.process(event)

    @override
    def resume_writing(self) -> None:
        """Called by the transport when its buffer has drained."""
        super().resume_writing()
        if self.connection.write_ready.is_set():
            self.processor.wake_calls()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the transport at its end."""
        if self.made:
            super().connection_lost(exc)
        self.lost.set()

    @property
    def made(self) -> bool:
        """Whether there is a connection yet."""
        return hasattr(self, "processor")

    def look(self, now: float) -> None:
        """Looks whether the peer is there, and does what it should.

        Args:
            now: Seconds on the monotonic clock.
        """
        if not self.made or self.connection.is_closing():
            return
        connection, processor = self.connection, self.processor
        calls = processor.calls()
        unsent = connection.unsent() > 0
        seen = Seen(
            busy=bool(calls),
            begun=connection.h2.highest_inbound_stream_id,
            received=self._received,
            due=any(call.due() for call in calls),
            moved=self._receiver.moved + processor.payload_sent,
            unsent=unsent,
            taken=connection.taken - connection.transport.get_write_buffer_size(),
        )
        self._act(self._watch.look(seen, now), calls)

    def _act(self, finding: Finding, calls: list[Call]) -> None:
        silences = self._silences
        if finding is Finding.ASK:
            with suppress(H2Error):
                self.connection.h2.ping(_PING)
                self.connection.flush()
        elif finding is Finding.GONE:
            self.end(f"the peer answered no ping within {silences.answer:g} s", patience=0)
        elif finding is Finding.BLOCKED:
            self.end(f"the peer read nothing for {silences.stall:g} s", patience=0)
        elif finding is Finding.STALLED:
            for call in calls:
                if call.due():
                    call.stalled(silences.stall)
        elif finding is Finding.IDLE:
            self.retire(f"no call for {silences.idle:g} s")

    def announce_end(self, reason: str) -> None:
        """Tells the peer that calls from now on are not taken. Those that run go on."""
        if self.made and not self.ending and not self.connection.is_closing():
            self.ending = True
            with suppress(H2Error):
                self.connection.h2.say_goodbye(text=reason)
                self.connection.flush()

    def leave(self, reason: str) -> None:
        """Says goodbye and lets the peer close, which it does when it has read all.

        To close while something of the peer's is unread, a window update for example,
        would have the system throw away what the peer has not read yet.
        """
        if not self._leaving and not self.connection.is_closing():
            self.announce_end(reason)
            self._leaving = True
            self.connection.write_eof()

    def retire(self, reason: str) -> None:
        """Ends a connection that carries no calls, with time for the peer to read so."""
        self.leave(reason)
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.close, reason)

    def refuse(self, reason: str) -> None:
        """Ends a connection that is about to begin, as soon as it can be told why."""
        self._refusal = reason

    def end(
        self,
        reason: str,
        code: ErrorCodes = ErrorCodes.NO_ERROR,
        patience: float = CLOSE_TIMEOUT,
    ) -> None:
        """Says goodbye with the reason, fails the calls and closes."""
        if not self.connection.is_closing():
            with suppress(H2Error):
                self.connection.h2.say_goodbye(code, reason)
                self.connection.flush()
        if not self.connection.is_closing():
            self.connection.end_if_flushed()
            self.processor.close(reason, patience)

    def close(self, reason: str, patience: float = CLOSE_TIMEOUT) -> None:
        """Says goodbye, fails the calls and closes, as `Processor.close` does."""
        if not self.made:
            # Accepted at this moment; it ends as soon as it begins.
            self.refuse(reason)
        elif self._leaving and not self.connection.is_closing():
            self.connection.end_if_flushed()
            self.processor.close(reason, patience)
        else:
            self.end(reason, patience=patience)
