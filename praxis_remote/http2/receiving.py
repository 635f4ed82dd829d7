# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Splits what arrives into frames, and lets payloads go straight where they belong.

The kernel writes a large payload into the message that it is part of; everything
else passes through a small buffer. Nothing here does I/O, or knows what a frame
means beyond its head.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

from ..errors import DecodeError

_HEAD = struct.Struct(">HBBBL")
_DATA, _HEADERS, _SETTINGS, _PUSH_PROMISE, _CONTINUATION = 0x0, 0x1, 0x4, 0x5, 0x9
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x4, 0x8, 0x20
_PLAIN = _END_HEADERS | _PADDED | _PRIORITY
_STREAM_MASK = 2**31 - 1
_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

# What is read of a peer of which nothing is known to follow, and what in the midst of a
# message: a large one's payload shall not take the way through the buffer.
_FIRST_READ = 16 * 1024
_BUFFER_SIZE = 128 * 1024

# A block of headers that is larger than any call's takes the long way.
_MAX_BLOCK = 16 * 1024

# From this size on a system call of its own costs less than a copy.
_DIRECT_SIZE = 32 * 1024


class Target(Protocol):
    """A call that takes payloads."""

    def receive_data(self, data: memoryview) -> None:
        """Takes the next part of the message."""

    def receive_into(self, size: int) -> memoryview | None:
        """Returns where the next bytes of the message belong, None if they cannot go there."""

    def received_into(self, size: int) -> None:
        """Takes the news that so many bytes are there."""


class Receiver:
    """Takes bytes as they come.

    Args:
        client_side: Whether the peer is a server.
        max_frame_size: Bytes of a frame's payload.
        find: Returns the call of a stream, or None.
        feed: Takes the bytes of every frame that is neither of the following.
        headers: Takes stream, block and end-of-stream of a HEADERS frame.
        complete: Takes stream, size and end-of-stream of a DATA frame whose payload
            the call has.

    Attributes:
        amid: Whether more of a message is on its way.
    """

    def __init__(
        self,
        *,
        client_side: bool,
        max_frame_size: int,
        find: Callable[[int], Target | None],
        feed: Callable[[memoryview], None],
        headers: Callable[[int, bytes, bool], None],
        complete: Callable[[int, int, bool], None],
    ) -> None:
        self._max_frame_size = max_frame_size
        self._find = find
        self._feed = feed
        self._headers = headers
        self._complete = complete
        self._buffer = memoryview(bytearray(_BUFFER_SIZE))
        self._start = self._end = 0
        # Bytes that go to `feed` whatever they are: a client's preface, or a frame's rest.
        self._to_feed = 0 if client_side else _PREFACE
        self._expect_settings = client_side
        self._in_headers = False
        # The DATA frame whose payload is arriving.
        self._target: Target | None = None
        self._stream_id = self._size = self._left = 0
        self._end_stream = False
        self._direct = False
        self.amid = False

    def buffer(self) -> memoryview:
        """Returns where the next bytes shall be written."""
        self._direct = False
        if self._start == self._end:
            self._start = self._end = 0
            if self._left >= _DIRECT_SIZE and self._target is not None:
                place = self._target.receive_into(self._left)
                if place is not None:
                    self._direct = True
                    return place
            if not self.amid:
                return self._buffer[:_FIRST_READ]
        elif self._end == len(self._buffer):
            self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
            self._start, self._end = 0, self._end - self._start
        return self._buffer[self._end :]

    def received(self, size: int) -> None:
        """Takes the news that so many bytes were written there.

        Raises:
            DecodeError: The peer speaks no HTTP/2, or a frame is too large.
        """
        if self._direct:
            assert self._target is not None
            self._target.received_into(size)
            self._left -= size
            if not self._left:
                self._end_frame()
            return
        self._end += size
        while self._start < self._end and self._step():
            pass

    def _step(self) -> bool:
        """Handles what it can of the buffer; False if it needs more for the next step."""
        available = self._end - self._start
        if self._left:
            assert self._target is not None
            part = min(available, self._left)
            self._target.receive_data(self._buffer[self._start : self._start + part])
            self._start += part
            self._left -= part
            if not self._left:
                self._end_frame()
            return True
        if self._to_feed:
            part = min(available, self._to_feed)
            self._feed(self._buffer[self._start : self._start + part])
            self._start += part
            self._to_feed -= part
            return True
        return available >= _HEAD.size and self._begin_frame(available - _HEAD.size)

    def _begin_frame(self, available: int) -> bool:
        high, low, kind, flags, stream_id = _HEAD.unpack_from(self._buffer, self._start)
        size = high << 8 | low
        if self._expect_settings and kind != _SETTINGS:
            first = bytes(self._buffer[self._start : self._start + _HEAD.size])
            raise DecodeError(f"its first bytes were {first!r}")
        self._expect_settings = False
        if size > self._max_frame_size:
            raise DecodeError(f"a frame of {size} bytes; allowed: {self._max_frame_size}")
        if not self._in_headers:
            if kind == _DATA and size and not flags & _PADDED:
                self._target = self._find(stream_id & _STREAM_MASK)
                if self._target is not None:
                    self._start += _HEAD.size
                    self._stream_id = stream_id & _STREAM_MASK
                    self._size = self._left = size
                    self._end_stream = bool(flags & _END_STREAM)
                    self.amid = True
                    return True
            if kind == _HEADERS and size <= _MAX_BLOCK and flags & _PLAIN == _END_HEADERS:
                return size <= available and self._take_block(stream_id, size, flags)
        if kind in (_HEADERS, _PUSH_PROMISE, _CONTINUATION):
            self._in_headers = not flags & _END_HEADERS
        self._to_feed = _HEAD.size + size
        return True

    def _take_block(self, stream_id: int, size: int, flags: int) -> bool:
        begin = self._start + _HEAD.size
        self._start = begin + size
        self.amid = False
        block = bytes(self._buffer[begin : self._start])
        self._headers(stream_id & _STREAM_MASK, block, bool(flags & _END_STREAM))
        return True

    def _end_frame(self) -> None:
        self._target = None
        self.amid = not self._end_stream
        self._complete(self._stream_id, self._size, self._end_stream)
