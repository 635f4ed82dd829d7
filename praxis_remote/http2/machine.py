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
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias, cast

from h2.config import H2Configuration
from h2.connection import (
    AllowedStreamIDs,
    ConnectionInputs,
    H2Connection,
    _decode_headers,
)
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, TrailersReceived
from h2.exceptions import (
    FlowControlError,
    ProtocolError,
    StreamIDTooLowError,
    TooManyStreamsError,
)
from h2.settings import SettingCodes
from h2.stream import H2Stream, StreamInputs, StreamState
from hpack.exceptions import HPACKError
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, SettingsFrame
from typing_extensions import override

from ..calls import Headers
from .headers import Fields, RememberingDecoder, RememberingEncoder

# RFC 9113, section 4.1: three bytes of length, kind, flags, four bytes of stream.
_HEAD = struct.Struct(">HBBBL")
_DATA, _HEADERS, _CONTINUATION = 0x0, 0x1, 0x9
_END_STREAM, _END_HEADERS = 0x1, 0x4

# The states in which a stream may receive.
_RECEIVING = (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)

# Bytes of a call's headers or trailers, counted as in RFC 9113, section 6.5.2. A grpcio
# server sends a policy's error text of any length; who calls it may be expected to trust it.
_MAX_HEADERS, _MAX_HEADERS_OF_SERVER = 32 * 1024, 64 * 1024


def max_headers(client_side: bool) -> int:
    """Returns how many bytes of headers a client, or a server, takes from its peer."""
    return _MAX_HEADERS_OF_SERVER if client_side else _MAX_HEADERS


_SETTINGS = frozenset(map(int, SettingCodes))

# Of the reason for a GOAWAY.
_MAX_TEXT = 256

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


class _Failure:
    """A frame that was received already, and is not allowed: h2 decides what that means."""

    __slots__ = ("error",)

    def __init__(self, error: ProtocolError) -> None:
        self.error = error


class StateMachine(H2Connection):
    """Keeps a connection's state; hands out what is to be sent as segments."""

    # Of streams that are over; frames may still come for as many as were open at once.
    MAX_CLOSED_STREAMS = 1024

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self._segments: list[bytes | memoryview] = []
        self._last_taken = 2**31 - 1
        self.encoder = RememberingEncoder()
        self.decoder: RememberingDecoder = RememberingDecoder()
        self.decoder.max_header_list_size = max_headers(bool(config.client_side))
        self._own_ids = AllowedStreamIDs(int(config.client_side))
        self._peers_ids = AllowedStreamIDs(int(not config.client_side))
        table: dict[Any, Any] = self._frame_dispatch_table
        for kind, receive in table.items():
            table[kind] = _let_go(receive)
        table[_ReceivedData] = _let_go(self._receive_data_frame)
        table[_ReceivedHeaders] = _let_go(self._receive_block)
        table[_Failure] = _let_go(_raise)
        self.settings_changed()

    def settings_changed(self) -> None:
        """Reads the settings that every stream needs, which are slow to ask."""
        self._max_outbound_streams = self.remote_settings.max_concurrent_streams
        self._max_inbound_streams = self.local_settings.max_concurrent_streams
        self._outbound_window = self.remote_settings.initial_window_size
        self._inbound_window = self.local_settings.initial_window_size

    @override
    def _receive_settings_frame(self, frame: SettingsFrame) -> tuple[list[Frame], list[Event]]:
        # h2 keeps all that it ever gets, and a peer may send any number.
        frame.settings = {key: frame.settings[key] for key in _SETTINGS & frame.settings.keys()}
        result = super()._receive_settings_frame(frame)
        self.settings_changed()
        return result

    def say_goodbye(self, code: ErrorCodes = ErrorCodes.NO_ERROR, text: str = "") -> None:
        """Sends a GOAWAY; what the peer has begun until now may still go on.

        h2's own `close_connection` lets nothing follow.
        """
        frame = GoAwayFrame(0)
        # It may not grow from one to the next.
        self._last_taken = min(self._last_taken, self.highest_inbound_stream_id)
        frame.last_stream_id = self._last_taken
        frame.error_code = code
        frame.additional_data = text.encode()[:_MAX_TEXT]
        self._prepare_for_sending([frame])

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
        stream = self.streams.get(stream_id)
        if stream is None and self.open_outbound_streams >= self._max_outbound_streams:
            raise TooManyStreamsError(f"the peer allows {self._max_outbound_streams} at once")
        self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
        if stream is None:
            stream = self._begin_new_stream(stream_id, self._own_ids)
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
        stream = self._get_stream_by_id(stream_id)
        allowed = min(
            self.outbound_flow_control_window,
            stream.outbound_flow_control_window,
            self.max_outbound_frame_size,
        )
        if size > allowed:
            raise FlowControlError(f"{size} bytes; allowed: {allowed}")
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

    @override
    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        """h2's own, but for the settings that it asks."""
        outbound = stream_id % 2 == self._own_ids
        highest = self.highest_outbound_stream_id if outbound else self.highest_inbound_stream_id
        if stream_id <= highest:
            raise StreamIDTooLowError(stream_id, highest)
        if stream_id % 2 != allowed_ids:
            raise ProtocolError(f"stream {stream_id} is not the peer's to open")
        stream = H2Stream(
            stream_id,
            config=self.config,
            inbound_window_size=self._inbound_window,
            outbound_window_size=self._outbound_window,
        )
        stream.max_outbound_frame_size = self.max_outbound_frame_size
        self.streams[stream_id] = stream
        if outbound:
            self.highest_outbound_stream_id = stream_id
        else:
            self.highest_inbound_stream_id = stream_id
        return stream

    # Frames whose payload h2 need not see. What is usual goes straight to its states; all
    # else goes the way of h2's own frames.

    def receive_payload(self, stream_id: int, size: int, *, end_stream: bool) -> list[Event]:
        """Accounts for a DATA frame whose payload was taken elsewhere.

        Returns:
            What follows from it; that it came is not among it.

        Raises:
            ProtocolError: The frame is not allowed; the connection is over.
        """
        stream = self.streams.get(stream_id)
        if stream is None or stream.state_machine.state not in _RECEIVING:
            return self._receive(_ReceivedData(stream_id, Taken(size), end_stream=end_stream))
        try:
            self.state_machine.process_input(ConnectionInputs.RECV_DATA)
            self._inbound_flow_control_window_manager.window_consumed(size)
            events = stream.receive_data(cast("bytes", Taken(size)), end_stream, size)[1]
        except ProtocolError as error:
            return self._receive(_Failure(error))
        # Given back at once: the reader takes no more than the message's limit.
        self.acknowledge_received_data(size, stream_id)
        return events[1:]

    def receive_block(self, stream_id: int, block: bytes, *, end_stream: bool) -> list[Event]:
        """Takes a HEADERS frame with a whole block. The event has the headers as text.

        Raises:
            ProtocolError: The frame is not allowed; the connection is over.
        """
        try:
            fields = cast("Fields", _decode_headers(self.decoder, block))
            if fields.plain:
                return self._receive_fields(stream_id, fields, end_stream)
        except ProtocolError as error:
            return self._receive(_Failure(error))
        return self._receive(_ReceivedHeaders(stream_id, fields, end_stream=end_stream))

    def _receive_fields(self, stream_id: int, fields: Fields, end_stream: bool) -> list[Event]:
        stream = self.streams.get(stream_id)
        if self._is_one_too_many(stream_id):
            frames, nothing = self._refuse(stream_id)
            self._prepare_for_sending(frames)
            return nothing
        self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        if stream is None:
            stream = self._begin_new_stream(stream_id, self._peers_ids)
        events = stream.state_machine.process_input(StreamInputs.RECV_HEADERS)
        cast("Any", events[0]).headers = fields.text
        if end_stream:
            events += stream.state_machine.process_input(StreamInputs.RECV_END_STREAM)
        elif isinstance(events[0], TrailersReceived):
            raise ProtocolError("trailers end the stream")
        return events

    def _is_one_too_many(self, stream_id: int) -> bool:
        return (
            stream_id not in self.streams and self.open_inbound_streams >= self._max_inbound_streams
        )

    def _refuse(self, stream_id: int) -> tuple[list[Frame], list[Event]]:
        """Refuses a stream that is one too many, and lets the others be.

        A peer may have begun it before it knew how many are allowed. h2's own way is to end
        the connection.
        """
        self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        stream = self._begin_new_stream(stream_id, self._peers_ids)
        stream.state_machine.process_input(StreamInputs.RECV_HEADERS)
        return stream.reset_stream(ErrorCodes.REFUSED_STREAM), []

    @override
    def _receive_headers_frame(self, frame: HeadersFrame) -> tuple[list[Frame], list[Event]]:
        if self._is_one_too_many(frame.stream_id):
            _decode_headers(self.decoder, frame.data)
            return self._refuse(frame.stream_id)
        return super()._receive_headers_frame(frame)

    def _receive(self, frame: Any) -> list[Event]:
        try:
            return self._receive_frame(frame)
        except ProtocolError as error:
            self._terminate_connection(error.error_code)
            raise

    def _receive_block(self, frame: _ReceivedHeaders) -> tuple[list[Frame], list[Event]]:
        """h2's `_receive_headers_frame`, without making text of known headers anew."""
        fields = cast("Fields", frame.data)
        if self._is_one_too_many(frame.stream_id):
            return self._refuse(frame.stream_id)
        events = self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        stream = self._get_or_create_stream(frame.stream_id, self._peers_ids)
        frames, more = stream.receive_headers(fields, bool(frame.flags), None)
        cast("Any", more[0]).headers = fields.text
        return frames, events + more

    @override
    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        # h2's own takes any GOAWAY for the end, and what follows for an error; a
        # graceful one lets accepted calls finish.
        if frame.error_code:
            return super()._receive_goaway_frame(frame)
        event = ConnectionTerminated()
        event.error_code = ErrorCodes.NO_ERROR
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]


Receive: TypeAlias = Callable[[Any], tuple[list[Frame], list[Event]]]


def _let_go(receive: Receive) -> Receive:
    """Keeps an error of h2's from keeping all that called it.

    Some of its frames hold the error, whose traceback holds them, and through them the
    memory that was just received into, until a collector comes.
    """

    def receive_frame(frame: Any) -> tuple[list[Frame], list[Event]]:
        try:
            return receive(frame)
        except ProtocolError as error:
            if isinstance(error.__cause__, HPACKError) and type(error) is ProtocolError:
                # RFC 9113, section 4.3.
                error.error_code = ErrorCodes.COMPRESSION_ERROR
            raise error.with_traceback(None)  # noqa: B904 - the same one

    return receive_frame


def _raise(failure: _Failure) -> NoReturn:
    error = failure.error.with_traceback(None)
    del failure.error
    try:
        raise error
    finally:
        del error
