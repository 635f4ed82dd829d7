# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A call of many messages, as the server sees it: small ones, now and then, for hours.

For questions about the server itself. What a policy is called with and answers is
unary and large, and lives in `server_call`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from typing_extensions import override

from ..calls import Headers, encode_status
from ..errors import (
    DeadlineExceededError,
    RemoteError,
    ResourceExhaustedError,
    StatusCode,
    UnavailableError,
)
from ..framing import MessageSplitter, MessageWriter, Segments
from .server_call import RESPONSE_HEADERS, Answerer, Caller, Request, ServerCall
from .streams import Stream

log = logging.getLogger("praxis_remote.http2")

# Of a request message. Nothing of such a call is counted, since this is so little.
_MAX_REQUEST = 4096

# Bytes of request messages that wait for their turn, and what each of them counts besides:
# a caller that asks faster than it takes the answers shall not fill the memory.
_MAX_WAITING, _EACH = 8192, 64

# On one connection. They cost little, but they last.
_MAX_STREAMS = 16


class StreamCall(ServerCall):
    """A call with any number of messages each way.

    Attributes:
        draining: Whether the server stops, so that the call shall come to its end.
    """

    def __init__(
        self, stream: Stream, request: Request, connection: Caller, listener: Answerer
    ) -> None:
        super().__init__(stream, request, connection, listener)
        self._splitter = MessageSplitter(_MAX_REQUEST, "request", request.encoding)
        self._requests: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._answered = False
        self.draining = False
        connection.streaming += 1

    @override
    def begin(self) -> None:
        if self.connection.streaming > _MAX_STREAMS:
            text = f"{_MAX_STREAMS} streaming calls run on this connection already; end one first"
            self.end_with(ResourceExhaustedError(text, never_ran=True))
        else:
            super().begin()

    # What the stream tells.

    @override
    def receive_into(self, size: int) -> memoryview | None:
        return None

    @override
    def receive_data(self, data: bytes | memoryview) -> None:
        if self._finished:
            return
        try:
            for message in self._splitter.feed(data):
                self._take(message)
        except RemoteError as error:
            self.end_with(error)
            return
        if self._requests and self._answer is None:
            # Not before all is read that came with it; see `Processor.begin_whole`.
            asyncio.get_running_loop().call_soon(self._start)
        self.wake()

    def _take(self, message: bytes) -> None:
        self._waiting += len(message) + _EACH
        if self._waiting > _MAX_WAITING:
            raise ResourceExhaustedError(
                f"{len(self._requests) + 1} requests of {self._waiting} bytes wait on this "
                f"stream; allowed: {_MAX_WAITING}, {_EACH} for each among them; "
                "take the answers before asking more"
            )
        self.request_bytes += len(message)
        self._requests.append(message)

    @override
    def receive_end(self) -> None:
        if self._finished:
            return
        self._ended = True
        try:
            self._splitter.end()
        except RemoteError as error:
            self.end_with(error)
            return
        self._start()
        self.wake()

    def _start(self) -> None:
        if self._answer is None:
            super().receive_end()

    @override
    def due(self) -> bool:
        return self._answer is None or self._writer is not None or self._splitter.amid

    @property
    def resting(self) -> bool:  # type: ignore[override]  # what is not fixed here
        """Whether it waits for news, and for nobody to send or take anything."""
        return not (self.due() or self._requests)

    @override
    def stalled(self, seconds: float) -> None:
        what = "request" if self._writer is None else "response"
        text = f"nothing of the {what} moved for {seconds:g} s"
        self.log_end(text)
        self.end_with(DeadlineExceededError(text))

    # What the service asks.

    async def receive(self) -> bytes | None:
        """Returns the next request message, None after the last.

        Raises:
            RemoteError: It cannot be read, or the server stops.
        """
        while not self._requests:
            if self._ended:
                return None
            self.check_draining()
            await self.pause()
        message = self._requests.popleft()
        self._waiting -= len(message) + _EACH
        return message

    async def reply(self, message: bytes, max_message_size: int = 2**31) -> None:
        """Sends a response message."""
        writer = MessageWriter([message], max_message_size, "response")
        if not self._answered:
            self._answered = True
            self._stream.queue_headers(RESPONSE_HEADERS)
        self._writer = writer
        while not (self._gone or self._send_some(writer)):
            # A caller that takes nothing shall not keep a server from its end.
            self.check_draining()
            await self.pause()
        self._writer = None
        self.response_bytes += writer.size
        self._stream.processor.patience.answered()

    def _send_some(self, message: MessageWriter) -> bool:
        """Sends what may be sent now; returns whether that was all."""
        stream, connection = self._stream, self._stream.connection
        while message.remaining and connection.write_ready.is_set():
            size = min(stream.h2.sendable(stream.id), message.remaining)
            if size <= 0:
                break
            stream.h2.send_chunk(stream.id, message.take(size), size, end_stream=False)
            stream.processor.sent(size)
        connection.flush()
        return not message.remaining

    def check_draining(self) -> None:
        """Raises what ends the call, if the server stops."""
        if self.draining:
            raise UnavailableError("the server is shutting down")

    # What the server does.

    def drain(self) -> None:
        """Has the call come to its end, with what it has to say about that."""
        self.draining = True
        if self._answer is None:
            self.end_with(UnavailableError("the server is shutting down", never_ran=True))
        self.wake()

    @override
    def _finish(self) -> None:
        if not self._finished:
            self.connection.streaming -= 1
            self._requests.clear()
        super()._finish()

    @override
    async def send(self, segments: Segments, max_message_size: int) -> None:
        """Ends the call well; its messages are sent already."""
        self.code = self.code or StatusCode.OK
        self._send_trailers(encode_status(StatusCode.OK))

    @override
    def send_status(self, error: RemoteError) -> None:
        if self._answered and self._writer is None:
            self.code = self.code or error.code()
            self._send_trailers(encode_status(error.code(), error.details()))
        else:
            super().send_status(error)

    def _send_trailers(self, trailers: Headers) -> None:
        self.send_headers(trailers if self._answered else RESPONSE_HEADERS + trailers)
