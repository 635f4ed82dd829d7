# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""h2's state machine, with payloads kept out of it.

h2 copies each payload several times and formats each received frame, payload
included, for a log that nobody reads. Here it keeps states, flow control and
headers, and is told of a payload's length only. Nothing here does I/O.
"""

from __future__ import annotations

import struct
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import (
    AllowedStreamIDs,
    ConnectionInputs,
    H2Connection,
    _decode_headers,
)
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, TrailersReceived
from h2.exceptions import FlowControlError, ProtocolError, TooManyStreamsError
from h2.stream import StreamInputs
from hyperframe.frame import Frame, GoAwayFrame
from typing_extensions import override

from ..calls import Headers
from .headers import Fields, RememberingDecoder, RememberingEncoder

# RFC 9113, section 4.1: three bytes of length, kind, flags, four bytes of stream.
_HEAD = struct.Struct(">HBBBL")
_DATA, _HEADERS, _CONTINUATION = 0x0, 0x1, 0x9
_END_STREAM, _END_HEADERS = 0x1, 0x4

_WITH_END, _WITHOUT_END = frozenset(["END_STREAM"]), frozenset[str]()


def _head(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id)


class Taken:
    """The payload of a frame that is where it belongs already: a size, and no bytes."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return False


class _ReceivedFrame:
    """The part of a hyperframe frame that h2 looks at.

    hyperframe's own are costly to make, and h2 formats each for a log that is off.
    """

    __slots__ = ("data", "flags", "stream_id")

    def __init__(self, stream_id: int, data: Any, *, end_stream: bool) -> None:
        self.stream_id = stream_id
        self.data = data
        self.flags = _WITH_END if end_stream else _WITHOUT_END


class _ReceivedData(_ReceivedFrame):
    __slots__ = ()

    @property
    def flow_controlled_length(self) -> int:
        return len(self.data)


class _ReceivedHeaders(_ReceivedFrame):
    __slots__ = ()


class StateMachine(H2Connection):
    """Keeps a connection's state; hands out what is to be sent as segments."""

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self._segments: list[bytes | memoryview] = []
        self.encoder = RememberingEncoder()
        self.decoder = RememberingDecoder()
        self.decoder.max_header_list_size = self.DEFAULT_MAX_HEADER_LIST_SIZE
        self._own_ids = AllowedStreamIDs(int(config.client_side))
        self._peers_ids = AllowedStreamIDs(int(not config.client_side))
        table: dict[Any, Any] = self._frame_dispatch_table
        table[_ReceivedData] = self._receive_data_frame
        table[_ReceivedHeaders] = self._receive_block

    def take_segments(self) -> list[bytes | memoryview]:
        """Returns what is to be sent, and forgets it."""
        segments, self._segments = self._segments, []
        # Only h2's greeting goes another way.
        return [self.data_to_send(), *segments] if self._data_to_send else segments

    @override
    def _prepare_for_sending(self, frames: list[Frame]) -> None:
        self._segments += [frame.serialize() for frame in frames]

    @override
    def clear_outbound_data_buffer(self) -> None:
        """Forgets what is to be sent."""
        super().clear_outbound_data_buffer()
        self._segments.clear()

    # h2's own send_headers and send_data, without the frame objects between states and bytes.

    @override
    def send_headers(  # type: ignore[override]  # HTTP/2's priorities are no more (RFC 9113)
        self, stream_id: int, headers: Headers, end_stream: bool = False
    ) -> None:
        """Sends the headers of a request or response, or trailers.

        Raises:
            TooManyStreamsError: The peer allows no more at the moment.
            ProtocolError: The stream or the connection is not in the state for it.
        """
        if stream_id not in self.streams:
            limit = self.remote_settings.max_concurrent_streams
            if self.open_outbound_streams >= limit:
                raise TooManyStreamsError(f"the peer allows {limit} streams at once")
        self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
        stream = self._get_or_create_stream(stream_id, self._own_ids)
        states = stream.state_machine
        states.process_input(StreamInputs.SEND_HEADERS)
        if end_stream:
            states.process_input(StreamInputs.SEND_END_STREAM)
        elif states.trailers_sent:
            raise ProtocolError("trailers end the stream")
        self._send_block(stream_id, self.encoder.encode(headers), end_stream)

    def _send_block(self, stream_id: int, block: bytes, end_stream: bool) -> None:
        kind, flags = _HEADERS, _END_STREAM if end_stream else 0
        limit = self.max_outbound_frame_size
        while len(block) > limit:
            self._segments.append(_head(limit, kind, flags, stream_id) + block[:limit])
            kind, flags, block = _CONTINUATION, 0, block[limit:]
        self._segments.append(_head(len(block), kind, flags | _END_HEADERS, stream_id) + block)

    def send_chunk(
        self, stream_id: int, parts: list[memoryview], size: int, *, end_stream: bool
    ) -> None:
        """Sends a part of a message in one frame, without joining its parts.

        Raises:
            FlowControlError: It is larger than `sendable` says.
            ProtocolError: The stream or the connection is not in the state for it.
        """
        if size > self.sendable(stream_id):
            raise FlowControlError(f"{size} bytes; allowed: {self.sendable(stream_id)}")
        stream = self.streams[stream_id]
        self.state_machine.process_input(ConnectionInputs.SEND_DATA)
        stream.state_machine.process_input(StreamInputs.SEND_DATA)
        if end_stream:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        self.outbound_flow_control_window -= size
        stream.outbound_flow_control_window -= size
        flags = _END_STREAM if end_stream else 0
        self._segments.append(_head(size, _DATA, flags, stream_id))
        self._segments += parts

    def sendable(self, stream_id: int) -> int:
        """Returns how many bytes one frame may carry at the moment, which may be below 0."""
        return min(self.local_flow_control_window(stream_id), self.max_outbound_frame_size)

    # Frames whose payload h2 need not see.

    def receive_payload(self, stream_id: int, size: int, *, end_stream: bool) -> list[Event]:
        """Accounts for a DATA frame whose payload was taken elsewhere.

        Raises:
            ProtocolError: The frame is not allowed; the connection is over.
        """
        return self._receive(_ReceivedData(stream_id, Taken(size), end_stream=end_stream))

    def receive_block(self, stream_id: int, block: bytes, *, end_stream: bool) -> list[Event]:
        """Takes a HEADERS frame with a whole block. The event has the headers as text.

        Raises:
            ProtocolError: The frame is not allowed; the connection is over.
        """
        return self._receive(_ReceivedHeaders(stream_id, block, end_stream=end_stream))

    def _receive(self, frame: Any) -> list[Event]:
        try:
            return self._receive_frame(frame)
        except ProtocolError as error:
            self._terminate_connection(error.error_code)
            raise

    def _receive_block(self, frame: _ReceivedHeaders) -> tuple[list[Frame], list[Event]]:
        """h2's `_receive_headers_frame`, without making text of known headers anew."""
        if frame.stream_id not in self.streams:
            limit = self.local_settings.max_concurrent_streams
            if self.open_inbound_streams >= limit:
                raise TooManyStreamsError(f"a peer may have {limit} streams at once")
        fields = cast("Fields", _decode_headers(self.decoder, frame.data))
        events = self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        stream = self._get_or_create_stream(frame.stream_id, self._peers_ids)
        if not fields.plain:
            frames, more = stream.receive_headers(fields, bool(frame.flags), None)
            cast("Any", more[0]).headers = fields.text
            return frames, events + more
        more = stream.state_machine.process_input(StreamInputs.RECV_HEADERS)
        cast("Any", more[0]).headers = fields.text
        if frame.flags:
            more += stream.state_machine.process_input(StreamInputs.RECV_END_STREAM)
        elif isinstance(more[0], TrailersReceived):
            raise ProtocolError("trailers end the stream")
        return [], events + more

    @override
    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        # h2's own takes any GOAWAY for the end, and what follows for an error; a
        # graceful one lets accepted calls finish.
        if frame.error_code:
            return super()._receive_goaway_frame(frame)
        event = ConnectionTerminated()
        event.error_code = ErrorCodes.NO_ERROR
        event.last_stream_id = frame.last_stream_id
        return [], [event]
