# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""gRPC's length-prefixed messages, without I/O: segments to chunks, chunks to a message.

A unary call has one message each way: a compressed flag, four bytes of length,
and that many bytes. A streaming call has any number of them.
"""

from __future__ import annotations

import operator
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from .errors import (
    DecodeError,
    InvalidArgumentError,
    InvalidValueError,
    MessageTooLargeError,
    UnimplementedError,
    UnsupportedTypeError,
)
from .memory import Allocate, allocate

Segments: TypeAlias = Sequence[bytes | memoryview]
"""A message in pieces, each of bytes, so that large arrays need not be joined."""

Find: TypeAlias = Callable[[bytes | memoryview], int]
"""Returns a place in a message from its first bytes, of which there may be few."""

Reserve: TypeAlias = Callable[[int], None]
"""Takes note of bytes that are about to be taken, or raises `RemoteError`."""

DEFAULT_MAX_MESSAGE_SIZE = 64 * 2**20
"""Bytes of a message, each way, on both ends, unless told otherwise."""


def check_max_message_size(size: int) -> None:
    """Raises if no message could be of this size.

    Raises:
        InvalidValueError: It is less than 1.
        UnsupportedTypeError: It is no integer.
    """
    try:
        number = operator.index(size)
    except TypeError:
        raise UnsupportedTypeError(
            f"max_message_size: {size!r}; pass an integer, at least 1"
        ) from None
    if number < 1:
        raise InvalidValueError(f"max_message_size: {size}; at least 1 is needed")


_PREFIX = struct.Struct(">BI")
_MAX_LENGTH = 2**32 - 1

# From this size on a message has memory of its own.
_LARGE = 64 * 1024

# zlib's number for a gzip header, and for either of zlib's own.
_WBITS = {"gzip": 31, "deflate": 15}
ACCEPTED_ENCODINGS = ",".join(("identity", *_WBITS))


class MessageWriter:
    """Hands out a message and its prefix in chunks of the size that is asked for.

    Raises:
        MessageTooLargeError: The message is over the limit.
    """

    def __init__(self, segments: Segments, limit: int, what: str) -> None:
        size = sum(map(len, segments))
        if size > min(limit, _MAX_LENGTH):
            raise MessageTooLargeError(what, size, min(limit, _MAX_LENGTH))
        self._segments = [memoryview(_PREFIX.pack(0, size))]
        self._segments += [memoryview(segment) for segment in segments if len(segment)]
        self._index = 0
        self._offset = 0
        self.size = self.remaining = size + _PREFIX.size

    def take(self, size: int) -> list[memoryview]:
        """Returns the next ``size`` bytes, or what is left, in parts that are not joined."""
        parts: list[memoryview] = []
        wanted = min(size, self.remaining)
        self.remaining -= wanted
        while wanted:
            segment = self._segments[self._index]
            part = segment[self._offset : self._offset + wanted]
            self._offset += len(part)
            if self._offset == len(segment):
                self._index += 1
                self._offset = 0
            wanted -= len(part)
            parts.append(part)
        return parts


class MessageReader:
    """Assembles the one message of a stream from the chunks that arrive.

    Args:
        limit: Bytes allowed, checked before the memory is taken.
        what: The message, for errors, such as ``"request"``.
        allocate: Where the memory of a large one comes from.
        find: Returns the place in a message that shall be aligned, from its first bytes.
        reserve: Told of a message's size before its memory is taken; may raise.

    Attributes:
        limit: Bytes allowed.
        compressed: Whether `end` has to decompress it, which may take long.
    """

    def __init__(
        self,
        limit: int,
        what: str,
        allocate: Allocate = allocate,
        find: Find | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self.limit = limit
        self._what = what
        self._allocate = allocate
        self._find = find
        self._reserve = reserve
        self._prefix = bytearray()
        self._message: bytearray | memoryview = bytearray()
        self._filled = 0
        self.compressed = False

    def feed(self, data: bytes | memoryview) -> None:
        """Takes the next chunk.

        Raises:
            MessageTooLargeError: The prefix declares more than the limit.
            DecodeError: There is more than one message.
        """
        if len(self._prefix) < _PREFIX.size:
            missing = _PREFIX.size - len(self._prefix)
            self._prefix += data[:missing]
            data = data[missing:]
            if len(self._prefix) == _PREFIX.size:
                self._begin(data)
        if not len(data):
            return
        end = self._filled + len(data)
        if end > len(self._message):
            raise DecodeError(
                f"{end - len(self._message)} bytes after the {self._what} of "
                f"{len(self._message)} bytes; a unary call has one message"
            )
        self._message[self._filled : end] = data
        self._filled = end

    def space(self, size: int) -> memoryview | None:
        """Returns where the next bytes belong, None if not so many are missing."""
        end = self._filled + size
        if end > len(self._message):
            return None
        return memoryview(self._message)[self._filled : end]

    def filled(self, size: int) -> None:
        """Takes the news that so many bytes were written there."""
        self._filled += size

    def _begin(self, data: bytes | memoryview) -> None:
        flag, size = _PREFIX.unpack(self._prefix)
        if flag > 1:
            raise DecodeError(f"{self._what}: compressed flag {flag}; allowed: 0 and 1")
        if size > self.limit:
            raise MessageTooLargeError(self._what, size, self.limit)
        if self._reserve is not None:
            self._reserve(size)
        self.compressed = flag == 1
        if size < _LARGE:
            self._message = bytearray(size)
        else:
            self._message = self._allocate(size, self._find(data) if self._find else 0)

    def end(self, encoding: str = "identity") -> bytearray | memoryview | None:
        """Returns the message, None if the stream ended without one.

        Args:
            encoding: What a compressed message is compressed with.

        Raises:
            DecodeError: The stream ended within the message, or decompressing failed.
            MessageTooLargeError: It is over the limit once decompressed.
            UnimplementedError: The encoding is not known.
        """
        if not self._prefix:
            return None
        if len(self._prefix) < _PREFIX.size:
            raise DecodeError(
                f"the {self._what} ended within its prefix: "
                f"{len(self._prefix)} of {_PREFIX.size} bytes"
            )
        if self._filled < len(self._message):
            raise DecodeError(
                f"the {self._what} ended early: {self._filled} of {len(self._message)} bytes"
            )
        return self._decompress(encoding) if self.compressed else self._message

    def progress(self) -> tuple[int, int]:
        """Returns how many bytes are there, and of how many; 0 of 0 before that is known."""
        return self._filled, len(self._message)

    def clear(self) -> None:
        """Lets go of the message's memory."""
        self._message = bytearray()

    def _decompress(self, encoding: str) -> bytearray:
        if encoding == "identity":
            raise InvalidArgumentError(
                f"the {self._what} is flagged as compressed, but grpc-encoding names no encoding"
            )
        wbits = _WBITS.get(encoding)
        if wbits is None:
            raise UnimplementedError(
                f"grpc-encoding {encoding!r} is not supported; supported: {ACCEPTED_ENCODINGS}"
            )
        inflate = zlib.decompressobj(wbits)
        try:
            # One byte more than allowed tells a bomb without unpacking it.
            message = bytearray(inflate.decompress(self._message, self.limit + 1))
        except zlib.error as error:
            raise DecodeError(f"the {self._what} is no valid {encoding}: {error}") from error
        if len(message) > self.limit:
            raise MessageTooLargeError(f"decompressed {self._what}", len(message), self.limit)
        if not inflate.eof:
            raise DecodeError(f"the {self._what} is cut off within its {encoding} data")
        return message


class MessageSplitter:
    """Takes apart what arrives on a stream of small messages.

    Args:
        limit: Bytes of a message, checked before they are taken.
        what: Each of them, for errors, such as ``"request"``.
        encoding: What compressed messages are compressed with.
    """

    def __init__(self, limit: int, what: str, encoding: str = "identity") -> None:
        self._limit = limit
        self._what = what
        self._encoding = encoding
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Takes the next chunk, and yields the messages that are whole with it.

        Raises:
            RemoteError: As `MessageReader` does.
        """
        self._buffer += data
        start = 0
        while (end := self._end_of_message(start)) <= len(self._buffer):
            yield self._read(start, end)
            start = end
        del self._buffer[:start]

    def _end_of_message(self, start: int) -> int:
        if len(self._buffer) < start + _PREFIX.size:
            return start + _PREFIX.size
        _, size = _PREFIX.unpack_from(self._buffer, start)
        if size > self._limit:
            raise MessageTooLargeError(self._what, size, self._limit)
        return start + _PREFIX.size + int(size)

    def _read(self, start: int, end: int) -> bytes:
        reader = MessageReader(self._limit, self._what)
        reader.feed(bytes(self._buffer[start:end]))
        return bytes(reader.end(self._encoding) or b"")

    @property
    def amid(self) -> bool:
        """Whether the rest of a message is still to come."""
        return bool(self._buffer)

    def end(self) -> None:
        """Takes the news that nothing more comes.

        Raises:
            DecodeError: That is in the midst of a message.
        """
        if self._buffer:
            raise DecodeError(f"the stream ended within a {self._what}")
