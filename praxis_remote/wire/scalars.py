# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Single values, both ways: one row of a table for each type that the schema has.

Nothing here knows a message, or which of its fields a value belongs to.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import betterproto
import numpy as np

from ..errors import InvalidValueError, RemoteError, UnsupportedTypeError
from .buffers import Buffer, Malformed
from .varints import FIXED64, LENGTH, MASK64, VARINT, read_size, read_varint, signed, write_varint

_DOUBLE = struct.Struct("<d")


class RefusedError(Exception):
    """A value that has no form on the wire; `write_message` adds where it is."""

    def __init__(self, kind: type[RemoteError], text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text
        self.label = ""


def refuse(value: object, wanted: str) -> RefusedError:
    """Returns the error for a value of another type than its field's."""
    return RefusedError(UnsupportedTypeError, f"{type(value).__name__} where {wanted} is needed")


def _read_bool(buffer: Buffer, position: int, end: int) -> tuple[bool, int]:
    number, position = read_varint(buffer, position, end)
    return number != 0, position


def _read_int64(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    number, position = read_varint(buffer, position, end)
    return signed(number), position


def _read_int32(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    number, position = read_varint(buffer, position, end)
    return signed(number, 32), position


def _read_double(buffer: Buffer, position: int, end: int) -> tuple[float, int]:
    if end - position < _DOUBLE.size:
        raise Malformed("a double that is cut off", position)
    return _DOUBLE.unpack_from(buffer, position)[0], position + _DOUBLE.size


def _read_string(buffer: Buffer, position: int, end: int) -> tuple[str, int]:
    start, stop = read_size(buffer, position, end)
    return _read_text(buffer, start, stop), stop


def _read_text(buffer: Buffer, start: int, stop: int) -> str:
    """Returns UTF-8 as text.

    Raises:
        Malformed: It is not UTF-8.
    """
    try:
        return str(buffer[start:stop], "utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("text that is not UTF-8", start + error.start) from None


def _read_bytes(buffer: Buffer, position: int, end: int) -> tuple[bytes, int]:
    start, stop = read_size(buffer, position, end)
    return bytes(buffer[start:stop]), stop


def _write_bool(value: object) -> bytes:
    if not isinstance(value, (bool, np.bool_, int, np.integer)):
        raise refuse(value, "a bool")
    return b"\x01" if value else b"\x00"


def _write_int(value: object, bits: int) -> bytes:
    if not isinstance(value, (int, np.integer, np.bool_)):
        raise refuse(value, "an int")
    number = int(value)
    if number != signed(number, bits):
        raise RefusedError(InvalidValueError, f"{number} is beyond int{bits}")
    return write_varint(number & MASK64)


def _write_int64(value: object) -> bytes:
    return _write_int(value, 64)


def _write_int32(value: object) -> bytes:
    return _write_int(value, 32)


def _write_double(value: object) -> bytes:
    if not isinstance(value, (float, np.floating, int, np.integer, np.bool_)):
        raise refuse(value, "a float")
    try:
        return _DOUBLE.pack(float(value))
    except OverflowError:
        raise RefusedError(InvalidValueError, f"{value} is beyond a double") from None


def _write_string(value: object) -> bytes:
    if not isinstance(value, str):
        raise refuse(value, "a str")
    try:
        content = value.encode()
    except UnicodeEncodeError as error:
        raise RefusedError(
            InvalidValueError, f"{value!r} holds a lone surrogate at {error.start}"
        ) from None
    return write_varint(len(content)) + content


def _write_bytes(value: object) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise refuse(value, "bytes")
    # A view of wider items counts these in len(); its bytes are what is sent.
    content = value if isinstance(value, bytes) else memoryview(value).tobytes()
    return write_varint(len(content)) + content


class Scalar(NamedTuple):
    """How one type of field is read and written; `bits` are those of an integer."""

    wire_type: int
    default: object
    read: Callable[[Buffer, int, int], tuple[Any, int]]
    write: Callable[[object], bytes]
    bits: int = 64


SCALARS: dict[str, Scalar] = {
    betterproto.TYPE_BOOL: Scalar(VARINT, False, _read_bool, _write_bool),
    betterproto.TYPE_INT64: Scalar(VARINT, 0, _read_int64, _write_int64),
    betterproto.TYPE_INT32: Scalar(VARINT, 0, _read_int32, _write_int32, 32),
    betterproto.TYPE_ENUM: Scalar(VARINT, 0, _read_int32, _write_int32, 32),
    betterproto.TYPE_DOUBLE: Scalar(FIXED64, 0.0, _read_double, _write_double),
    betterproto.TYPE_STRING: Scalar(LENGTH, "", _read_string, _write_string),
    betterproto.TYPE_BYTES: Scalar(LENGTH, b"", _read_bytes, _write_bytes),
}
"""The types that the schemas have. A schema with another one is refused, by name."""

PACKED = frozenset({betterproto.TYPE_INT32, betterproto.TYPE_INT64})
