# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Fields that the schema does not have: where they end.

Nothing here knows a message's own fields, or keeps what it passes over.
"""

from __future__ import annotations

from ..values import MAX_DEPTH
from .buffers import Buffer, Malformed
from .varints import (
    FIXED32,
    FIXED64,
    GROUP_END,
    GROUP_START,
    LENGTH,
    VARINT,
    read_size,
    read_tag,
    read_varint,
)

_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


def skip(buffer: Buffer, position: int, end: int, tag: int, depth: int) -> int:
    """Returns where the unknown field ends whose ``tag`` stands before ``position``.

    Args:
        buffer: What is read.
        position: Where the field's content starts.
        end: Where the message around it ends.
        tag: The field's number and wire type.
        depth: How deep that message lies.

    Raises:
        Malformed: It has no end in the message, or groups are nested too deep.
    """
    groups: list[int] = []
    while True:
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            _, position = read_varint(buffer, position, end)
        elif wire_type == LENGTH:
            _, position = read_size(buffer, position, end)
        elif wire_type in _FIXED_SIZES:
            if _FIXED_SIZES[wire_type] > end - position:
                raise Malformed("a fixed-size number that is cut off", position)
            position += _FIXED_SIZES[wire_type]
        elif wire_type == GROUP_START:
            groups.append(number)
            check_depth(depth + len(groups), position)
        elif wire_type != GROUP_END:
            raise Malformed(f"wire type {wire_type}", position)
        elif not groups or groups.pop() != number:
            raise Malformed(f"the end of a group {number} that is not open", position)
        if not groups:
            return position
        tag, position = read_tag(buffer, position, end)


def check_depth(depth: int, position: int) -> None:
    """Raises unless a message or group may lie ``depth`` below the outermost message.

    Raises:
        Malformed: protobuf would not parse it.
    """
    if depth > MAX_DEPTH:
        raise Malformed(f"more than {MAX_DEPTH} messages in one another", position)
