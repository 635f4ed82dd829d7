# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import google_class, joined
from strategies import bits, block, floats, int64s, keys

from praxis_remote.codec import decode_predict_request, encode_predict_request
from praxis_remote.codec.fields import UNUSUAL
from praxis_remote.codec.leaves import read_leaf, write_leaf


def test_not_a_number_keeps_its_bits() -> None:
    weird = np.array([0x7FF0000000000001, 0xFFF8000000000123], np.uint64).view("f8")
    call = decode_predict_request(
        joined(encode_predict_request([{"a": weird, "b": float("nan")}], {"c": -math.inf}, None))
    )
    assert bits(call.observations[0]["a"]) == bits(weird)
    assert bits(call.observations[0]["b"]) == bits(float("nan"))
    assert call.policy_kwargs == {"c": -math.inf}


@given(st.none() | st.booleans() | int64s | floats | keys)
def test_a_leaf_is_written_and_read_as_protobuf_does(value: Any) -> None:
    written = write_leaf(value)
    message = google_class("Value").FromString(written)
    assert message.SerializeToString() == written
    kinds = {bool: "bool_value", int: "int_value", float: "float_value", str: "string_value"}
    assert message.WhichOneof("kind") == kinds.get(type(value), "null_value")
    for buffer in (written, bytearray(written + b"\x01"), memoryview(written + b"\xff")):
        assert bits(read_leaf(buffer, 0, len(written))) == bits(value)
    for size in range(len(written)):
        with pytest.raises(UNUSUAL):
            read_leaf(written[:size], 0, size)
    with pytest.raises(UNUSUAL):
        read_leaf(written + b"\x48\x01", 0, len(written) + 2)


@pytest.mark.parametrize(
    "content",
    [b"\x08\x01", b"\x10\x02", b"\x10\x80\x01", block(6, b""), block(7, b""), b"\x48\x01"],
)
def test_what_is_no_leaf_in_the_usual_form_is_unusual(content: bytes) -> None:
    with pytest.raises(UNUSUAL):
        read_leaf(content, 0, len(content))
