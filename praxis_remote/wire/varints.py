# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Varints, and what the format makes of them: tags, lengths and packed lists.

Nothing here knows a message, or the type of a field.
"""

from __future__ import annotations

from .buffers import Buffer, Malformed

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
MASK64 = 2**64 - 1
_MAX_VARINT, _MAX_TAG = 10, 5
_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))


def read_varint(
    buffer: Buffer, position: int, end: int, limit: int = _MAX_VARINT
) -> tuple[int, int]:
    """Returns the unsigned varint at ``position``, cut to 64 bits, and what follows it.

    Raises:
        Malformed: It has no last byte before ``end``, or is longer than ``limit``.
    """
    number = shift = 0
    for place in range(position, min(end, position + limit)):
        byte = buffer[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & MASK64, place + 1
        shift += 7
    if position + limit <= end:
        raise Malformed(f"a varint of more than {limit} bytes", position)
    raise Malformed("a varint that is cut off", position)


def write_varint(number: int) -> bytes:
    """Returns a number from 0 to 2**64 - 1 as a varint."""
    if number < 0x80:
        return _ONE_BYTE[number]
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def signed(number: int, bits: int = 64) -> int:
    """Returns the lowest ``bits`` of a number as two's complement."""
    sign = 1 << (bits - 1)
    return (number & (sign - 1)) - (number & sign)


def read_size(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """Returns where the length-delimited field at ``position`` starts and stops.

    Raises:
        Malformed: It stops after ``end``.
    """
    size, start = read_varint(buffer, position, end, _MAX_TAG)
    if size > end - start:
        raise Malformed(f"a length of {size} where {end - start} bytes are left", position)
    return start, start + size


def read_packed(buffer: Buffer, start: int, stop: int, bits: int = 64) -> list[int]:
    """Returns varints that stand side by side, as int64 or of fewer bits.

    Raises:
        Malformed: The last one is cut off.
    """
    content = bytes(buffer[start:stop])
    if content.isascii():
        return list(content)  # each byte is a whole varint
    numbers = []
    number = shift = 0
    for byte in content:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(signed(number, bits))
            number = shift = 0
        elif shift == 7 * _MAX_VARINT:
            raise Malformed(f"a varint of more than {_MAX_VARINT} bytes", start)
    if shift:
        raise Malformed("a varint that is cut off", start)
    return numbers


def read_tag(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """Returns the tag at ``position``, and what follows it.

    Raises:
        Malformed: It is cut off, or its field number is beyond the format's.
    """
    if position < end and buffer[position] < 0x80:
        return buffer[position], position + 1
    tag, after = read_varint(buffer, position, end, _MAX_TAG)
    if tag >> 32:
        raise Malformed(f"field number {tag >> 3}", position)
    return tag, after
