# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from oracle import encoded, expected, got, joined, typed_bytes
from strategies import DTYPES, LAYOUTS, Request, bits, block, lay_out

from praxis_remote.codec import (
    LARGE_BYTES,
    decode_predict_request,
    decode_predict_response,
    decoder,
    encode_predict_request,
    encode_predict_response,
)
from praxis_remote.codec.fields import UNUSUAL
from praxis_remote.codec.tensors import read_tensor


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_large_arrays_survive(dtype: str, layout: str) -> None:
    raw = np.random.default_rng(1).integers(0, 2, (300, 300, 8), np.uint8)
    array = lay_out(raw.view(dtype), layout)
    segments = encode_predict_request([{"a": array, "b": array}])
    assert len(segments) == 5
    assert all(isinstance(part, bytes) or part.format == "B" for part in segments)
    data = joined(segments)
    assert len(data) == sum(map(len, segments))
    assert data == typed_bytes(Request([{"a": array, "b": array}], None, None))
    call = decoder._read_request(data, len(data))
    assert got(call) == expected(Request([{"a": array, "b": array}], None, None))


@pytest.mark.parametrize("dtype", ["f4", "u1", "?"])
def test_large_arrays_in_wire_form_are_sent_without_a_copy(dtype: str) -> None:
    array = np.zeros((4, LARGE_BYTES), dtype)
    array.flags.writeable = False
    for segments in (encode_predict_request([{"a": array}]), encode_predict_response(array)):
        (large,) = (part for part in segments if isinstance(part, memoryview))
        assert np.shares_memory(np.frombuffer(large, np.uint8), array)
        assert len(large) == large.nbytes == array.nbytes


def placed(array: np.ndarray[Any, Any], offset: int) -> bytearray:
    """Returns a request with an array's data ``offset`` bytes after alignment."""
    for padding in range(16):
        data = joined(encode_predict_request([{"a" * (padding + 1): array}]))
        data_at = data.index(array.tobytes())
        if (np.frombuffer(data, np.uint8).ctypes.data + data_at) % 8 == offset:
            return data
    raise AssertionError("no key puts it there")


def base_of(array: Any) -> object:
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def test_large_aligned_tensors_are_views_of_the_message() -> None:
    array = np.arange(LARGE_BYTES // 8, dtype="f8")
    data = placed(array, 0)
    (found,) = decode_predict_request(data).observations[0].values()
    assert isinstance(found, np.ndarray)
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))
    assert found.flags.writeable
    assert found.flags.aligned
    found[0] = 7
    assert np.frombuffer(data, "u1").tobytes().count(np.float64(7).tobytes()) == 2


@pytest.mark.parametrize("offset", range(1, 8))
def test_unaligned_tensors_are_copied(offset: int) -> None:
    array = np.arange(LARGE_BYTES // 8, dtype="f8")
    data = placed(array, offset)
    (found,) = decode_predict_request(data).observations[0].values()
    assert isinstance(found, np.ndarray)
    assert not np.shares_memory(found, np.frombuffer(data, np.uint8))
    assert found.flags.writeable
    assert found.flags.aligned
    assert bits(found) == bits(array)


@pytest.mark.parametrize("make", [bytes, lambda data: memoryview(bytes(data))])
def test_tensors_of_a_read_only_buffer_are_copied(make: Callable[[bytearray], Any]) -> None:
    array = np.zeros(LARGE_BYTES, "u1")
    found = decode_predict_response(make(joined(encode_predict_response(array))))
    assert found.flags.writeable
    assert found.flags.owndata


def test_small_tensors_do_not_hold_the_message() -> None:
    small = {"a": np.zeros(LARGE_BYTES - 1, "u1"), "b": np.zeros((0, 5)), "c": np.array(True)}
    data = encoded(Request([small], None, None))
    call = decode_predict_request(data)
    assert all(base_of(item) is not data for item in call.observations[0].values())
    data.clear()  # which a view would forbid
    assert got(call) == expected(Request([small], None, None))


def test_decoded_arrays_are_independent() -> None:
    arrays = [np.zeros(LARGE_BYTES, "u1") for _ in range(3)] + [np.zeros(3, "u1")] * 2
    batch = [{str(index): array for index, array in enumerate(arrays)}] * 2
    call = decode_predict_request(joined(encode_predict_request(batch)))
    found: Any = [value for item in call.observations for value in item.values()]
    for one, other in pairwise(found):
        assert not np.shares_memory(one, other)
    for number, array in enumerate(found):
        array[:] = number
    assert [set(array.tolist()) for array in found] == [{number} for number in range(10)]


def test_tensors_of_a_merged_message_are_independent() -> None:
    action = bytes(joined(encode_predict_response(np.arange(LARGE_BYTES, dtype="u1"))))
    data = bytearray(action + b"\x0a\x00" + action[:0])
    found = decode_predict_response(data)
    assert found.flags.writeable
    assert not np.shares_memory(found, np.frombuffer(data, np.uint8))
    assert bits(found) == bits(np.arange(LARGE_BYTES, dtype="u1"))


@pytest.mark.parametrize(
    "tensor",
    [
        b"",
        b"\x18\x85\x00",
        b"\x18\x05" + block(1, b"a"),
        block(2, b"\x01") + block(1, b"a") + b"\x18\x05",
        block(1, b"ab") + block(2, b"\x03") + b"\x18\x05",
        block(1, b"ab") + block(2, b"\xff" * 9 + b"\x01") + b"\x18\x05",
        block(1, b"\x02") + block(2, b"\x01") + b"\x18\x06",
        block(1, b"ab") + block(2, b"\x02") + b"\x18\x07",
    ],
)
def test_what_is_no_tensor_in_the_usual_form_is_left_to_the_typed_path(tensor: bytes) -> None:
    with pytest.raises(UNUSUAL):
        read_tensor(tensor, 0, len(tensor))
