# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The data path: what callers and handlers exchange, straight to and from buffers.

`serialization` and `wire` together say what the bytes are and mean; this module
gives the same bytes and the same meaning without an object per field. It takes
buffers and returns buffers, and never waits.

Encoding applies the rules of `values` and `tensors` itself. Decoding reads the one
form that every protobuf writer gives (fields by number, each once, no unknown
ones). Whatever looks different, be it legal or not, is left to the typed path,
which knows the rest of the format and has the errors.

Field numbers come from the schema's classes, as in `wire`.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import betterproto
import numpy as np

from .schema import (
    NamedTensor,
    PredictRequest,
    PredictResponse,
    StringField,
    Tensor,
    Value,
    ValueField,
    ValueList,
    ValueStruct,
)
from .schema import Observation as ObservationMessage
from .serialization import decode_numpy_array, decode_request
from .tensors import DTYPES, as_wire_array, view_array
from .types import Array, Observation, ObservationValue, PolicyKwargValue
from .values import (
    KWARGS_DEPTH,
    LIST_STEP,
    MAX_DEPTH,
    STRUCT_STEP,
    Plain,
    as_number,
    as_plain,
    check_batch,
    check_depth,
    check_episode_ids,
    check_text,
    is_list,
    unique_items,
)
from .wire import (
    Buffer,
    Malformed,
    as_buffer,
    field_tag,
    read_message,
    read_packed,
    read_varint,
    signed,
    write_varint,
)

__all__ = [
    "LARGE_BYTES",
    "QUICK_BYTES",
    "QUICK_ITEMS",
    "PredictCall",
    "Segments",
    "decode_predict_request",
    "decode_predict_request_quickly",
    "decode_predict_response",
    "encode_predict_request",
    "encode_predict_response",
    "segments_size",
]

LARGE_BYTES = 64 * 1024
"""From this size on, an array's memory goes out as it is and arrives as a view.

Below it a copy costs less than a segment of its own, and a decoded array that
somebody keeps would hold the whole message in memory.
"""

QUICK_BYTES = 4 * 1024
QUICK_ITEMS = 2_000
"""What an event loop may decode itself, a few milliseconds at most."""

Segments: TypeAlias = list[bytes | memoryview]
"""A message in pieces: joined they are its bytes."""


class PredictCall(NamedTuple):
    """Everything that one call of a policy's ``predict_action`` takes."""

    observations: list[Observation]
    policy_kwargs: dict[str, PolicyKwargValue]
    episode_ids: tuple[str, ...] | None


def _tag(cls: type[betterproto.Message], *path: str) -> int:
    tag = field_tag(cls, *path)
    if tag >= 0x80:
        raise NotImplementedError(f"{path[-1]}: this module takes tags of one byte only")
    return tag


_OBSERVATIONS = _tag(PredictRequest, "observations")
_POLICY_KWARGS = _tag(PredictRequest, "policy_kwargs")
_EPISODE_IDS = _tag(PredictRequest, "episode_ids")
_ACTION = _tag(PredictResponse, "action")
_TENSORS = _tag(ObservationMessage, "tensors")
_STRINGS = _tag(ObservationMessage, "strings")
_SCALARS = _tag(ObservationMessage, "scalars")
_TENSOR_KEY = _tag(NamedTensor, "key")
_TENSOR = _tag(NamedTensor, "tensor")
_DATA = _tag(Tensor, "data")
_SHAPE = _tag(Tensor, "shape")
_DTYPE = _tag(Tensor, "dtype")
_STRING_KEY = _tag(StringField, "key")
_STRING = _tag(StringField, "value")
_SCALAR_KEY = _tag(ValueField, "key")
_SCALAR = _tag(ValueField, "value")
_NULL = _tag(Value, "null_value")
_BOOL = _tag(Value, "bool_value")
_INT = _tag(Value, "int_value")
_FLOAT = _tag(Value, "float_value")
_TEXT = _tag(Value, "string_value")
_LIST = _tag(Value, "list_value")
_STRUCT = _tag(Value, "struct_value")
_VALUES = _tag(ValueList, "values")
_FIELDS = _tag(ValueStruct, "fields")
_ENTRY_KEY = _tag(ValueStruct, "fields", "key")
_ENTRY_VALUE = _tag(ValueStruct, "fields", "value")

_DOUBLE = struct.Struct("<d")
_MASK64 = 2**64 - 1
_MAX_SIZE_BYTES = 5


# ---------------------------------------------------------------- encoding


def segments_size(segments: Segments) -> int:
    """Returns how many bytes a message in pieces has."""
    return sum(map(len, segments))


def encode_predict_request(
    observations: Sequence[Mapping[str, ObservationValue]],
    policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
    episode_ids: Sequence[str] | None = None,
) -> Segments:
    """Returns the request for one ``predict_action`` in pieces.

    Large arrays are not copied: their memory must not change until it is sent.

    Raises:
        TypeError, ValueError: As `serialization.encode_request` does.
    """
    check_batch(observations)
    parts: Segments = []
    for index, observation in enumerate(observations):
        _add_observation(parts, observation, f"observations[{index}]")
    if policy_kwargs:
        _KwargsWriter(parts).add(policy_kwargs)
    for text in check_episode_ids(episode_ids, len(observations)) or ():
        parts.append(_field(_EPISODE_IDS, text.encode()))
    return _join_small(parts)


def encode_predict_response(action: object) -> Segments:
    """Returns the response that carries an action, in pieces.

    A large array is not copied: its memory must not change until it is sent.

    Raises:
        TypeError: ``action`` is no array of a supported dtype.
    """
    parts: Segments = []
    _add_tensor(parts, *as_wire_array(action, "action"))
    parts.insert(0, _head(_ACTION, segments_size(parts)))
    return _join_small(parts)


def _add_observation(
    parts: Segments, observation: Mapping[str, ObservationValue], name: str
) -> None:
    # The schema has three lists, so that what comes first in the mapping may
    # come last in the message.
    tensors: Segments = [b""]
    strings: list[bytes] = []
    scalars: list[bytes] = []
    for key, value in unique_items(observation, name):
        if isinstance(value, str):
            text = check_text(value, f"{name}[{key!r}]").encode()
            strings.append(_named(_STRINGS, _STRING_KEY, key, _STRING, text))
        elif type(value) is not np.ndarray and (
            (number := as_number(value, f"{name}[{key!r}]")) is not None
        ):
            scalars.append(_named(_SCALARS, _SCALAR_KEY, key, _SCALAR, _plain(number)))
        else:
            _add_named_tensor(tensors, key, value, name)
    tensors += strings
    tensors += scalars
    tensors[0] = _head(_OBSERVATIONS, segments_size(tensors))
    parts += tensors


def _add_named_tensor(parts: Segments, key: str, value: object, name: str) -> None:
    array, number = as_wire_array(value, f"{name}[{key!r}]")
    place = len(parts)
    parts.append(b"")
    size = _add_tensor(parts, array, number)
    head = _optional(_TENSOR_KEY, key.encode()) + _head(_TENSOR, size)
    parts[place] = _head(_TENSORS, len(head) + size) + head


def _add_tensor(parts: Segments, array: Array, number: int) -> int:
    """Adds the fields of a tensor message and returns their size."""
    tail = _tensor_tail(array.shape, number)
    size = array.nbytes
    if not size:
        parts.append(tail)
        return len(tail)
    head = _head(_DATA, size)
    data = _memory(array) if size >= LARGE_BYTES else array.tobytes()
    parts += (head, data, tail)
    return len(head) + size + len(tail)


def _memory(array: Array) -> memoryview:
    # A view of items that are no bytes would count these in len().
    return array.reshape(-1).view(np.uint8).data


@functools.lru_cache(maxsize=256)
def _tensor_tail(shape: tuple[int, ...], number: int) -> bytes:
    """Returns what follows a tensor's data. The same few come again and again."""
    return _optional(_SHAPE, b"".join(map(write_varint, shape))) + _head(_DTYPE, number)


def _head(tag: int, number: int) -> bytes:
    """Returns a tag and the size, or the number, that follows it."""
    if number < 0x80:
        return bytes((tag, number))
    return b"%c%b" % (tag, write_varint(number))


def _field(tag: int, content: bytes) -> bytes:
    return _head(tag, len(content)) + content


def _optional(tag: int, content: bytes) -> bytes:
    return _head(tag, len(content)) + content if content else b""


def _named(tag: int, key_tag: int, key: str, value_tag: int, content: bytes) -> bytes:
    """Returns an item of one of an observation's lists of small things."""
    # An empty text is left out; a Value never is empty.
    return _field(tag, _optional(key_tag, key.encode()) + _optional(value_tag, content))


def _plain(value: Plain) -> bytes:
    """Returns the content of a Value that holds no other."""
    if value is None:
        return _head(_NULL, 0)
    if isinstance(value, bool):
        return _head(_BOOL, value)
    if isinstance(value, int):
        return _head(_INT, value & _MASK64)
    if isinstance(value, float):
        return b"%c%b" % (_FLOAT, _DOUBLE.pack(value))
    return _field(_TEXT, value.encode())


def _join_small(parts: Segments) -> Segments:
    if memoryview not in map(type, parts):
        return [b"".join(parts)]
    segments: Segments = []
    small: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            small.append(part)
        else:
            segments += (b"".join(small), part)
            small = []
    return [*segments, b"".join(small)]


class _Container(NamedTuple):
    """A mapping or list of policy_kwargs that is being written."""

    items: Iterator[tuple[str | int, Any]]
    name: str
    tag: int
    mapped: bool
    depth: int


class _KwargsWriter:
    """Adds policy_kwargs to the parts, with what is open on a stack of its own."""

    def __init__(self, parts: Segments) -> None:
        self._parts = parts
        self._size = 0
        self._slots: list[tuple[int, int]] = []
        self._stack: list[_Container] = []

    def add(self, policy_kwargs: Mapping[str, Any]) -> None:
        name = "policy_kwargs"
        items = unique_items(policy_kwargs, name)
        self._stack = [_Container(items, name, _POLICY_KWARGS, True, KWARGS_DEPTH)]
        while self._stack:
            item = next(self._stack[-1].items, None)
            if item is not None:
                self._add_item(*item)
                continue
            self._stack.pop()
            if self._stack:
                self._end_item(self._stack[-1])

    def _add_item(self, key: str | int, value: Any) -> None:
        parent = self._stack[-1]
        name = f"{parent.name}[{key!r}]"
        check_depth(parent.depth, name)
        if isinstance(value, Mapping):
            check_depth(parent.depth + 1, name)
            self._begin_item(parent, key)
            items: Iterator[tuple[str | int, Any]] = unique_items(value, name)
            self._begin(_STRUCT)
            self._stack.append(_Container(items, name, _FIELDS, True, parent.depth + STRUCT_STEP))
        elif is_list(value):
            check_depth(parent.depth + 1, name)
            self._begin_item(parent, key)
            self._begin(_LIST)
            items = enumerate(value)
            self._stack.append(_Container(items, name, _VALUES, False, parent.depth + LIST_STEP))
        else:
            self._add_leaf(parent, key, _plain(as_plain(value, name)))

    def _add_leaf(self, parent: _Container, key: str | int, content: bytes) -> None:
        if parent.mapped:
            # Entries have both fields always, an empty key too.
            named = _field(_ENTRY_KEY, str(key).encode()) + _field(_ENTRY_VALUE, content)
            self._put(_field(parent.tag, named))
        else:
            self._put(_field(parent.tag, content))

    def _begin_item(self, parent: _Container, key: str | int) -> None:
        self._begin(parent.tag)
        if parent.mapped:
            self._put(_field(_ENTRY_KEY, str(key).encode()))
            self._begin(_ENTRY_VALUE)

    def _end_item(self, parent: _Container) -> None:
        for _ in range(3 if parent.mapped else 2):
            self._end()

    def _begin(self, tag: int) -> None:
        """Begins a message whose size is put into its slot at its end."""
        self._put(bytes((tag,)))
        self._slots.append((len(self._parts), self._size))
        self._parts.append(b"")

    def _end(self) -> None:
        slot, start = self._slots.pop()
        self._parts[slot] = size = write_varint(self._size - start)
        self._size += len(size)

    def _put(self, content: bytes) -> None:
        self._parts.append(content)
        self._size += len(content)


# ---------------------------------------------------------------- decoding


class _UnusualError(ValueError):
    """A message that the direct path leaves to the typed one."""


class _CostlyError(Exception):
    """A request of more items than may be read at once."""


# All that reading a message in the usual form may raise for one that is not.
_UNUSUAL = (IndexError, ValueError, struct.error, Malformed)


def decode_predict_request(buffer: Buffer) -> PredictCall:
    """Returns what a request's bytes mean.

    Arrays are writable, aligned and independent of one another. Those of at least
    `LARGE_BYTES` are views of ``buffer`` where it is writable and their place in it
    is aligned; ``buffer`` must not be used for anything else afterwards.

    Raises:
        DecodeError: The bytes are no request.
        ValueError: As `serialization.decode_request` does.
    """
    buffer = as_buffer(buffer)
    try:
        return _read_request(buffer, len(buffer))
    except _UNUSUAL:
        pass
    return PredictCall(*decode_request(read_message(PredictRequest, buffer)))


def decode_predict_request_quickly(buffer: Buffer) -> PredictCall | None:
    """Returns what `decode_predict_request` does, or None if it might take long.

    For event loops: it takes a few milliseconds at most, whatever the bytes are.

    Raises:
        DecodeError, ValueError: As `decode_predict_request` does.
    """
    if len(buffer) <= QUICK_BYTES:
        return decode_predict_request(buffer)
    try:
        return _read_request(as_buffer(buffer), QUICK_ITEMS)
    except (*_UNUSUAL, _CostlyError):
        return None


def decode_predict_response(buffer: Buffer) -> Array:
    """Returns the action that a response's bytes carry.

    It is writable and aligned, and a view of ``buffer`` as for
    `decode_predict_request`.

    Raises:
        DecodeError: The bytes are no response.
        ValueError: dtype, shape and data do not fit together.
    """
    buffer = as_buffer(buffer)
    try:
        return _read_response(buffer)
    except _UNUSUAL:
        pass
    return decode_numpy_array(read_message(PredictResponse, buffer).action, "action")


def _expect(condition: bool) -> None:
    if not condition:
        raise _UnusualError


def _read_size(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """Returns where the length-delimited content at ``position`` starts and stops.

    `wire` has the same with errors; this one is called for every field.
    """
    size = buffer[position]
    position += 1
    if size >= 0x80:
        size, position = read_varint(buffer, position - 1, end, _MAX_SIZE_BYTES)
    stop = position + size
    if stop > end:
        raise _UnusualError
    return position, stop


def _read_response(buffer: Buffer) -> Array:
    _expect(buffer[0] == _ACTION)
    start, stop = _read_size(buffer, 1, len(buffer))
    _expect(stop == len(buffer))
    return _read_tensor(buffer, start, stop)


def _read_request(buffer: Buffer, items: int) -> PredictCall:
    """Reads a request of at most so many observations, keys and values together."""
    observations: list[Observation] = []
    policy_kwargs: dict[str, PolicyKwargValue] = {}
    episode_ids: list[str] = []
    position, end = 0, len(buffer)
    while position < end:
        tag = buffer[position]
        start, stop = _read_size(buffer, position + 1, end)
        if tag == _OBSERVATIONS:
            observation = _read_observation(buffer, start, stop, items)
            observations.append(observation)
            items -= len(observation)
        elif tag == _POLICY_KWARGS:
            items = _read_kwargs(buffer, position, stop, policy_kwargs, items)
        elif tag == _EPISODE_IDS:
            episode_ids.append(str(buffer[start:stop], "utf-8"))
        else:
            raise _UnusualError
        items -= 1
        if items < 0:
            raise _CostlyError
        position = stop
    _expect(bool(observations) and len(episode_ids) in (0, len(observations)))
    return PredictCall(observations, policy_kwargs, tuple(episode_ids) or None)


def _read_observation(buffer: Buffer, position: int, end: int, items: int) -> Observation:
    observation: Observation = {}
    before = 0
    value: ObservationValue
    while position < end:
        tag = buffer[position]
        start, stop = _read_size(buffer, position + 1, end)
        if tag == _TENSORS:
            key, start = _read_text(buffer, start, stop, _TENSOR_KEY)
            value = _read_tensor(buffer, _enter(buffer, start, stop, _TENSOR), stop)
        elif tag == _STRINGS:
            key, start = _read_text(buffer, start, stop, _STRING_KEY)
            value, start = _read_text(buffer, start, stop, _STRING)
            _expect(start == stop)
        elif tag == _SCALARS:
            key, start = _read_text(buffer, start, stop, _SCALAR_KEY)
            value = _read_number(buffer, _enter(buffer, start, stop, _SCALAR), stop)
        else:
            raise _UnusualError
        # The typed path goes list by list, and so do the keys of the result.
        if key in observation or tag < before:
            raise _UnusualError
        observation[key] = value
        if len(observation) > items:
            raise _CostlyError
        position, before = stop, tag
    return observation


def _read_text(buffer: Buffer, position: int, end: int, tag: int) -> tuple[str, int]:
    """Returns a text that may be left out, and what follows it."""
    if position < end and buffer[position] == tag:
        start, stop = _read_size(buffer, position + 1, end)
        return str(buffer[start:stop], "utf-8"), stop
    return "", position


def _enter(buffer: Buffer, position: int, end: int, tag: int) -> int:
    """Returns where the content of a message starts that goes on until ``end``."""
    if position >= end or buffer[position] != tag:
        raise _UnusualError
    start, stop = _read_size(buffer, position + 1, end)
    if stop != end:
        raise _UnusualError
    return start


def _read_tensor(buffer: Buffer, position: int, end: int) -> Array:
    start = stop = position
    if position < end and buffer[position] == _DATA:
        start, stop = _read_size(buffer, position + 1, end)
        position = stop
    shape: Sequence[int] = ()
    if position < end and buffer[position] == _SHAPE:
        first, position = _read_size(buffer, position + 1, end)
        shape = tuple(read_packed(buffer, first, position))
    if position + 2 != end or buffer[position] != _DTYPE:
        raise _UnusualError
    return _make_array(buffer, start, stop, shape, buffer[position + 1])


def _make_array(buffer: Buffer, start: int, stop: int, shape: Sequence[int], number: int) -> Array:
    dtype = DTYPES.get(number)
    size = stop - start
    if dtype is None or dtype.kind == "b" or not size:
        view = view_array(memoryview(buffer)[start:stop], shape, number, "tensor")
    elif math.prod(shape) * dtype.itemsize != size or min(shape, default=1) < 0:
        raise _UnusualError
    else:
        view = np.ndarray(shape, dtype, buffer, start)
    if size >= LARGE_BYTES and view.flags.writeable and view.flags.aligned:
        return view
    # Small, or in a place where numpy would be slow or may not write.
    copy: Array = view.copy()
    return copy


def _read_number(buffer: Buffer, position: int, end: int) -> bool | int | float:
    value = _read_plain(buffer, position, end)
    if value is None or isinstance(value, str):
        raise _UnusualError
    return value


def _read_plain(buffer: Buffer, position: int, end: int) -> Plain:
    """Returns what a Value holds that holds no other."""
    _expect(position < end)
    tag = buffer[position]
    value: Plain
    if tag == _FLOAT:
        value, stop = _DOUBLE.unpack_from(buffer, position + 1)[0], position + 1 + _DOUBLE.size
    elif tag == _INT:
        number, stop = read_varint(buffer, position + 1, end)
        value = signed(number)
    elif tag == _BOOL:
        value, stop = (False, True)[buffer[position + 1]], position + 2
    elif tag == _TEXT:
        value, stop = _read_text(buffer, position, end, _TEXT)
    elif tag == _NULL:
        value, stop = (None,)[buffer[position + 1]], position + 2
    else:
        raise _UnusualError
    _expect(stop == end)
    return value


class _Filling(NamedTuple):
    """A mapping or list of policy_kwargs that is being read."""

    container: dict[str, Any] | list[Any]
    tag: int
    end: int
    depth: int


def _read_kwargs(
    buffer: Buffer, position: int, end: int, policy_kwargs: dict[str, Any], items: int
) -> int:
    """Reads entries into policy_kwargs, with what is open on a stack of its own.

    Returns how many more items may be read.
    """
    top = _Filling(policy_kwargs, _POLICY_KWARGS, end, KWARGS_DEPTH)
    stack = [top]
    while stack:
        top = stack[-1]
        if position == top.end:
            stack.pop()
            continue
        _expect(buffer[position] == top.tag and top.depth <= MAX_DEPTH)
        start, stop = _read_size(buffer, position + 1, top.end)
        key = ""
        if isinstance(top.container, dict):
            key, start = _read_text(buffer, start, stop, _ENTRY_KEY)
            start = _enter(buffer, start, stop, _ENTRY_VALUE)
        inner = _begin_container(buffer, start, stop, top)
        value: Any
        if inner is None:
            value, position = _read_plain(buffer, start, stop), stop
        else:
            value, position = inner.container, _enter(buffer, start, stop, buffer[start])
            stack.append(inner)
        if isinstance(top.container, dict):
            top.container[key] = value
        else:
            top.container.append(value)
        items -= 1
        if items < 0:
            raise _CostlyError
    return items


def _begin_container(buffer: Buffer, start: int, stop: int, parent: _Filling) -> _Filling | None:
    _expect(start < stop)
    tag = buffer[start]
    if tag not in (_LIST, _STRUCT):
        return None
    _expect(parent.depth + 1 <= MAX_DEPTH)
    # What lies in a list is the step of a list deeper than the list's own Value.
    if tag == _LIST:
        return _Filling([], _VALUES, stop, parent.depth + LIST_STEP)
    return _Filling({}, _FIELDS, stop, parent.depth + STRUCT_STEP)
