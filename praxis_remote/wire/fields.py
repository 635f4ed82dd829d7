# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The fields of each message, as the metadata of betterproto's classes has them.

Nothing here reads or writes a message; what a single value is stands in `scalars`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import betterproto
from betterproto import PLACEHOLDER

from ..errors import UnsupportedTypeError
from .buffers import Buffer
from .scalars import PACKED, SCALARS, Scalar
from .varints import LENGTH, read_varint, write_varint


class Field(NamedTuple):
    """What the metadata says of one field."""

    name: str
    number: int
    group: str | None
    cls: type[Any]
    scalar: Scalar | None
    packed: bool
    repeated: bool
    mapped: bool
    tag: bytes
    zero: bytes

    def default(self) -> object:
        """Returns what an absent field holds; lists and maps are made anew."""
        if self.repeated or self.mapped or self.scalar is None or self.group is not None:
            return PLACEHOLDER
        return self.scalar.default


_FIELDS: dict[type[betterproto.Message], list[Field]] = {}


def fields_of(cls: type[betterproto.Message]) -> list[Field]:
    """Returns what a message consists of, by number.

    Raises:
        UnsupportedTypeError: A field is of a type that the schema does not have.
    """
    fields = _FIELDS.get(cls)
    if fields is None:
        # Two threads may both derive it; what they get is the same.
        names = _metadata(cls).field_name_by_number
        fields = _FIELDS[cls] = [_derive(cls, names[number]) for number in sorted(names)]
    return fields


def _metadata(cls: type[betterproto.Message]) -> betterproto.ProtoClassMetadata:
    return cls._betterproto  # type: ignore[arg-type]  # its descriptor is typed for no class at all


def _derive(cls: type[betterproto.Message], name: str) -> Field:
    what = _metadata(cls).meta_by_field_name[name]
    scalar = SCALARS.get(what.proto_type)
    mapped = what.proto_type == betterproto.TYPE_MAP
    known = scalar or mapped or what.proto_type == betterproto.TYPE_MESSAGE
    if not known or what.wraps or what.optional:
        raise UnsupportedTypeError(f"{cls.__name__}.{name}: {what.proto_type} cannot be read yet")
    field_cls = _metadata(cls).cls_by_field[name]
    repeated = _metadata(cls).default_gen[name] is list
    packed = repeated and what.proto_type in PACKED
    if scalar is not None and issubclass(field_cls, betterproto.Enum):
        scalar = _enum_scalar(field_cls, scalar)
    wire_type = LENGTH if scalar is None or packed else scalar.wire_type
    return Field(
        name=name,
        number=what.number,
        group=what.group,
        cls=field_cls,
        scalar=scalar,
        packed=packed,
        repeated=repeated,
        mapped=mapped,
        tag=write_varint(what.number << 3 | wire_type),
        zero=b"" if scalar is None else scalar.write(scalar.default),
    )


def _enum_scalar(cls: type[betterproto.Enum], number: Scalar) -> Scalar:
    def read(buffer: Buffer, position: int, end: int) -> tuple[betterproto.Enum, int]:
        value, position = number.read(buffer, position, end)
        return cls.try_value(value), position

    return number._replace(default=cls.try_value(0), read=read)


def field_tag(cls: type[betterproto.Message], *path: str) -> int:
    """Returns the tag that `write_message` puts before a field.

    Args:
        cls: The message that the path starts in.
        path: Names of fields, each in the message that the one before it holds.
            An entry of a map has the fields ``key`` and ``value``.
    """
    tag = 0
    for name in path:
        item = next(item for item in fields_of(cls) if item.name == name)
        cls, tag = item.cls, read_varint(item.tag, 0, len(item.tag))[0]
    return tag
