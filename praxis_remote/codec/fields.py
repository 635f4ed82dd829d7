# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One field at a time, both ways, whatever it holds.

Nothing here knows which fields there are. Reading takes the one form that every
writer gives; there are no errors for other forms but the one that says so.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

from ..wire import Buffer, Malformed, read_varint, write_varint

Parts: TypeAlias = list[bytes | memoryview]
"""A message that is being written. What is not known yet has an empty slot."""

_MAX_SIZE_BYTES = 5


def write_head(tag: int, number: int) -> bytes:
    """Returns a tag and the size, or the number, that follows it."""
    if number < 0x80:
        return bytes((tag, number))
    return b"%c%b" % (tag, write_varint(number))


def write_field(tag: int, content: bytes) -> bytes:
    """Returns a length-delimited field."""
    return write_head(tag, len(content)) + content


def write_optional(tag: int, content: bytes) -> bytes:
    """Returns a length-delimited field, or nothing where it would be empty."""
    return write_head(tag, len(content)) + content if content else b""


class UnusualError(ValueError):
    """A message that the direct path leaves to the typed one."""


class CostlyError(Exception):
    """A request of more items than may be read at once."""


# All that reading a message in the usual form may raise for one that is not.
UNUSUAL = (IndexError, ValueError, struct.error, Malformed)


def expect(condition: bool) -> None:
    """Leaves a message that is not as it usually is to the typed path."""
    if not condition:
        raise UnusualError


def read_size(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """Returns where the length-delimited content at ``position`` starts and stops.

    `wire` has the same with errors; this one is called for every field.
    """
    size = buffer[position]
    position += 1
    if size >= 0x80:
        size, position = read_varint(buffer, position - 1, end, _MAX_SIZE_BYTES)
    stop = position + size
    if stop > end:
        raise UnusualError
    return position, stop


def read_text(buffer: Buffer, position: int, end: int, tag: int) -> tuple[str, int]:
    """Returns a text that may be left out, and what follows it."""
    if position < end and buffer[position] == tag:
        start, stop = read_size(buffer, position + 1, end)
        return str(buffer[start:stop], "utf-8"), stop
    return "", position


def enter(buffer: Buffer, position: int, end: int, tag: int) -> int:
    """Returns where the content of a message starts that goes on until ``end``."""
    if position >= end or buffer[position] != tag:
        raise UnusualError
    start, stop = read_size(buffer, position + 1, end)
    if stop != end:
        raise UnusualError
    return start
