# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A message as a tree of fields that need not fit together, and changes to it.

Reads what it can and keeps the rest as bytes; writes anything. Shares no code with
the package.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from google.protobuf.descriptor import Descriptor
from oracle import describe
from strategies import nested_lists, nested_structs, varint

from fuzz.mutation import mutate, shuffle_some

_VARINT, _FIXED64, _BLOCK, _START, _END, _FIXED32 = range(6)
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_NUMBERS = (0, 1, 2, 5, 6, 7, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63)
_SIZES = (-1, 1, 2**7, 2**31 - 1, 2**31, 2**32 - 1, 2**35)
_MAX_DEPTH = 60
_DEPTHS = (1, 2, 30, 31, 32, 33, 47, 48, 49, 50, 98, 99, 100, 101, 120)


@dataclass
class Field:
    """One field.

    Attributes:
        content: A number, bytes, or the fields of a message.
        kind: What the schema says the message is.
        padding: Bytes that tag and size have too many.
        excess: What the size that is written says too much.
    """

    number: int
    wire_type: int
    content: int | bytes | list[Field]
    kind: Descriptor | None = None
    padding: tuple[int, int] = (0, 0)
    excess: int = 0


def parse(data: bytes, kind: Descriptor | None, depth: int = 0) -> list[Field] | None:
    """Returns the fields of a message; None if it is none. What lies deep stays bytes."""
    fields: list[Field] = []
    position = 0
    while position < len(data):
        try:
            tag, position = _read(data, position)
            number, wire_type = tag >> 3, tag & 7
            content: int | bytes = 0
            if wire_type == _VARINT:
                content, position = _read(data, position)
            elif wire_type == _BLOCK:
                size, position = _read(data, position)
                content, position = data[position : position + size], position + size
            elif wire_type in _FIXED:
                size = _FIXED[wire_type]
                content, position = data[position : position + size], position + size
            elif wire_type not in (_START, _END):
                return None
        except IndexError:
            return None
        if position > len(data):
            return None
        fields.append(_with_kind(Field(number, wire_type, content), kind, depth + 1))
    return fields


def _read(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while data[position] >= 0x80:
        number |= (data[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
    return number | data[position] << shift, position + 1


def _with_kind(field: Field, parent: Descriptor | None, depth: int) -> Field:
    if (
        parent is None
        or depth > _MAX_DEPTH
        or not isinstance(field.content, bytes)
        or field.wire_type != _BLOCK
    ):
        return field
    item = parent.fields_by_number.get(field.number)
    if item is None or item.message_type is None:
        return field
    inner = parse(field.content, item.message_type, depth)
    return field if inner is None else replace(field, content=inner, kind=item.message_type)


def write(fields: Sequence[Field]) -> bytes:
    """Returns fields as bytes, as they say."""
    return b"".join(map(_write, fields))


def _write(field: Field) -> bytes:
    tag = varint(field.number << 3 | field.wire_type, field.padding[0])
    content = field.content
    if isinstance(content, int):
        return tag + (
            b"" if field.wire_type in (_START, _END) else varint(content, field.padding[1])
        )
    written = write(content) if isinstance(content, list) else content
    if field.wire_type != _BLOCK:
        return tag + written
    return tag + varint(max(0, len(written) + field.excess), field.padding[1]) + written


def lists_in(
    fields: list[Field], kind: Descriptor | None
) -> Iterator[tuple[list[Field], Descriptor | None]]:
    """Yields a message's fields and those of all messages in it, with what they are."""
    yield fields, kind
    for field in fields:
        if isinstance(field.content, list):
            yield from lists_in(field.content, field.kind)


class Surgeon:
    """Changes messages field by field.

    Args:
        pick: Decides everything.
        donors: Messages of other cases, to take parts from.
    """

    def __init__(self, pick: random.Random, donors: Sequence[tuple[Descriptor, bytes]]) -> None:
        self._pick = pick
        self._donors = donors
        self._changes = (
            self._shuffle,
            self._shuffle,
            self._renumber,
            self._retype,
            self._resize,
            self._number,
            self._pad,
            self._pack,
            self._divide,
            self._deepen,
            self._graft,
            self._graft,
            self._unknown,
            self._bytes,
            self._many,
        )

    def change(self, data: bytes, kind: Descriptor) -> bytes:
        """Returns a message with one thing changed, at any depth."""
        fields = parse(data, kind)
        if fields is None:
            return mutate(self._pick, data, [donor for _, donor in self._donors])
        inside, inner = self._pick.choice(list(lists_in(fields, kind)))
        self._pick.choice(self._changes)(inside, inner)
        return write(fields)

    def _any(self, fields: list[Field]) -> int:
        """Returns a place in a message that is not empty."""
        if not fields:
            fields.append(Field(self._pick.randrange(1, 9), _BLOCK, b""))
        return self._pick.randrange(len(fields))

    def _shuffle(self, fields: list[Field], kind: Descriptor | None) -> None:
        shuffle_some(self._pick, fields)

    def _renumber(self, fields: list[Field], kind: Descriptor | None) -> None:
        fields[self._any(fields)].number = self._pick.choice(
            (0, 1, 2, 3, 4, 5, 6, 7, 16, 2**29 - 1, 2**29)
        )

    def _retype(self, fields: list[Field], kind: Descriptor | None) -> None:
        fields[self._any(fields)].wire_type = self._pick.randrange(8)

    def _resize(self, fields: list[Field], kind: Descriptor | None) -> None:
        fields[self._any(fields)].excess = self._pick.choice(_SIZES)

    def _number(self, fields: list[Field], kind: Descriptor | None) -> None:
        number = (
            self._pick.choice(_NUMBERS) if self._pick.random() < 0.7 else self._pick.getrandbits(64)
        )
        place = self._any(fields)
        if isinstance(fields[place].content, int):
            fields[place].content = number
        else:
            fields.insert(place, Field(self._pick.randrange(1, 8), _VARINT, number))

    def _pad(self, fields: list[Field], kind: Descriptor | None) -> None:
        fields[self._any(fields)].padding = self._pick.randrange(6), self._pick.randrange(11)

    def _pack(self, fields: list[Field], kind: Descriptor | None) -> None:
        """Turns a number into a list of one, or a list into numbers."""
        place = self._any(fields)
        field = fields[place]
        if isinstance(field.content, int):
            fields[place] = Field(field.number, _BLOCK, varint(field.content))
        elif isinstance(field.content, bytes):
            fields[place : place + 1] = [
                Field(field.number, _VARINT, byte) for byte in field.content[:64]
            ]

    def _divide(self, fields: list[Field], kind: Descriptor | None) -> None:
        """Has a message come in two parts, which a reader must merge."""
        place = self._any(fields)
        field = fields[place]
        if isinstance(field.content, int):
            return
        cut = self._pick.randrange(len(field.content) + 1)
        first = replace(field, content=field.content[:cut])
        second = replace(field, content=field.content[cut:])
        fields[place : place + 1] = [first]
        fields.insert(self._pick.randrange(place + 1, len(fields) + 1), second)

    def _deepen(self, fields: list[Field], kind: Descriptor | None) -> None:
        depth, place = self._pick.choice(_DEPTHS), self._any(fields)
        make = self._pick.choice((nested_lists, nested_structs, None))
        if make is None:
            fields[place:place] = [Field(9, _START, 0)] * depth + [Field(9, _END, 0)] * depth
        else:
            fields.insert(
                place, Field(self._pick.choice(_value_numbers(kind)), _BLOCK, make(depth))
            )

    def _graft(self, fields: list[Field], kind: Descriptor | None) -> None:
        """Puts in fields of the same kind of message, or of another."""
        found = []
        for donor, data in self._donors:
            parsed = parse(data, donor) or []
            found += [item for item in lists_in(parsed, donor) if item[0]]
        same = [item for item in found if item[1] is kind and item[0] is not fields]
        source = self._pick.choice(same or found or [(fields, kind)])[0]
        if source:
            fields.insert(self._pick.randrange(len(fields) + 1), self._pick.choice(source))

    def _unknown(self, fields: list[Field], kind: Descriptor | None) -> None:
        unknown = [Field(9, _VARINT, 1), Field(9, _BLOCK, b"abc"), Field(9, _FIXED32, b"\0\1\2\3")]
        chosen = self._pick.choice(unknown)
        group = [Field(10, _START, 0), chosen, Field(10, _END, 0)]
        place = self._pick.randrange(len(fields) + 1)
        fields[place:place] = group if self._pick.random() < 0.5 else [chosen]

    def _bytes(self, fields: list[Field], kind: Descriptor | None) -> None:
        field = fields[self._any(fields)]
        if isinstance(field.content, int):
            field.content ^= 1 << self._pick.randrange(64)
            return
        content = write(field.content) if isinstance(field.content, list) else field.content
        field.content = mutate(self._pick, content, [donor for _, donor in self._donors])

    def _many(self, fields: list[Field], kind: Descriptor | None) -> None:
        place = self._any(fields)
        fields[place:place] = [fields[place]] * self._pick.choice((2, 3, 40))


def _value_numbers(kind: Descriptor | None) -> list[int]:
    """Returns the fields of a message that hold a Value; any, where none does."""
    fields = () if kind is None else kind.fields
    values = [
        item.number for item in fields if item.message_type and item.message_type.name == "Value"
    ]
    return values or [1, 2, 6, 7]


def kind_of(name: str) -> Descriptor:
    """Returns what the schema says of a message."""
    return describe(name)
