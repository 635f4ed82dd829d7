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

from h2.errors import ErrorCodes

from .offence import OffenceError
from .patience import Patience

_HEAD = struct.Struct(">HBBBL")
_DATA, _HEADERS, _SETTINGS, _PUSH_PROMISE, _CONTINUATION = 0x0, 0x1, 0x4, 0x5, 0x9
_KINDS = frozenset(range(_DATA, _CONTINUATION + 1))
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x4, 0x8, 0x20
_ACK = 0x1
# RFC 8446, section 5.1: how TLS tells a peer that what it has sent is none.
_ALERT = b"\x15\x03"
_PLAIN = _END_HEADERS | _PADDED | _PRIORITY
_STREAM_MASK = 2**31 - 1
_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

# What is read of a peer of which nothing is known to follow, and what in the midst of a
# message: a large one's payload shall not take the way through the buffer.
_FIRST_READ = 16 * 1024
_BUFFER_SIZE = 128 * 1024

# To unpack so many bytes of headers costs as much as a frame that is of no use.
_COSTLY = 512

# From this size on a system call of its own costs less than a copy.
_DIRECT_SIZE = 32 * 1024

# Smaller pieces of a message are the work of a peer that wants to make some.
_CRUMB = 256

# Frames that are handled before the loop may do something for others.
_MAX_FRAMES = 16


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
        max_block: Bytes of a block of headers. No other frame but DATA is longer.
        find: Returns the call of a stream, or None.
        feed: Takes the bytes of every frame that is neither of the following.
        headers: Takes stream, block and end-of-stream of a HEADERS frame.
        complete: Takes stream, size and end-of-stream of a DATA frame whose payload
            the call has.
        patience: What the peer has left of it.

    Attributes:
        amid: Whether more of a message is on its way.
        behind: Whether there is more to be handled than one turn is for: `go_on` does
            it, and nothing is to be received before.
        moved: Bytes of messages that have come.
    """

    def __init__(
        self,
        *,
        client_side: bool,
        max_frame_size: int,
        max_block: int,
        find: Callable[[int], Target | None],
        feed: Callable[[memoryview], None],
        headers: Callable[[int, bytes, bool], None],
        complete: Callable[[int, int, bool], None],
        patience: Patience,
    ) -> None:
        self._max_frame_size = max_frame_size
        self._max_block = max_block
        self._find = find
        self._feed = feed
        self._headers = headers
        self._complete = complete
        self._patience = patience
        self._buffer = memoryview(bytearray(_BUFFER_SIZE))
        self._start = self._end = 0
        # Bytes that go to `feed` whatever they are: a client's preface, or a frame's rest.
        self._to_feed = 0 if client_side else _PREFACE
        self._expect_settings = client_side
        # Bytes of a block of headers that is not whole yet.
        self._block: int | None = None
        # The DATA frame whose payload is arriving, and bytes that nobody needs: padding.
        self._target: Target | None = None
        self._stream_id = self._size = self._left = self._to_drop = 0
        self._in_data = self._end_stream = False
        self._direct = False
        self.amid = self.behind = False
        self.moved = 0

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

    def clear(self) -> None:
        """Forgets what has come, and the memory for more, since nothing does."""
        self._buffer = memoryview(b"")
        self._start = self._end = 0
        self._target = None

    def received(self, size: int) -> None:
        """Takes the news that so many bytes were written there.

        Raises:
            OffenceError: The peer speaks no HTTP/2, or breaks a limit.
        """
        if self._direct:
            assert self._target is not None
            self._target.received_into(size)
            self.moved += size
            self._left -= size
            if not (self._left or self._to_drop):
                self._end_data()
            return
        self._end += size
        self.go_on()

    def go_on(self) -> None:
        """Handles what is there, or as much of it as one turn is for.

        Raises:
            OffenceError: As `received` does.
        """
        frames = _MAX_FRAMES
        while self._start < self._end and frames:
            available = self._end - self._start
            if self._left:
                self._take_payload(min(available, self._left))
            elif self._to_drop:
                self._drop(min(available, self._to_drop))
            elif self._to_feed:
                part = min(available, self._to_feed)
                self._feed(self._buffer[self._start : self._start + part])
                self._start += part
                self._to_feed -= part
            elif self._expect_settings and self._is_alert(available):
                raise OffenceError("it speaks TLS")
            elif available >= _HEAD.size and self._begin_frame(available - _HEAD.size):
                frames -= 1
            else:
                break
        self.behind = not frames and self._start < self._end

    def _is_alert(self, available: int) -> bool:
        # Shorter than the head of a frame.
        return available >= 2 and self._buffer[self._start : self._start + 2] == _ALERT

    def _take_payload(self, size: int) -> None:
        if self._target is not None:
            self._target.receive_data(self._buffer[self._start : self._start + size])
        self._start += size
        self._left -= size
        self.moved += size
        if not (self._left or self._to_drop):
            self._end_data()

    def _drop(self, size: int) -> None:
        self._start += size
        self._to_drop -= size
        if not self._to_drop and self._in_data:
            self._end_data()

    def _begin_frame(self, available: int) -> bool:
        """Handles a frame's head, and what must be there with it; False if it is not."""
        high, low, kind, flags, stream_id = _HEAD.unpack_from(self._buffer, self._start)
        size, stream_id = high << 8 | low, stream_id & _STREAM_MASK
        if self._expect_settings and kind != _SETTINGS:
            first = bytes(self._buffer[self._start : self._start + _HEAD.size])
            raise OffenceError(f"its first bytes were {first!r}")
        self._expect_settings = False
        if kind == _DATA and self._block is None and stream_id:
            return self._begin_data(available, size, flags, stream_id)
        if kind == _HEADERS and size <= self._max_block and flags & _PLAIN == _END_HEADERS:
            if self._block is None:
                return size <= available and self._take_block(stream_id, size, flags)
        elif kind not in _KINDS and self._block is None:
            # RFC 9113, section 4.1: to be ignored.
            self._check_size(size, self._max_frame_size)
            self._patience.spend()
            self._start += _HEAD.size
            self._to_drop = size
            return True
        self._begin_control(size, kind, flags)
        return True

    def _begin_control(self, size: int, kind: int, flags: int) -> None:
        """Has a frame fed as it comes."""
        self._patience.spend()
        self._check_size(size, min(self._max_frame_size, self._max_block))
        if kind == _SETTINGS and flags & _ACK:
            self._check_size(size, 0)
        if kind in (_HEADERS, _PUSH_PROMISE, _CONTINUATION):
            block = (self._block or 0) + size
            if block > self._max_block:
                raise OffenceError(
                    f"a block of headers of {block} bytes; allowed: {self._max_block}",
                    ErrorCodes.ENHANCE_YOUR_CALM,
                )
            self._patience.spend(size // _COSTLY)
            self._block = None if flags & _END_HEADERS else block
        self._to_feed = _HEAD.size + size

    def _check_size(self, size: int, limit: int) -> None:
        if size > limit:
            raise OffenceError(
                f"a frame of {size} bytes; allowed: {limit}", ErrorCodes.FRAME_SIZE_ERROR
            )

    def _begin_data(self, available: int, size: int, flags: int, stream_id: int) -> bool:
        self._check_size(size, self._max_frame_size)
        padding = 0
        if flags & _PADDED and size:
            if not available:
                return False
            # Its length is the first byte, and counts as well.
            padding = self._buffer[self._start + _HEAD.size] + 1
            if padding > size:
                raise OffenceError(f"padding of {padding} bytes in a frame of {size}")
        elif flags & _PADDED:
            raise OffenceError("padding in an empty frame", ErrorCodes.FRAME_SIZE_ERROR)
        self._end_stream = bool(flags & _END_STREAM)
        if size - padding < _CRUMB and not self._end_stream:
            self._patience.spend()
        self._start += _HEAD.size + (padding > 0)
        self._target = self._find(stream_id)
        self._stream_id, self._size = stream_id, size
        self._left, self._to_drop = size - padding, padding - (padding > 0)
        self._in_data = True
        self.amid = self._left > 0
        if not (self._left or self._to_drop):
            self._end_data()
        return True

    def _take_block(self, stream_id: int, size: int, flags: int) -> bool:
        begin = self._start + _HEAD.size
        self._start = begin + size
        self.amid = False
        if size >= _COSTLY:
            self._patience.spend(size // _COSTLY)
        block = bytes(self._buffer[begin : self._start])
        self._headers(stream_id, block, bool(flags & _END_STREAM))
        return True

    def _end_data(self) -> None:
        self._target = None
        self._in_data = False
        self.amid = not self._end_stream
        self._patience.moved(self._size)
        self._complete(self._stream_id, self._size, self._end_stream)
