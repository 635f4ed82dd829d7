# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import struct
from typing import Any

import betterproto
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import bits, floats, int64s, keys

from praxis_remote.errors import InvalidValueError, UnsupportedTypeError
from praxis_remote.schema import Value
from praxis_remote.wire import read_message, write_message
from praxis_remote.wire.buffers import Malformed
from praxis_remote.wire.scalars import PACKED, SCALARS, RefusedError


def test_every_bit_of_a_float_survives() -> None:
    for number in (0x7FF0000000000001, 0xFFF8000000000123, 0x8000000000000000, 1):
        data = b"\x21" + struct.pack("<Q", number)
        assert write_message(read_message(Value, data)) == data
    assert math.isnan(read_message(Value, b"\x21" + b"\xff" * 8).float_value)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    betterproto.TYPE_BOOL: st.booleans(),
    betterproto.TYPE_INT64: int64s,
    betterproto.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    betterproto.TYPE_ENUM: st.integers(-(2**31), 2**31 - 1),
    betterproto.TYPE_DOUBLE: floats,
    betterproto.TYPE_STRING: keys,
    betterproto.TYPE_BYTES: st.binary(),
}


def test_every_type_of_the_table_is_tested() -> None:
    assert VALUES.keys() == SCALARS.keys()
    assert SCALARS.keys() >= PACKED


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_what_is_written_is_read_whole_and_no_further(kind: str, data: st.DataObject) -> None:
    scalar, value = SCALARS[kind], data.draw(VALUES[kind])
    written = scalar.write(value)
    for buffer in (written, bytearray(written + b"\xff"), memoryview(written + b"\x01")):
        found, stop = scalar.read(buffer, 0, len(buffer))
        assert bits(found) == bits(value)
        assert stop == len(written)
    for size in range(len(written)):
        with pytest.raises(Malformed):
            scalar.read(written, 0, size)


@pytest.mark.parametrize("kind", VALUES)
def test_the_default_is_what_an_absent_field_holds(kind: str) -> None:
    scalar = SCALARS[kind]
    assert scalar.read(scalar.write(scalar.default), 0, 8)[0] == scalar.default


@pytest.mark.parametrize(
    ("kind", "value", "error", "text"),
    [
        (betterproto.TYPE_BOOL, "yes", UnsupportedTypeError, "str where a bool is needed"),
        (betterproto.TYPE_INT64, 1.0, UnsupportedTypeError, "float where an int is needed"),
        (betterproto.TYPE_INT64, 2**63, InvalidValueError, f"{2**63} is beyond int64"),
        (betterproto.TYPE_INT32, 2**31, InvalidValueError, f"{2**31} is beyond int32"),
        (betterproto.TYPE_ENUM, 2**31, InvalidValueError, f"{2**31} is beyond int32"),
        (betterproto.TYPE_DOUBLE, "1", UnsupportedTypeError, "str where a float is needed"),
        (betterproto.TYPE_DOUBLE, 10**400, InvalidValueError, f"{10**400} is beyond a double"),
        (betterproto.TYPE_STRING, b"a", UnsupportedTypeError, "bytes where a str is needed"),
        (
            betterproto.TYPE_STRING,
            "\ud800",
            InvalidValueError,
            "'\\ud800' holds a lone surrogate at 0",
        ),
        (betterproto.TYPE_BYTES, "a", UnsupportedTypeError, "str where bytes is needed"),
    ],
)
def test_what_has_no_form_is_refused(
    kind: str, value: object, error: type[Exception], text: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        SCALARS[kind].write(value)
    assert (caught.value.kind, caught.value.text) == (error, text)


def test_numpy_scalars_are_written_like_pythons() -> None:
    assert SCALARS[betterproto.TYPE_BOOL].write(np.bool_(True)) == b"\x01"
    assert SCALARS[betterproto.TYPE_INT64].write(np.uint8(200)) == b"\xc8\x01"
    assert SCALARS[betterproto.TYPE_DOUBLE].write(np.float32(1)) == struct.pack("<d", 1)
    assert SCALARS[betterproto.TYPE_BYTES].write(np.array([1], "<u2").data) == b"\x02\x01\0"


def test_text_that_is_not_utf8_is_refused_where_it_breaks() -> None:
    with pytest.raises(Malformed, match="not UTF-8") as caught:
        SCALARS[betterproto.TYPE_STRING].read(b"\x03ab\xff", 0, 4)
    assert caught.value.offset == 3
