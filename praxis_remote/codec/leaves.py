# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Values that hold no others, both ways.

Nothing here knows where a value stands, or what else may stand there.
"""

from __future__ import annotations

import struct

from ..values import Plain
from ..wire import MASK64, Buffer, read_varint, signed
from .fields import UnusualError, expect, read_text, write_field, write_head
from .tags import BOOL, FLOAT, INT, NULL, TEXT

_DOUBLE = struct.Struct("<d")


def write_leaf(value: Plain) -> bytes:
    """Returns the content of a Value that holds no other."""
    if value is None:
        return write_head(NULL, 0)
    if isinstance(value, bool):
        return write_head(BOOL, value)
    if isinstance(value, int):
        return write_head(INT, value & MASK64)
    if isinstance(value, float):
        return b"%c%b" % (FLOAT, _DOUBLE.pack(value))
    return write_field(TEXT, value.encode())


def read_leaf(buffer: Buffer, position: int, end: int) -> Plain:
    """Returns what a Value holds that holds no other."""
    expect(position < end)
    tag = buffer[position]
    value: Plain
    if tag == FLOAT:
        value, stop = _DOUBLE.unpack_from(buffer, position + 1)[0], position + 1 + _DOUBLE.size
    elif tag == INT:
        number, stop = read_varint(buffer, position + 1, end)
        value = signed(number)
    elif tag == BOOL:
        value, stop = (False, True)[buffer[position + 1]], position + 2
    elif tag == TEXT:
        value, stop = read_text(buffer, position, end, TEXT)
    elif tag == NULL:
        value, stop = (None,)[buffer[position + 1]], position + 2
    else:
        raise UnusualError
    expect(stop == end)
    return value
