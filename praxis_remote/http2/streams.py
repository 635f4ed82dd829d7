# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The streams of a connection: what arrives goes to their calls, and what is sent waits here."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, cast

from grpclib import protocol as grpclib_protocol
from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
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
from .connection import Connection
from .deadlines import Deadlines
from .offence import OffenceError
from .patience import Patience

# What a connection gets to flush its last frames when it is closed.
CLOSE_TIMEOUT = 1.0


class StreamRefusedError(UnavailableError):
    """The peer says that it has not begun the call, so that it may be sent again."""


class StreamCancelledError(CallCancelledError):
    """The peer gave the call up."""


class NotTakenError(UnavailableError):
    """The connection takes no more calls, and has not taken this one: another one may."""


# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors
_ERROR_OF_RESET: dict[int, type[RemoteError]] = {
    ErrorCodes.REFUSED_STREAM: StreamRefusedError,
    ErrorCodes.CANCEL: StreamCancelledError,
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

    def connection_made(self) -> None:  # noqa: B027 - for servers
        """Takes the news that there is a connection."""

    def connection_ending(self, reason: str, *, faulty: bool) -> None:  # noqa: B027 - as well
        """Takes the news that this end gives the connection up.

        Args:
            reason: Why.
            faulty: Whether the peer did what it should not, or did not what it should.
        """

    @abstractmethod
    def settings_received(self) -> None:
        """Takes the news that the peer has sent its settings."""

    @abstractmethod
    def going_away(self, reason: str) -> None:
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


class Processor(grpclib_protocol.EventsProcessor):
    """Passes h2's events on to the calls.

    Attributes:
        deadlines: Those of the calls.
        patience: What the peer has left of it.
        payload_sent: Bytes of messages.
        whole: A server's calls whose requests have come, which `begin_whole` has go on.
        closed: Whether the connection has ended, so that what follows is of no interest.

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
        self.whole: list[Call] = []
        self.closed = False
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
            self.closed = True
            transport = self.connection.transport
            calls = self.calls()
            # For grpclib there is nobody to be told.
            self._streams.clear()
            self.whole.clear()
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
        if (call := self.find(event.stream_id)) is None:
            return
        if self._client_side:
            call.receive_end()
        else:
            self.whole.append(call)

    def begin_whole(self) -> None:
        """Has a server's calls go on whose requests have come.

        Not before all is read that came with them: their callers may have given them up
        long ago, while this process could not read.
        """
        whole, self.whole = self.whole, []
        for call in whole:
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
        said = bytes(event.additional_data or b"")[:200].decode("utf-8", "replace")
        if event.error_code:
            reason = f"the peer closed the connection: {event.error_code!r} {said}".rstrip()
            # Not at once again on another connection: the call may be what it left for.
            self._fail_not_taken(event.last_stream_id or 0, UnavailableError, reason)
            self.close(reason)
            return
        reason = f"the server went away before it took the call: {said}".rstrip(": ")
        self._owner.going_away(said or "the server is going away")
        self._fail_not_taken(event.last_stream_id or 0, NotTakenError, reason)

    def _fail_not_taken(self, last: int, kind: type[UnavailableError], reason: str) -> None:
        if self._client_side:
            for stream_id, stream in list(self._streams.items()):
                if stream_id > last:
                    stream.call.fail(kind(reason, never_ran=True))

    def wake_calls(self) -> None:
        """Lets every call look again at what it waits for."""
        for call in self.calls():
            call.wake()


def _text(headers: Any) -> Headers:
    """Returns headers as `Headers`, which those of a broken up block are not yet."""
    return headers if isinstance(headers, tuple) else tuple((key, value) for key, value in headers)
