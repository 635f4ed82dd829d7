# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Messages to bytes.

Nothing here reads bytes, or knows how a single value is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import betterproto
from betterproto import PLACEHOLDER

from ..errors import InvalidValueError
from ..values import MAX_DEPTH
from .fields import Field, fields_of
from .messages import attributes_of
from .scalars import RefusedError, refuse
from .varints import write_varint


def write_message(message: betterproto.Message) -> bytes:
    """Returns a message as bytes: fields by number, maps in their order.

    A field that holds a message is written even when that message is empty, but
    for one that was only ever made by looking at it.

    Raises:
        UnsupportedTypeError: A field holds a value of another type than its own.
        InvalidValueError: An integer is too large, a text has no UTF-8, or messages
            are nested deeper than protobuf parses.
    """
    return write_fields(type(message), attributes_of(message))


class _Nested(NamedTuple):
    """A message to write below the one that is being written."""

    tag: bytes
    label: str
    pieces: Iterator[bytes | _Nested]


@dataclass
class _Open:
    """A message that is being written: its size goes into ``slot`` at its end."""

    nested: _Nested
    slot: int
    start: int


def write_fields(cls: type[betterproto.Message], attributes: dict[str, Any]) -> bytes:
    """Returns a message as bytes, from its attributes; raises as `write_message` does."""
    parts: list[bytes] = []
    size = 0
    stack = [_Open(_Nested(b"", cls.__name__, _pieces(fields_of(cls), attributes)), 0, 0)]
    try:
        while True:
            piece = next(stack[-1].nested.pieces, None)
            if isinstance(piece, bytes):
                parts.append(piece)
                size += len(piece)
            elif piece is not None:
                parts += (piece.tag, b"")
                size += len(piece.tag)
                stack.append(_Open(piece, len(parts) - 1, size))
                _check_nesting(len(stack) - 1)
            else:
                done = stack.pop()
                if not stack:
                    return b"".join(parts)
                parts[done.slot] = write_varint(size - done.start)
                size += len(parts[done.slot])
    except RefusedError as error:
        path = ".".join([*(frame.nested.label for frame in stack), error.label]).rstrip(".")
        raise error.kind(f"{path}: {error.text}") from None


def _check_nesting(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RefusedError(
            InvalidValueError, f"more than {MAX_DEPTH} messages in one another cannot be parsed"
        )


def _pieces(fields: list[Field], attributes: dict[str, Any]) -> Iterator[bytes | _Nested]:
    for item in fields:
        value = attributes[item.name]
        if value is PLACEHOLDER:
            continue
        if item.group is not None and attributes["_group_current"][item.group] != item.name:
            continue
        if item.mapped:
            yield from _map_pieces(item, value)
        elif item.repeated:
            yield from _repeated_pieces(item, value)
        elif item.scalar is None:
            if attributes["_serialized_on_wire"] or attributes_of(value)["_serialized_on_wire"]:
                yield _nest(item, item.name, value)
        else:
            yield from _scalar_pieces(item, value)
    yield bytes(attributes["_unknown_fields"])


def _scalar_pieces(item: Field, value: object) -> Iterator[bytes]:
    content = _content(item, item.name, value)
    if item.group is not None or content != item.zero:
        yield item.tag + content


def _repeated_pieces(item: Field, values: Iterable[object]) -> Iterator[bytes | _Nested]:
    labelled = ((f"{item.name}[{index}]", value) for index, value in _numbered(item, values))
    if item.scalar is None:
        for label, value in labelled:
            yield _nest(item, label, value)
    elif item.packed:
        content = b"".join(_content(item, label, value) for label, value in labelled)
        if content:
            yield item.tag + write_varint(len(content)) + content
    else:
        for label, value in labelled:
            yield item.tag + _content(item, label, value)


def _numbered(item: Field, values: object) -> Iterator[tuple[int, object]]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise _labelled(refuse(values, "a list"), item.name)
    return enumerate(values)


def _map_pieces(item: Field, entries: object) -> Iterator[_Nested]:
    if not isinstance(entries, dict):
        raise _labelled(refuse(entries, "a dict"), item.name)
    for key, value in entries.items():
        label = f"{item.name}[{key!r}]"
        yield _Nested(item.tag, label, _entry_pieces(fields_of(item.cls), key, value))


def _entry_pieces(fields: list[Field], key: object, value: object) -> Iterator[bytes | _Nested]:
    # Both are always written, an empty key and an empty value too.
    key_field, value_field = fields
    yield key_field.tag + _content(key_field, key_field.name, key)
    yield _nest(value_field, value_field.name, value)


def _content(item: Field, label: str, value: object) -> bytes:
    assert item.scalar is not None
    try:
        return item.scalar.write(value)
    except RefusedError as error:
        raise _labelled(error, label) from None


def _nest(item: Field, label: str, value: object) -> _Nested:
    if not isinstance(value, item.cls):
        raise _labelled(refuse(value, f"a {item.cls.__name__}"), label)
    return _Nested(item.tag, label, _pieces(fields_of(type(value)), attributes_of(value)))


def _labelled(error: RefusedError, label: str) -> RefusedError:
    error.label = label
    return error
