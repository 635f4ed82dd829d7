# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The schema's messages to and from bytes, as strictly as protobuf does it.

betterproto's own parser takes corrupt bytes for good ones, reads some legal ones
differently from protobuf, and needs minutes for a megabyte made to hurt; its
writer loses empty messages and wraps integers. So its dataclasses are read and
written here. Every rule of the format stands in this file, and what a field is
comes from the classes' own metadata: the ``.proto`` stays the only source.

Nothing here knows numpy, or what a message is for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

import betterproto
import numpy as np
from betterproto import PLACEHOLDER

from .errors import DecodeError, InvalidValueError, RemoteError, UnsupportedTypeError
from .values import MAX_DEPTH

__all__ = [
    "Buffer",
    "Malformed",
    "as_buffer",
    "field_tag",
    "read_message",
    "read_packed",
    "read_varint",
    "signed",
    "write_message",
    "write_varint",
]

Buffer = bytes | bytearray | memoryview
M = TypeVar("M", bound=betterproto.Message)

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT, _MAX_TAG = 10, 5
_MASK64 = 2**64 - 1
_DOUBLE = struct.Struct("<d")
_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))


# ---------------------------------------------------------------- primitives


class Malformed(Exception):  # noqa: N818  # never gets out of the package
    """Bytes that break the format; the boundary turns it into a `DecodeError`."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what, offset)
        self.what = what
        self.offset = offset


def as_buffer(data: Buffer) -> Buffer:
    """Returns ``data`` as something whose items and slices are bytes.

    Raises:
        UnsupportedTypeError: It is not bytes, bytearray or memoryview.
    """
    if isinstance(data, (bytes, bytearray)):
        return data
    if not isinstance(data, memoryview):
        raise UnsupportedTypeError(
            f"a message is bytes, bytearray or memoryview, not {type(data).__name__}"
        )
    if data.format == "B" and data.ndim == 1 and data.c_contiguous:
        return data
    return data.tobytes()


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
            return number & _MASK64, place + 1
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


def _read_size(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """Returns where the length-delimited field at ``position`` starts and stops.

    Raises:
        Malformed: It stops after ``end``.
    """
    size, start = read_varint(buffer, position, end, _MAX_TAG)
    if size > end - start:
        raise Malformed(f"a length of {size} where {end - start} bytes are left", position)
    return start, start + size


def _read_text(buffer: Buffer, start: int, stop: int) -> str:
    """Returns UTF-8 as text.

    Raises:
        Malformed: It is not UTF-8.
    """
    try:
        return str(buffer[start:stop], "utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("text that is not UTF-8", start + error.start) from None


def read_packed(buffer: Buffer, start: int, stop: int) -> list[int]:
    """Returns varints that stand side by side as int64.

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
            numbers.append(signed(number))
            number = shift = 0
        elif shift == 7 * _MAX_VARINT:
            raise Malformed(f"a varint of more than {_MAX_VARINT} bytes", start)
    if shift:
        raise Malformed("a varint that is cut off", start)
    return numbers


def _read_tag(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    if position < end and buffer[position] < 0x80:
        return buffer[position], position + 1
    tag, after = read_varint(buffer, position, end, _MAX_TAG)
    if tag >> 32:
        raise Malformed(f"field number {tag >> 3}", position)
    return tag, after


def _skip(buffer: Buffer, position: int, end: int, tag: int, depth: int) -> int:
    """Returns where the unknown field ends whose ``tag`` stands before ``position``."""
    groups: list[int] = []
    while True:
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            _, position = read_varint(buffer, position, end)
        elif wire_type == LENGTH:
            _, position = _read_size(buffer, position, end)
        elif wire_type in _FIXED_SIZES:
            if _FIXED_SIZES[wire_type] > end - position:
                raise Malformed("a fixed-size number that is cut off", position)
            position += _FIXED_SIZES[wire_type]
        elif wire_type == GROUP_START:
            groups.append(number)
            _check_depth(depth + len(groups), position)
        elif wire_type != GROUP_END:
            raise Malformed(f"wire type {wire_type}", position)
        elif not groups or groups.pop() != number:
            raise Malformed(f"the end of a group {number} that is not open", position)
        if not groups:
            return position
        tag, position = _read_tag(buffer, position, end)


def _check_depth(depth: int, position: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed(f"more than {MAX_DEPTH} messages in one another", position)


# ---------------------------------------------------------------- scalars


class _RefusedError(Exception):
    """A value that has no form on the wire; `write_message` adds where it is."""

    def __init__(self, kind: type[RemoteError], text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text
        self.label = ""


def _refuse(value: object, wanted: str) -> _RefusedError:
    return _RefusedError(UnsupportedTypeError, f"{type(value).__name__} where {wanted} is needed")


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
    start, stop = _read_size(buffer, position, end)
    return _read_text(buffer, start, stop), stop


def _read_bytes(buffer: Buffer, position: int, end: int) -> tuple[bytes, int]:
    start, stop = _read_size(buffer, position, end)
    return bytes(buffer[start:stop]), stop


def _write_bool(value: object) -> bytes:
    if not isinstance(value, (bool, np.bool_, int, np.integer)):
        raise _refuse(value, "a bool")
    return _ONE_BYTE[bool(value)]


def _write_int(value: object, bits: int) -> bytes:
    if not isinstance(value, (int, np.integer, np.bool_)):
        raise _refuse(value, "an int")
    number = int(value)
    if number != signed(number, bits):
        raise _RefusedError(InvalidValueError, f"{number} is beyond int{bits}")
    return write_varint(number & _MASK64)


def _write_int64(value: object) -> bytes:
    return _write_int(value, 64)


def _write_int32(value: object) -> bytes:
    return _write_int(value, 32)


def _write_double(value: object) -> bytes:
    if not isinstance(value, (float, np.floating, int, np.integer, np.bool_)):
        raise _refuse(value, "a float")
    try:
        return _DOUBLE.pack(float(value))
    except OverflowError:
        raise _RefusedError(InvalidValueError, f"{value} is beyond a double") from None


def _write_string(value: object) -> bytes:
    if not isinstance(value, str):
        raise _refuse(value, "a str")
    try:
        content = value.encode()
    except UnicodeEncodeError as error:
        raise _RefusedError(
            InvalidValueError, f"{value!r} holds a lone surrogate at {error.start}"
        ) from None
    return write_varint(len(content)) + content


def _write_bytes(value: object) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _refuse(value, "bytes")
    # A view of wider items counts these in len(); its bytes are what is sent.
    content = value if isinstance(value, bytes) else memoryview(value).tobytes()
    return write_varint(len(content)) + content


class _Scalar(NamedTuple):
    """How one type of field is read and written."""

    wire_type: int
    default: object
    read: Callable[[Buffer, int, int], tuple[Any, int]]
    write: Callable[[object], bytes]


_SCALARS: dict[str, _Scalar] = {
    betterproto.TYPE_BOOL: _Scalar(VARINT, False, _read_bool, _write_bool),
    betterproto.TYPE_INT64: _Scalar(VARINT, 0, _read_int64, _write_int64),
    betterproto.TYPE_ENUM: _Scalar(VARINT, 0, _read_int32, _write_int32),
    betterproto.TYPE_DOUBLE: _Scalar(FIXED64, 0.0, _read_double, _write_double),
    betterproto.TYPE_STRING: _Scalar(LENGTH, "", _read_string, _write_string),
    betterproto.TYPE_BYTES: _Scalar(LENGTH, b"", _read_bytes, _write_bytes),
}
"""The types that the schema has. A schema with another one is refused, by name."""

_PACKED = frozenset({betterproto.TYPE_INT64})


# ---------------------------------------------------------------- tables


class _Field(NamedTuple):
    """What the metadata says of one field."""

    name: str
    number: int
    group: str | None
    cls: type[Any]
    scalar: _Scalar | None
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


_Rule = Callable[["_Reader", _Field, int], int]


@dataclass
class _Table:
    """What the metadata says of one message, laid out for reading and writing."""

    cls: type[betterproto.Message]
    fields: list[_Field]
    groups: dict[str, None]
    rules: dict[int, tuple[_Rule, _Field]] = field(default_factory=dict)
    blank: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in self.fields:
            self.blank[item.name] = item.default()
            tag = item.number << 3
            if item.scalar is None:
                self.rules[tag | LENGTH] = (_Reader.open, item)
            elif item.repeated:
                self.rules[tag | item.scalar.wire_type] = (_Reader.append, item)
                if item.packed:
                    self.rules[tag | LENGTH] = (_Reader.extend, item)
            else:
                self.rules[tag | item.scalar.wire_type] = (_Reader.assign, item)
        self.blank.update(_serialized_on_wire=True, _unknown_fields=b"", _group_current={})
        self.containers = [item for item in self.fields if item.repeated or item.mapped]

    def new(self) -> tuple[betterproto.Message, dict[str, Any]]:
        """Returns a message as betterproto would have made it, and its attributes.

        Its ``__init__`` takes 20 µs, and each default it looks up changes the
        process's warning filters for a moment. Absent fields hold their defaults
        from the start, so that no reader of the message causes such a look-up
        (but for absent messages, which must stay absent).
        """
        attributes = self.blank.copy()
        for item in self.containers:
            attributes[item.name] = {} if item.mapped else []
        if self.groups:
            attributes["_group_current"] = self.groups.copy()
        message = self.cls.__new__(self.cls)
        object.__setattr__(message, "__dict__", attributes)
        return message, attributes


_TABLES: dict[type[betterproto.Message], _Table] = {}


def _table(cls: type[betterproto.Message]) -> _Table:
    table = _TABLES.get(cls)
    if table is None:
        # Two threads may both derive it; what they get is the same.
        table = _TABLES[cls] = _derive(cls)
    return table


def _metadata(cls: type[betterproto.Message]) -> betterproto.ProtoClassMetadata:
    return cls._betterproto  # type: ignore[arg-type]  # its descriptor is typed for no class at all


def _derive(cls: type[betterproto.Message]) -> _Table:
    meta = _metadata(cls)
    names = [meta.field_name_by_number[number] for number in sorted(meta.field_name_by_number)]
    fields = [_derive_field(cls, name) for name in names]
    return _Table(cls, fields, dict.fromkeys(meta.oneof_field_by_group))


def _derive_field(cls: type[betterproto.Message], name: str) -> _Field:
    what = _metadata(cls).meta_by_field_name[name]
    scalar = _SCALARS.get(what.proto_type)
    mapped = what.proto_type == betterproto.TYPE_MAP
    known = scalar or mapped or what.proto_type == betterproto.TYPE_MESSAGE
    if not known or what.wraps or what.optional:
        raise UnsupportedTypeError(f"{cls.__name__}.{name}: {what.proto_type} cannot be read yet")
    field_cls = _metadata(cls).cls_by_field[name]
    repeated = _metadata(cls).default_gen[name] is list
    packed = repeated and what.proto_type in _PACKED
    if scalar is not None and issubclass(field_cls, betterproto.Enum):
        scalar = _enum_scalar(field_cls, scalar)
    wire_type = LENGTH if scalar is None or packed else scalar.wire_type
    return _Field(
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


def _enum_scalar(cls: type[betterproto.Enum], number: _Scalar) -> _Scalar:
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
        item = next(item for item in _table(cls).fields if item.name == name)
        cls, tag = item.cls, read_varint(item.tag, 0, len(item.tag))[0]
    return tag


# ---------------------------------------------------------------- reading


def read_message(cls: type[M], data: Buffer) -> M:
    """Returns the message that ``data`` holds, with protobuf's verdict and meaning.

    Takes time and memory in proportion to ``data``, and the same stack at any depth.

    Raises:
        DecodeError: protobuf would not parse it either.
    """
    message, attributes = _table(cls).new()
    reader = _Reader(as_buffer(data), _table(cls), attributes)
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
    field: _Field | None


class _Reader:
    """Reads one buffer, with the messages that are open on a stack of its own."""

    def __init__(self, buffer: Buffer, table: _Table, attributes: dict[str, Any]) -> None:
        self._buffer = buffer
        self._top = _Frame(table, attributes, len(buffer), None)
        self._below: list[_Frame] = []
        self._field: _Field | None = None
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

    def _read_field(self, position: int) -> int:
        tag, after = _read_tag(self._buffer, position, self._top.end)
        rule = self._top.table.rules.get(tag)
        if rule is None:
            # protobuf looks for this only where it looks for a field: not in a
            # group it skips, and not in a message that has none.
            if tag < 8 and self._top.table.fields:
                raise Malformed("field number 0", position)
            stop = _skip(self._buffer, after, self._top.end, tag, len(self._below))
            self._keep_unknown(self._buffer[position:stop])
            return stop
        read, self._field = rule
        return read(self, self._field, after)

    def assign(self, item: _Field, position: int) -> int:
        assert item.scalar is not None
        value, position = item.scalar.read(self._buffer, position, self._top.end)
        if item.group is not None:
            self._select(item, item.group)
        self._top.attributes[item.name] = value
        return position

    def append(self, item: _Field, position: int) -> int:
        assert item.scalar is not None
        value, position = item.scalar.read(self._buffer, position, self._top.end)
        self._top.attributes[item.name].append(value)
        return position

    def extend(self, item: _Field, position: int) -> int:
        start, stop = _read_size(self._buffer, position, self._top.end)
        self._top.attributes[item.name].extend(read_packed(self._buffer, start, stop))
        return stop

    def open(self, item: _Field, position: int) -> int:
        start, stop = _read_size(self._buffer, position, self._top.end)
        _check_depth(len(self._below) + 1, position)
        table = _table(item.cls)
        attributes = self._attributes_for(item, table)
        if start < stop or item.mapped:
            self._below.append(self._top)
            self._top = _Frame(table, attributes, stop, item)
        return start

    def _attributes_for(self, item: _Field, table: _Table) -> dict[str, Any]:
        """Returns the attributes of the message that a field's bytes go into."""
        parent = self._top.attributes
        if item.mapped:
            return table.new()[1]
        if item.group is not None:
            self._select(item, item.group)
        there = parent[item.name]
        if there is not PLACEHOLDER and not item.repeated:
            return _attributes(there)  # the same message again: the two are merged
        message, attributes = table.new()
        if item.repeated:
            there.append(message)
        else:
            parent[item.name] = message
        return attributes

    def _select(self, item: _Field, group: str) -> None:
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
            content = _write(closed.table, entry)
            self._keep_unknown(closed.field.tag + write_varint(len(content)) + content)
            return
        if entry["value"] is PLACEHOLDER:
            entry["value"] = _table(closed.table.fields[-1].cls).new()[0]
        self._top.attributes[closed.field.name][entry["key"]] = entry["value"]

    def _keep_unknown(self, content: Buffer) -> None:
        attributes = self._top.attributes
        if not attributes["_unknown_fields"]:
            # Grows in place; adding to bytes would copy them for every field.
            attributes["_unknown_fields"] = bytearray()
            self._with_unknown.append(attributes)
        attributes["_unknown_fields"] += content


# ---------------------------------------------------------------- writing


def write_message(message: betterproto.Message) -> bytes:
    """Returns a message as bytes: fields by number, maps in their order.

    A field that holds a message is written even when that message is empty, but
    for one that was only ever made by looking at it.

    Raises:
        UnsupportedTypeError: A field holds a value of another type than its own.
        InvalidValueError: An integer is too large, a text has no UTF-8, or messages
            are nested deeper than protobuf parses.
    """
    return _write(_table(type(message)), _attributes(message))


def _attributes(message: betterproto.Message) -> dict[str, Any]:
    # Its own __getattribute__ looks for oneofs and defaults at each access.
    attributes: dict[str, Any] = object.__getattribute__(message, "__dict__")
    return attributes


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


def _write(table: _Table, attributes: dict[str, Any]) -> bytes:
    parts: list[bytes] = []
    size = 0
    stack = [_Open(_Nested(b"", table.cls.__name__, _pieces(table, attributes)), 0, 0)]
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
    except _RefusedError as error:
        path = ".".join([*(frame.nested.label for frame in stack), error.label]).rstrip(".")
        raise error.kind(f"{path}: {error.text}") from None


def _check_nesting(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _RefusedError(
            InvalidValueError, f"more than {MAX_DEPTH} messages in one another cannot be parsed"
        )


def _pieces(table: _Table, attributes: dict[str, Any]) -> Iterator[bytes | _Nested]:
    for item in table.fields:
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
            if attributes["_serialized_on_wire"] or _attributes(value)["_serialized_on_wire"]:
                yield _nest(item, item.name, value)
        else:
            yield from _scalar_pieces(item, value)
    yield bytes(attributes["_unknown_fields"])


def _scalar_pieces(item: _Field, value: object) -> Iterator[bytes]:
    content = _content(item, item.name, value)
    if item.group is not None or content != item.zero:
        yield item.tag + content


def _repeated_pieces(item: _Field, values: Iterable[object]) -> Iterator[bytes | _Nested]:
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


def _numbered(item: _Field, values: object) -> Iterator[tuple[int, object]]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise _labelled(_refuse(values, "a list"), item.name)
    return enumerate(values)


def _map_pieces(item: _Field, entries: object) -> Iterator[_Nested]:
    if not isinstance(entries, dict):
        raise _labelled(_refuse(entries, "a dict"), item.name)
    for key, value in entries.items():
        label = f"{item.name}[{key!r}]"
        yield _Nested(item.tag, label, _entry_pieces(_table(item.cls), key, value))


def _entry_pieces(table: _Table, key: object, value: object) -> Iterator[bytes | _Nested]:
    # Both are always written, an empty key and an empty value too.
    key_field, value_field = table.fields
    yield key_field.tag + _content(key_field, key_field.name, key)
    yield _nest(value_field, value_field.name, value)


def _content(item: _Field, label: str, value: object) -> bytes:
    assert item.scalar is not None
    try:
        return item.scalar.write(value)
    except _RefusedError as error:
        raise _labelled(error, label) from None


def _nest(item: _Field, label: str, value: object) -> _Nested:
    if not isinstance(value, item.cls):
        raise _labelled(_refuse(value, f"a {item.cls.__name__}"), label)
    return _Nested(item.tag, label, _pieces(_table(type(value)), _attributes(value)))


def _labelled(error: _RefusedError, label: str) -> _RefusedError:
    error.label = label
    return error
