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

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from h2.exceptions import ProtocolError
from hyperframe.frame import DataFrame, Frame, GoAwayFrame
from typing_extensions import override

from .headers import RememberingDecoder, RememberingEncoder

# RFC 9113, section 4.1: three bytes of length, kind, flags, four bytes of stream.
_HEAD = struct.Struct(">HBBBL")
_END_STREAM = 0x1


class Chunk:
    """The payload of one DATA frame that is sent: parts that are not joined."""

    __slots__ = ("parts", "size")

    def __init__(self, parts: list[memoryview], size: int) -> None:
        self.parts = parts
        self.size = size

    def __len__(self) -> int:
        return self.size


class ReceivedData(DataFrame):
    """A DATA frame whose payload is where it belongs already."""

    def __init__(self, stream_id: int, size: int, *, end_stream: bool) -> None:
        super().__init__(stream_id)
        self._size = size
        if end_stream:
            self.flags.add("END_STREAM")

    @property
    @override
    def flow_controlled_length(self) -> int:
        return self._size

    @override
    def __repr__(self) -> str:
        return "ReceivedData()"


class StateMachine(H2Connection):
    """Keeps a connection's state; hands out what is to be sent as segments."""

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self._segments: list[bytes | memoryview] = []
        self.encoder = RememberingEncoder()
        self.decoder = RememberingDecoder()
        self.decoder.max_header_list_size = self.DEFAULT_MAX_HEADER_LIST_SIZE
        self._frame_dispatch_table[ReceivedData] = self._receive_data_frame

    def take_segments(self) -> list[bytes | memoryview]:
        """Returns what is to be sent, and forgets it."""
        segments, self._segments = self._segments, []
        # Only h2's greeting goes another way.
        return [self.data_to_send(), *segments] if self._data_to_send else segments

    @override
    def _prepare_for_sending(self, frames: list[Frame]) -> None:
        for frame in frames:
            payload: object = getattr(frame, "data", None)
            if isinstance(payload, Chunk):
                size, flags = payload.size, _END_STREAM if "END_STREAM" in frame.flags else 0
                self._segments.append(
                    _HEAD.pack(size >> 8, size & 0xFF, frame.type, flags, frame.stream_id)
                )
                self._segments += payload.parts
            else:
                self._segments.append(frame.serialize())

    @override
    def clear_outbound_data_buffer(self) -> None:
        """Forgets what is to be sent."""
        super().clear_outbound_data_buffer()
        self._segments.clear()

    def receive_payload(self, stream_id: int, size: int, *, end_stream: bool) -> list[Event]:
        """Accounts for a DATA frame whose payload was taken elsewhere.

        Raises:
            ProtocolError: The frame is not allowed; the connection is over.
        """
        try:
            return self._receive_frame(ReceivedData(stream_id, size, end_stream=end_stream))
        except ProtocolError as error:
            self._terminate_connection(error.error_code)
            raise

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
