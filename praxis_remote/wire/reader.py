# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Bytes to messages, with protobuf's verdict and meaning.

Nothing here knows how a single value is read, or where an unknown field ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import betterproto
from betterproto import PLACEHOLDER

from ..errors import DecodeError, InvalidValueError
from .buffers import Buffer, Malformed, as_buffer
from .fields import Field, fields_of
from .messages import Blank, attributes_of
from .unknown import check_depth, skip
from .varints import LENGTH, read_packed, read_size, read_tag, write_varint
from .writer import write_fields

M = TypeVar("M", bound=betterproto.Message)

# What an unknown group holds is passed over: so many bytes of it count as an item.
_GROUP, _BYTES_PER_ITEM = 3, 16


def too_many_items(allowed: int) -> InvalidValueError:
    """Returns the error for a message of more items than allowed."""
    return InvalidValueError(
        f"a message of more than {allowed} items (observations, keys, values, list items); "
        "send numbers as arrays, or raise the server's limit `items`"
    )


def read_message(cls: type[M], data: Buffer, max_items: int | None = None) -> M:
    """Returns the message that ``data`` holds, with protobuf's verdict and meaning.

    Takes time and memory in proportion to ``data``, and the same stack at any depth.

    Args:
        cls: The message's class.
        data: Its bytes.
        max_items: Fields and list items at any depth; None for any number. In memory each
            may take hundreds of times the two bytes that it takes here.

    Raises:
        DecodeError: protobuf would not parse it either.
        InvalidValueError: There are more items than allowed.
    """
    table = _table(cls)
    message, attributes = table.blank.new()
    reader = _Reader(as_buffer(data), table, attributes, max_items)
    try:
        reader.run()
    except Malformed as error:
        raise DecodeError(
            f"{cls.__name__}: {error.what} at byte {error.offset} of {len(data)}, "
            f"in {reader.place()}"
        ) from None
    return cast(M, message)


class _Frame(NamedTuple):
    """A message that is being read."""

    table: _Table
    attributes: dict[str, Any]
    end: int
    field: Field | None


class _Reader:
    """Reads one buffer, with the messages that are open on a stack of its own."""

    def __init__(
        self, buffer: Buffer, table: _Table, attributes: dict[str, Any], max_items: int | None
    ) -> None:
        self._buffer = buffer
        self._max_items = sys.maxsize if max_items is None else max_items
        self._items = 0
        self._top = _Frame(table, attributes, len(buffer), None)
        self._below: list[_Frame] = []
        self._field: Field | None = None
        self._with_unknown: list[dict[str, Any]] = []

    def run(self) -> None:
        position = 0
        while True:
            self._field = None
            if position < self._top.end:
                position = self._read_field(position)
            elif self._below:
                self._close()
            else:
                break
        for attributes in self._with_unknown:
            attributes["_unknown_fields"] = bytes(attributes["_unknown_fields"])

    def place(self) -> str:
        """Returns the message and field where the reader is."""
        name = self._top.table.cls.__name__
        return name if self._field is None else f"{name}.{self._field.name}"

    def _count(self, items: int) -> None:
        self._items += items
        if self._items > self._max_items:
            raise too_many_items(self._max_items)

    def _read_field(self, position: int) -> int:
        self._count(1)
        tag, after = read_tag(self._buffer, position, self._top.end)
        rule = self._top.table.rules.get(tag)
        if rule is None:
            # protobuf looks for this only where it looks for a field: not in a
            # group it skips, and not in a message that has none.
            if tag < 8 and self._top.table.fields:
                raise Malformed("field number 0", position)
            stop = skip(self._buffer, after, self._top.end, tag, len(self._below))
            if tag & 7 == _GROUP:
                self._count((stop - position) // _BYTES_PER_ITEM)
            self._keep_unknown(self._buffer[position:stop])
            return stop
        read, self._field = rule
        return read(self, self._field, after)

    def assign(self, item: Field, position: int) -> int:
        assert item.scalar is not None
        value, position = item.scalar.read(self._buffer, position, self._top.end)
        if item.group is not None:
            self._select(item, item.group)
        self._top.attributes[item.name] = value
        return position

    def append(self, item: Field, position: int) -> int:
        assert item.scalar is not None
        value, position = item.scalar.read(self._buffer, position, self._top.end)
        self._top.attributes[item.name].append(value)
        return position

    def extend(self, item: Field, position: int) -> int:
        start, stop = read_size(self._buffer, position, self._top.end)
        values = self._top.attributes[item.name]
        before = len(values)
        bits = 64 if item.scalar is None else item.scalar.bits
        values.extend(read_packed(self._buffer, start, stop, bits))
        self._count(len(values) - before)
        return stop

    def open(self, item: Field, position: int) -> int:
        start, stop = read_size(self._buffer, position, self._top.end)
        check_depth(len(self._below) + 1, position)
        table = _table(item.cls)
        attributes = self._attributes_for(item, table)
        if start < stop or item.mapped:
            self._below.append(self._top)
            self._top = _Frame(table, attributes, stop, item)
        return start

    def _attributes_for(self, item: Field, table: _Table) -> dict[str, Any]:
        """Returns the attributes of the message that a field's bytes go into."""
        parent = self._top.attributes
        if item.mapped:
            return table.blank.new()[1]
        if item.group is not None:
            self._select(item, item.group)
        there = parent[item.name]
        if there is not PLACEHOLDER and not item.repeated:
            return attributes_of(there)  # the same message again: the two are merged
        message, attributes = table.blank.new()
        if item.repeated:
            there.append(message)
        else:
            parent[item.name] = message
        return attributes

    def _select(self, item: Field, group: str) -> None:
        """Makes a field the one of its oneof that is set."""
        attributes = self._top.attributes
        current = attributes["_group_current"][group]
        if current != item.name:
            if current is not None:
                attributes[current] = PLACEHOLDER
            attributes["_group_current"][group] = item.name

    def _close(self) -> None:
        closed = self._top
        self._top = self._below.pop()
        if closed.field is None or not closed.field.mapped:
            return
        entry = closed.attributes
        if entry["_unknown_fields"]:
            # protobuf does not lose what a map has no place for: such an entry
            # as a whole becomes an unknown field.
            content = write_fields(closed.table.cls, entry)
            self._keep_unknown(closed.field.tag + write_varint(len(content)) + content)
            return
        if entry["value"] is PLACEHOLDER:
            entry["value"] = _table(closed.table.fields[-1].cls).blank.new()[0]
        self._top.attributes[closed.field.name][entry["key"]] = entry["value"]

    def _keep_unknown(self, content: Buffer) -> None:
        attributes = self._top.attributes
        if not attributes["_unknown_fields"]:
            # Grows in place; adding to bytes would copy them for every field.
            attributes["_unknown_fields"] = bytearray()
            self._with_unknown.append(attributes)
        attributes["_unknown_fields"] += content


_Rule = Callable[[_Reader, Field, int], int]


@dataclass
class _Table:
    """What reading a message takes: its fields, and what to do at each tag."""

    cls: type[betterproto.Message]
    fields: list[Field]
    rules: dict[int, tuple[_Rule, Field]]
    blank: Blank


_TABLES: dict[type[betterproto.Message], _Table] = {}


def _table(cls: type[betterproto.Message]) -> _Table:
    table = _TABLES.get(cls)
    if table is None:
        # Two threads may both lay it out; what they get is the same.
        fields = fields_of(cls)
        rules = {tag: (rule, item) for item in fields for tag, rule in _rules(item)}
        table = _TABLES[cls] = _Table(cls, fields, rules, Blank(cls, fields))
    return table


def _rules(item: Field) -> Iterator[tuple[int, _Rule]]:
    """Yields the tags that a field may have, and what to do at each."""
    tag = item.number << 3
    if item.scalar is None:
        yield tag | LENGTH, _Reader.open
    elif item.repeated:
        yield tag | item.scalar.wire_type, _Reader.append
        if item.packed:
            yield tag | LENGTH, _Reader.extend
    else:
        yield tag | item.scalar.wire_type, _Reader.assign
