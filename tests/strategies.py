# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What may be sent, as Hypothesis strategies, and bytes that may arrive.

`WireMaker` makes messages field by field, legal ones, odd ones and broken ones,
from a seeded generator: thousands in a second, the same in every run.
"""

from __future__ import annotations

import random
import struct
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st

DTYPES = ("<f4", "<f8", "<i4", "<i8", "u1", "?", ">f4", ">f8", ">i4", ">i8")
LAYOUTS = ("plain", "reversed", "strided", "transposed", "fortran", "read-only")

keys = st.text(max_size=6) | st.sampled_from(["", "observation.state", "Zürich", "机器人", "\0"])
int64s = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1, -1, 0, 2**31])
floats = st.floats() | st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.0, 5e-324])
numpy_scalars = st.one_of(
    floats.map(np.float64),
    st.floats(width=32).map(np.float32),
    st.floats(width=16).map(np.float16),
    int64s.map(np.int64),
    st.integers(0, 255).map(np.uint8),
    st.booleans().map(np.bool_),
)
numbers = st.one_of(st.booleans(), int64s, floats, numpy_scalars)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple) | st.sampled_from(
    [(), (0,), (7,), (1, 300), (2**40, 0, 3), (1,) * 32, (0,) * 32]
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Arrays of every dtype, shape and layout, with any bits that the dtype has."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(shapes)
    size = int(np.prod(shape, dtype=object))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    raw = generator.integers(0, 2 if dtype.kind == "b" else 256, size * dtype.itemsize, np.uint8)
    return lay_out(raw.view(dtype).reshape(shape), draw(st.sampled_from(LAYOUTS)))


def lay_out(array: np.ndarray[Any, Any], layout: str) -> np.ndarray[Any, Any]:
    """Returns an array with the same kind of content in another layout."""
    if layout == "reversed" and array.ndim:
        flipped: np.ndarray[Any, Any] = np.flip(array)
        return flipped
    if layout == "strided" and array.size and array.ndim:
        wide: np.ndarray[Any, Any] = np.repeat(array, 2, axis=0)
        return wide[::2]
    if layout == "transposed":
        transposed: np.ndarray[Any, Any] = array.T
        return transposed
    if layout == "fortran":
        fortran: np.ndarray[Any, Any] = np.array(array, order="F")
        return fortran
    if layout == "read-only":
        array.flags.writeable = False
    return array


observations = st.dictionaries(keys, arrays() | keys | numbers, max_size=5)
batches = st.lists(observations, min_size=1, max_size=3)
leaves = st.one_of(st.none(), keys, numbers)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)
policy_kwargs = st.none() | st.dictionaries(keys, values, max_size=4)


class Request(NamedTuple):
    """What one call of ``predict_action`` is given."""

    observations: list[dict[str, Any]]
    policy_kwargs: dict[str, Any] | None
    episode_ids: list[str] | None


RICH = Request(
    [
        {"state": np.arange(200, dtype="f4"), "task": "pick", "open": True, "n": -5, "x": 0.5},
        {"": np.zeros((0, 3), "?"), "é": "", "0-d": np.array(3, "i8")},
    ],
    {"a": [1, [None, {"": []}], "b"], "c": {"d": {"e": 1.5}}, "": None},
    ["one", ""],
)
"""A request with something of everything."""


@st.composite
def requests(draw: st.DrawFn) -> Request:
    batch = draw(batches)
    ids = draw(st.none() | st.lists(keys, min_size=len(batch), max_size=len(batch)))
    return Request(batch, draw(policy_kwargs), ids)


def bits(value: Any) -> Any:
    """Returns a value in a form in which == means the same type and the same bits."""
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder("<")
        return "array", dtype.str, value.shape, value.astype(dtype).tobytes()
    if isinstance(value, (bool, np.bool_)):
        return "bool", bool(value)
    if isinstance(value, (int, np.integer)):
        return "int", int(value)
    if isinstance(value, (float, np.floating)):
        return "float", struct.pack("<d", value)
    if isinstance(value, dict):
        return "dict", {key: bits(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return "list", [bits(item) for item in value]
    return type(value).__name__, value


# ---------------------------------------------------------------- bytes


def varint(number: int, padding: int = 0) -> bytes:
    """Returns a varint with ``padding`` bytes that it does not need."""
    written = []
    while number >= 0x80 or padding:
        written.append(number & 0x7F | 0x80)
        padding -= number < 0x80
        number >>= 7
    return bytes([*written, number])


def block(number: int, content: bytes) -> bytes:
    """Returns a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


LEAF = b"\x10\x01"  # the content of Value(bool_value=True)


def nested_lists(count: int) -> bytes:
    """Returns a Value of so many lists in one another."""
    value = LEAF
    for _ in range(count):
        value = block(6, block(1, value))
    return value


def nested_structs(count: int) -> bytes:
    """Returns a Value of so many mappings in one another."""
    value = LEAF
    for _ in range(count):
        value = block(7, block(1, block(1, b"k") + block(2, value)))
    return value


def groups(count: int) -> bytes:
    """Returns so many groups in one another, which the schema does not have."""
    return varint(9 << 3 | 3) * count + varint(9 << 3 | 4) * count


class WireMaker:
    """Makes bytes that are more or less a message of the given kind.

    Args:
        seed: Decides everything.
        odd: How often a field is unknown, of the wrong wire type, or padded.
    """

    def __init__(self, seed: int, odd: float = 0.15) -> None:
        self._random = random.Random(seed)
        self._odd = odd

    def message(self, kind: Descriptor, depth: int = 0) -> bytes:
        count = self._random.choice((0, 1, 1, 2, 3, 4)) if depth < 8 else 0
        return b"".join(self._field(kind, depth) for _ in range(count))

    def mutate(self, data: bytes) -> bytes:
        """Returns ``data`` with one thing changed, anywhere."""
        pick = self._random
        place = pick.randrange(len(data) + 1)
        other = pick.randrange(len(data) + 1)
        low, high = min(place, other), max(place, other)
        flipped = bytes([data[place] ^ 1 << pick.randrange(8)]) if place < len(data) else b""
        return pick.choice(
            (
                data[:place],
                data[:place] + flipped + data[place + 1 :],
                data[:place] + bytes([pick.randrange(256)]) + data[place:],
                data[:place] + data[place + 1 :],
                data[:high] + data[low:high] + data[high:],
                data[:low] + data[high:],
                data[:place] + self._unknown(pick.randrange(1, 20), 0) + data[place:],
            )
        )

    def _field(self, kind: Descriptor, depth: int) -> bytes:
        if not kind.fields or self._random.random() < self._odd:
            return self._unknown(self._random.choice((1, 2, 3, 4, 9, 15, 16, 2**29 - 1)), 0)
        item = self._random.choice(kind.fields)
        if item.message_type is not None:
            return self._block(item.number, self.message(item.message_type, depth + 1))
        if item.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            return self._block(item.number, self._text())
        if item.type == FieldDescriptor.TYPE_DOUBLE:
            return self._tag(item.number, 1) + self._random.randbytes(8)
        if item.is_repeated and self._random.random() < 0.6:
            count = self._random.randrange(5)
            return self._block(item.number, b"".join(self._number() for _ in range(count)))
        return self._tag(item.number, 0) + self._number()

    def _unknown(self, number: int, depth: int) -> bytes:
        wire_type = self._random.choice((0, 1, 2, 3, 3, 5))
        tag = self._tag(number, wire_type)
        if wire_type == 0:
            return tag + self._number()
        if wire_type == 2:
            return tag + varint(3) + b"abc"
        if wire_type == 3:
            inner = b"" if depth > 3 else self._unknown(number + 1, depth + 1)
            return tag + inner + self._tag(number, 4)
        return tag + self._random.randbytes(8 if wire_type == 1 else 4)

    def _tag(self, number: int, wire_type: int) -> bytes:
        return self._padded(number << 3 | wire_type, 5)

    def _block(self, number: int, content: bytes) -> bytes:
        return self._tag(number, 2) + self._padded(len(content), 5) + content

    def _number(self) -> bytes:
        top = self._random.choice((2, 7, 2**7, 2**31, 2**32, 2**35, 2**63, 2**64))
        return self._padded(self._random.choice((top - 1, self._random.randrange(top))), 10)

    def _padded(self, number: int, limit: int) -> bytes:
        room = limit + 1 - len(varint(number))  # one too many at most
        odd = self._random.random() < self._odd / 8
        return varint(number, self._random.randrange(room + 1) if odd else 0)

    def _text(self) -> bytes:
        good = (b"", b"a", b"key", "é机".encode(), b"\0")
        bad = (b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe6\x9c")
        return self._random.choice(bad if self._random.random() < self._odd / 8 else good)
