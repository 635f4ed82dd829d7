# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import sys
from collections import UserDict, deque
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import describe, from_google, get_tensor, google_class, set_tensor, to_google
from strategies import (
    DTYPES,
    LAYOUTS,
    Request,
    WireMaker,
    arrays,
    bits,
    block,
    lay_out,
    requests,
)

from praxis_remote import codec
from praxis_remote.codec import (
    LARGE_BYTES,
    PredictCall,
    Segments,
    decode_predict_request,
    decode_predict_response,
    encode_predict_request,
    encode_predict_response,
    segments_size,
)
from praxis_remote.errors import DecodeError, InvalidValueError, UnsupportedTypeError
from praxis_remote.schema import PredictRequest, PredictResponse
from praxis_remote.serialization import (
    decode_numpy_array,
    decode_request,
    encode_numpy_array,
    encode_request,
)
from praxis_remote.wire import read_message, write_message

EXHAUSTIVE = settings(max_examples=250, deadline=None, derandomize=True)

PLAIN = Request(
    [
        {"state": np.arange(200, dtype="f4"), "task": "pick", "open": True, "n": -5, "x": 0.5},
        {"": np.zeros((0, 3), "?"), "é": "", "flags": np.array([True, False])},
    ],
    {"a": [1, [None, {"": []}], "b"], "c": {"d": {"e": 1.5}}, "": None},
    ["one", ""],
)


def joined(segments: Segments) -> bytearray:
    return bytearray(b"".join(segments))


def encoded(request: Request) -> bytearray:
    return joined(encode_predict_request(*request))


def typed_bytes(request: Request) -> bytes:
    return write_message(
        encode_request(
            request.observations,
            policy_kwargs=request.policy_kwargs,
            episode_ids=request.episode_ids,
        )
    )


def typed_decode(data: bytes) -> PredictCall:
    return PredictCall(*decode_request(read_message(PredictRequest, data)))


def expected(request: Request) -> Any:
    """What the handler is to get, in the form of `bits`."""
    kwargs = bits(request.policy_kwargs or {})
    return [bits(item) for item in request.observations], kwargs, tuple(request.episode_ids or ())


def got(call: PredictCall | tuple[Any, Any, Any]) -> Any:
    return [bits(item) for item in call[0]], bits(call[1]), tuple(call[2] or ())


def outcome(decode: Callable[[Any], Any], data: Any, form: Callable[[Any], Any]) -> Any:
    """Returns what decoding gives, or which error with which text."""
    try:
        return form(decode(data))
    except ValueError as error:
        return type(error), str(error)


def check_same_as_typed(data: bytes) -> bool:
    """Holds the direct path to the typed one; tells whether the bytes were taken."""
    ours = outcome(decode_predict_request, bytearray(data), got)
    assert ours == outcome(typed_decode, data, got), data.hex()
    if isinstance(ours[0], list):
        call = decode_predict_request(bytearray(data))
        reference = typed_decode(data)
        assert [list(item) for item in call[0]] == [list(item) for item in reference[0]]
        return True
    return False


# ---------------------------------------------------------------- whole requests


@EXHAUSTIVE
@given(requests())
def test_request_bytes_are_the_typed_paths(request: Request) -> None:
    segments = encode_predict_request(*request)
    data = joined(segments)
    assert data == typed_bytes(request)
    assert segments_size(segments) == len(data)


@EXHAUSTIVE
@given(requests())
def test_protobuf_reads_from_our_bytes_what_was_sent(request: Request) -> None:
    message = google_class("PredictRequest").FromString(bytes(encoded(request)))
    assert got(from_google(message)) == expected(request)


@EXHAUSTIVE
@given(requests())
def test_both_paths_read_from_protobufs_bytes_what_was_sent(request: Request) -> None:
    data = to_google(*request).SerializeToString()
    assert got(decode_predict_request(bytearray(data))) == expected(request)
    assert got(typed_decode(data)) == expected(request)


@EXHAUSTIVE
@given(requests())
def test_what_protobuf_and_we_write_is_read_without_the_typed_path(request: Request) -> None:
    # A cliff in speed that no result would show.
    for data in (to_google(*request).SerializeToString(), encoded(request)):
        assert got(codec._read_request(data, len(data))) == expected(request)


@EXHAUSTIVE
@given(arrays())
def test_actions_survive_in_every_dtype_shape_and_layout(action: np.ndarray[Any, Any]) -> None:
    data = joined(encode_predict_response(action))
    assert data == write_message(PredictResponse(action=encode_numpy_array(action)))
    theirs = google_class("PredictResponse").FromString(bytes(data))
    assert bits(get_tensor(theirs.action)) == bits(action)
    message = google_class("PredictResponse")()
    set_tensor(message.action, action)
    for source in (data, bytearray(message.SerializeToString())):
        assert bits(codec._read_response(source)) == bits(action)
        assert bits(decode_predict_response(source)) == bits(action)


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_buffer_is_decoded_alike(data: st.DataObject) -> None:
    request = data.draw(requests())
    sent = bytes(encoded(request))
    padded = bytearray(b"ab" + sent)
    for buffer in (sent, bytearray(sent), memoryview(sent), memoryview(padded)[2:]):
        assert got(decode_predict_request(buffer)) == expected(request)


def test_a_request_may_be_made_of_any_mappings_and_sequences() -> None:
    class Task(str, Enum):
        PICK = "pick"

    class Key:
        def __str__(self) -> str:
            return "named"

    batch: Any = (UserDict({"task": Task.PICK, 5: [1.0, 2.0], Key(): np.str_("text")}),)
    kwargs: Any = UserDict({"a": (1, deque([2]), range(2)), 7: UserDict({None: np.int8(-1)})})
    call = decode_predict_request(joined(encode_predict_request(batch, kwargs, ("e",))))
    assert call.observations[0]["task"] == "pick"
    assert call.observations[0]["named"] == "text"
    assert bits(call.observations[0]["5"]) == bits(np.array([1.0, 2.0]))
    assert call.policy_kwargs == {"a": [1, [2], [0, 1]], "7": {"None": -1}}
    assert call.episode_ids == ("e",)


def test_a_request_without_kwargs_and_ids_says_so() -> None:
    assert decode_predict_request(joined(encode_predict_request([{}]))) == ([{}], {}, None)
    assert (
        decode_predict_request(joined(encode_predict_request([{}], {}, None))).episode_ids is None
    )


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_large_arrays_survive(dtype: str, layout: str) -> None:
    raw = np.random.default_rng(1).integers(0, 2, (300, 300, 8), np.uint8)
    array = lay_out(raw.view(dtype), layout)
    segments = encode_predict_request([{"a": array, "b": array}])
    assert len(segments) == 5
    assert all(isinstance(part, bytes) or part.format == "B" for part in segments)
    data = joined(segments)
    assert len(data) == segments_size(segments)
    assert data == typed_bytes(Request([{"a": array, "b": array}], None, None))
    call = codec._read_request(data, len(data))
    assert got(call) == expected(Request([{"a": array, "b": array}], None, None))


@pytest.mark.parametrize("dtype", ["f4", "u1", "?"])
def test_large_arrays_in_wire_form_are_sent_without_a_copy(dtype: str) -> None:
    array = np.zeros((4, LARGE_BYTES), dtype)
    array.flags.writeable = False
    for segments in (encode_predict_request([{"a": array}]), encode_predict_response(array)):
        (large,) = (part for part in segments if isinstance(part, memoryview))
        assert np.shares_memory(np.frombuffer(large, np.uint8), array)
        assert len(large) == large.nbytes == array.nbytes


def test_small_arrays_are_joined_into_one_segment() -> None:
    just_small, just_large = np.zeros(LARGE_BYTES - 1, "u1"), np.zeros(LARGE_BYTES, "u1")
    assert list(map(type, encode_predict_request([{"a": just_small}]))) == [bytes]
    assert list(map(type, encode_predict_response(just_small))) == [bytes]
    kinds = [bytes, memoryview, bytes]
    assert list(map(type, encode_predict_request([{"a": just_large}]))) == kinds


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


# ---------------------------------------------------------------- odd and broken bytes


@pytest.mark.parametrize("seed", range(40))
def test_random_requests_are_read_as_the_typed_path_reads_them(seed: int) -> None:
    maker = WireMaker(seed, odd=0.03)
    for _ in range(60):
        data = maker.message(describe("PredictRequest"))
        check_same_as_typed(data)
        check_same_as_typed(maker.mutate(data))
        response = maker.message(describe("PredictResponse"))
        ours = outcome(decode_predict_response, bytearray(response), bits)
        theirs = outcome(typed_response, response, bits)
        assert ours == theirs


def typed_response(data: bytes) -> np.ndarray[Any, Any]:
    return decode_numpy_array(read_message(PredictResponse, data).action, "action")


@pytest.mark.parametrize("seed", range(40))
def test_mutated_requests_are_read_as_the_typed_path_reads_them(seed: int) -> None:
    maker = WireMaker(seed)
    valid = bytes(encoded(PLAIN))
    small = bytes(encoded(Request([{"a": np.array([[1, 2]]), "b": 1}], {"c": [1, {}]}, ["e"])))
    taken = 0
    for _ in range(25):
        for data in (valid, small):
            once = maker.mutate(data)
            taken += check_same_as_typed(once)
            taken += check_same_as_typed(maker.mutate(once))
    assert taken


@EXHAUSTIVE
@given(requests(), st.integers(0, 2**32))
def test_mutations_of_any_request_are_read_as_the_typed_path_reads_them(
    request: Request, seed: int
) -> None:
    check_same_as_typed(WireMaker(seed).mutate(bytes(encoded(request))))


def test_every_prefix_is_read_as_the_typed_path_reads_it() -> None:
    data = bytes(encoded(PLAIN))
    taken = [size for size in range(len(data) + 1) if check_same_as_typed(data[:size])]
    assert taken[-1] == len(data)
    assert len(taken) < 10


def test_every_prefix_of_a_response_is_read_as_the_typed_path_reads_it() -> None:
    data = bytes(joined(encode_predict_response(np.arange(6.0).reshape(2, 3))))
    for size in range(len(data)):
        assert outcome(decode_predict_response, bytearray(data[:size]), bits) == outcome(
            typed_response, data[:size], bits
        )
        with pytest.raises(ValueError, match=r"PredictResponse|action"):
            decode_predict_response(bytearray(data[:size]))


@pytest.mark.parametrize("tail", [b"\0", b"\x08", b"\x0a", b"\x48\x01", b"\x0c", b"\x4b\x4c"])
def test_trailing_bytes_are_read_as_the_typed_path_reads_them(tail: bytes) -> None:
    assert check_same_as_typed(bytes(encoded(PLAIN)) + tail) == (tail in (b"\x48\x01", b"\x4b\x4c"))


TENSOR = block(1, b"\x05\x06") + block(2, b"\x02") + b"\x18\x05"  # uint8 [5, 6]


@pytest.mark.parametrize(
    ("observation", "meaning"),
    [
        # Fields out of order, twice, unpacked, padded, unknown: all legal.
        (block(1, block(2, TENSOR) + block(1, b"a")), {"a": [5, 6]}),
        (block(1, block(1, b"b") + block(1, b"a") + block(2, TENSOR)), {"a": [5, 6]}),
        (block(1, block(1, b"a") + block(2, TENSOR[:4]) + block(2, TENSOR[4:])), {"a": [5, 6]}),
        (block(1, block(1, b"a") + block(2, TENSOR + block(1, b"\x07\x08"))), {"a": [7, 8]}),
        (block(1, block(1, b"a") + block(2, TENSOR[:4] + b"\x10\x02\x18\x05")), {"a": [5, 6]}),
        (block(1, block(1, b"a") + block(2, b"\x48\x01" + TENSOR)), {"a": [5, 6]}),
        (block(1, block(1, b"a") + b"\x12\x89\x00" + TENSOR), {"a": [5, 6]}),
        (b"\x8a\x00" + block(1, b"a" and block(1, b"a") + block(2, TENSOR))[1:], {"a": [5, 6]}),
        (block(2, block(2, b"text") + block(1, b"a")), {"a": "text"}),
        (block(2, b""), {"": ""}),
        (block(3, block(1, b"a") + block(2, b"\x10\x01\x18\x05")), {"a": 5}),
        (block(3, block(1, b"a") + block(2, b"\x18\x85\x00")), {"a": 5}),
        (block(3, block(1, b"a") + block(2, b"\x10\x80\x02")), {"a": True}),
        (block(2, block(1, b"b")) + block(1, block(1, b"a") + block(2, TENSOR)), {"b": "", "a": 0}),
    ],
)
def test_legal_forms_that_no_writer_gives_are_read(
    observation: bytes, meaning: dict[str, Any]
) -> None:
    data = block(1, observation)
    assert check_same_as_typed(data)
    (found,) = decode_predict_request(bytearray(data)).observations
    assert found.keys() == meaning.keys()
    if len(meaning) == 1:
        assert [np.asarray(item).tolist() for item in found.values()] == [*meaning.values()]


# ---------------------------------------------------------------- errors


def with_tensor(tensor: bytes) -> bytes:
    return block(1, block(1, block(1, b"a") + block(2, tensor)))


def with_scalar(value: bytes) -> bytes:
    return block(1, b"") + block(1, block(3, block(1, b"b") + block(2, value)))


def with_kwarg(value: bytes) -> bytes:
    return block(1, b"") + block(2, block(1, b"k") + block(2, value))


NEGATIVE = b"\xff" * 9 + b"\x01"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            with_tensor(b""),
            "observations[0]['a']: unknown dtype 0; allowed: 1 (float32), 2 (float64), "
            "3 (int32), 4 (int64), 5 (uint8), 6 (bool)",
        ),
        (with_tensor(b"\x18\x07"), "observations[0]['a']: unknown dtype 7"),
        (with_tensor(b"\x18\xff\x01"), "observations[0]['a']: unknown dtype 255"),
        (
            with_tensor(block(2, NEGATIVE) + b"\x18\x05"),
            "observations[0]['a']: shape (-1,) has a negative dimension",
        ),
        (
            with_tensor(block(1, b"abcd") + block(2, NEGATIVE + NEGATIVE) + b"\x18\x01"),
            "observations[0]['a']: shape (-1, -1) has a negative dimension",
        ),
        (
            with_tensor(block(1, b"abc") + block(2, b"\x02") + b"\x18\x05"),
            "observations[0]['a']: shape (2,) of uint8 takes 2 bytes, but 3 bytes of data came",
        ),
        (
            with_tensor(b"\x18\x02"),
            "observations[0]['a']: shape () of float64 takes 8 bytes, but 0 bytes of data came",
        ),
        (
            with_tensor(block(2, b"\xff" * 8 + b"\x7f" + b"\x04") + b"\x18\x02"),
            f"observations[0]['a']: shape ({2**63 - 1}, 4) of float64 takes "
            f"{(2**63 - 1) * 32} bytes, but 0 bytes of data came",
        ),
        (
            with_tensor(block(2, b"\x00" + b"\xff" * 8 + b"\x7f") + b"\x18\x02"),
            f"observations[0]['a']: shape (0, {2**63 - 1}) is too large for an array",
        ),
        (
            with_tensor(block(1, b"x") + block(2, b"\x01" * 65) + b"\x18\x05"),
            "observations[0]['a']: shape has 65 dimensions; at most ",
        ),
        (
            with_tensor(block(1, b"\x01\x00\x02") + block(2, b"\x03") + b"\x18\x06"),
            "observations[0]['a']: byte 2 at element 2 of a bool tensor; allowed: 0 and 1",
        ),
        (
            block(1, block(2, block(1, b"a")) + block(2, block(1, b"a"))),
            "observations[0]: key 'a' is there twice",
        ),
        (
            block(1, block(2, block(1, b"a")) + block(3, block(1, b"a") + block(2, b"\x10\x01"))),
            "observations[0]: key 'a' is there twice",
        ),
        (with_scalar(b""), "observations[1]['b']: a scalar cannot be unset"),
        (with_scalar(b"\x08\x00"), "observations[1]['b']: a scalar cannot be null_value"),
        (with_scalar(block(5, b"x")), "observations[1]['b']: a scalar cannot be string_value"),
        (with_scalar(block(6, b"")), "observations[1]['b']: a scalar cannot be list_value"),
        (with_scalar(block(7, b"")), "observations[1]['b']: a scalar cannot be struct_value"),
        (with_kwarg(b""), "policy_kwargs['k']: the value is unset"),
        (with_kwarg(block(6, block(1, b""))), "policy_kwargs['k'][0]: the value is unset"),
        (
            with_kwarg(block(7, block(1, block(1, b"x") + block(2, block(6, block(1, b"")))))),
            "policy_kwargs['k']['x'][0]: the value is unset",
        ),
        (with_kwarg(b"\x48\x01"), "policy_kwargs['k']: the value is unset"),
        (b"", "observations: the batch is empty; at least one is needed"),
        (block(3, b"e"), "observations: the batch is empty; at least one is needed"),
        (
            block(1, b"") + block(3, b"e") * 2,
            "episode_ids: 2 ids for 1 observations; send one for each observation, or none",
        ),
    ],
)
def test_a_request_without_meaning_is_rejected_by_key(data: bytes, text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        decode_predict_request(bytearray(data))
    assert str(caught.value).startswith(text)
    assert caught.value.__context__ is None
    assert not check_same_as_typed(data)


def test_broken_bytes_are_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="PredictRequest: a length of 5 where 2 bytes are left"):
        decode_predict_request(bytearray.fromhex("0a05aabb"))
    with pytest.raises(DecodeError, match="PredictResponse: wire type 7"):
        decode_predict_response(b"\x0f")


def test_a_response_without_an_action_is_rejected() -> None:
    for data in (b"", b"\x0a\x00"):
        with pytest.raises(InvalidValueError, match=r"^action: unknown dtype 0"):
            decode_predict_response(data)


class Unreadable:
    def __array__(self, *_: object, **__: object) -> np.ndarray[Any, Any]:
        raise RuntimeError("not on this device")


@pytest.mark.parametrize(
    ("batch", "kwargs", "ids", "error", "text"),
    [
        ([], None, None, InvalidValueError, "observations: the batch is empty"),
        ({"a": 1}, None, None, UnsupportedTypeError, "observations: a dict is no batch"),
        ([{}, 5], None, None, UnsupportedTypeError, "observations[1]: a int is no mapping"),
        ([{"a": 2**63}], None, None, InvalidValueError, f"observations[0]['a']: {2**63} is beyond"),
        (
            [{}, {"a": -(2**63) - 1}],
            None,
            None,
            InvalidValueError,
            "observations[1]['a']: -9223372036854775809 is beyond",
        ),
        (
            [{"a": np.uint64(2**63)}],
            None,
            None,
            InvalidValueError,
            f"observations[0]['a']: {2**63} is beyond",
        ),
        (
            [{"a": np.zeros(2, "f2")}],
            None,
            None,
            UnsupportedTypeError,
            "observations[0]['a']: dtype float16 (from ndarray) is not supported; supported: "
            "float32, float64, int32, int64, uint8, bool",
        ),
        ([{"a": None}], None, None, UnsupportedTypeError, "observations[0]['a']: dtype object"),
        (
            [{"a": Unreadable()}],
            None,
            None,
            UnsupportedTypeError,
            "observations[0]['a']: cannot make an array of a Unreadable: not on this device",
        ),
        (
            [{"a": np.timedelta64(1, "s")}],
            None,
            None,
            UnsupportedTypeError,
            "observations[0]['a']: dtype timedelta64[s]",
        ),
        (
            [{"a": "\ud800"}],
            None,
            None,
            InvalidValueError,
            "observations[0]['a']: '\\ud800' holds a lone surrogate at 0",
        ),
        ([{"\udfff": 1}], None, None, InvalidValueError, "a key of observations[0]: '\\udfff'"),
        ([{1: 1, "1": 2}], None, None, InvalidValueError, "observations[0]: two keys are '1'"),
        ([{}], {1: 1, "1": 2}, None, InvalidValueError, "policy_kwargs: two keys are '1'"),
        (
            [{}],
            {"k": [0, {1: 1, "1": 2}]},
            None,
            InvalidValueError,
            "policy_kwargs['k'][1]: two keys are '1'",
        ),
        ([{}], {"k": [0, 2**63]}, None, InvalidValueError, "policy_kwargs['k'][1]: 92233720"),
        ([{}], {"k": {"x": b""}}, None, UnsupportedTypeError, "policy_kwargs['k']['x']: bytes is"),
        ([{}], {"k": np.zeros(2)}, None, UnsupportedTypeError, "policy_kwargs['k']: ndarray is"),
        ([{}], {"k": ["\ud800"]}, None, InvalidValueError, "policy_kwargs['k'][0]: '\\ud800'"),
        ([{}], None, "e", UnsupportedTypeError, "episode_ids: 'e' is one text"),
        ([{}], None, ["\ud800"], InvalidValueError, "episode_ids[0]: '\\ud800'"),
        ([{}], None, [], InvalidValueError, "episode_ids: 0 ids for 1 observations"),
        ([{}], None, ["a", "b"], InvalidValueError, "episode_ids: 2 ids for 1 observations"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_key_on_both_paths(
    batch: Any, kwargs: Any, ids: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        encode_predict_request(batch, kwargs, ids)
    assert str(caught.value).startswith(text)
    with pytest.raises(error) as typed:
        encode_request(batch, policy_kwargs=kwargs, episode_ids=ids)
    assert str(typed.value) == str(caught.value)


@pytest.mark.parametrize("action", [None, "text", {"a": 1}, np.zeros(2, "c8"), [[1], [1, 2]]])
def test_an_action_that_is_no_array_is_refused_by_name(action: object) -> None:
    with pytest.raises(UnsupportedTypeError, match=r"^action: "):
        encode_predict_response(action)


# ---------------------------------------------------------------- depth


def lists(count: int, inside: Any = 1) -> Any:
    for _ in range(count):
        inside = [inside]
    return inside


def mappings(count: int, inside: Any = 1) -> Any:
    for _ in range(count):
        inside = {"k": inside}
    return inside


def mixed(turns: Sequence[bool], inside: Any) -> Any:
    for turn in turns:
        inside = [inside] if turn else {"k": inside}
    return inside


@pytest.mark.parametrize(
    ("deepest", "too_deep"),
    [
        (lists(49), lists(50)),
        (lists(48, []), lists(49, [])),
        (mappings(32), mappings(33)),
        (mappings(32, {}), mappings(33, {})),
        (lists(1, mappings(32)), lists(2, mappings(32))),
        (mappings(1, lists(47)), mappings(1, lists(48))),
    ],
)
def test_kwargs_go_as_deep_as_protobuf_parses(deepest: Any, too_deep: Any) -> None:
    request = Request([{}], {"a": deepest}, None)
    data = encoded(request)
    assert data == typed_bytes(request)
    assert got(from_google(google_class("PredictRequest").FromString(bytes(data)))) == got(
        codec._read_request(data, len(data))
    )
    assert decode_predict_request(data).policy_kwargs == {"a": deepest}
    for encode in (encoded, typed_bytes):
        with pytest.raises(InvalidValueError, match=r"policy_kwargs\['a'\].*nested too deep"):
            encode(Request([{}], {"a": too_deep}, None))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.booleans(), min_size=28, max_size=52), st.sampled_from([1, [], {}]))
def test_what_is_refused_for_its_depth_is_what_protobuf_cannot_parse(
    turns: list[bool], inside: Any
) -> None:
    value = mixed(turns, inside)
    data = to_google([{}], {"a": value}, None)
    try:
        parsed = google_class("PredictRequest").FromString(data.SerializeToString())
    except Exception:
        parsed = None
    try:
        sent = encoded(Request([{}], {"a": value}, None))
    except InvalidValueError:
        assert parsed is None
    else:
        assert parsed is not None
        assert codec._read_request(sent, len(sent)).policy_kwargs == {"a": value}


def test_kwargs_that_hold_themselves_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidValueError, match=r"policy_kwargs\['a'\]\[0\]\[0\].*too deep"):
        encode_predict_request([{}], {"a": endless}, None)


def test_deep_kwargs_need_no_stack() -> None:
    request = Request([{}], {"a": lists(49)}, None)

    def at_the_end_of_the_stack(frames: int) -> PredictCall:
        if frames:
            return at_the_end_of_the_stack(frames - 1)
        return decode_predict_request(encoded(request))

    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    call = at_the_end_of_the_stack(sys.getrecursionlimit() - depth - 25)
    assert call.policy_kwargs == request.policy_kwargs


# ---------------------------------------------------------------- work


def calls_in(call: Callable[[], object]) -> int:
    """Returns how many function calls a call takes."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize(
    "make",
    [
        lambda n: Request([{str(i): 1 for i in range(n)}], None, None),
        lambda n: Request([{str(i): "" for i in range(n)}], None, None),
        lambda n: Request([{str(i): np.zeros(1) for i in range(n)}], None, None),
        lambda n: Request([{}] * n, None, ["e"] * n),
        lambda n: Request([{}], {"a": [1] * n}, None),
        lambda n: Request([{}], {str(i): {"b": []} for i in range(n)}, None),
    ],
)
def test_work_grows_in_proportion_to_the_request(make: Callable[[int], Request]) -> None:
    small, large = make(100), make(400)
    assert calls_in(lambda: encoded(large)) <= 4.1 * calls_in(lambda: encoded(small)) + 100
    data = [encoded(small), encoded(large)]
    few, many = (calls_in(lambda d=d: decode_predict_request(d)) for d in data)  # type: ignore[misc]
    assert many <= 4.1 * few + 100


def test_hostile_bytes_cost_work_in_proportion() -> None:
    for piece in (b"\x0a\x00", b"\x48\x01", block(1, b"\x48\x01"), b"\x12\x00"):
        few, many = (
            calls_in(lambda d=piece * n: outcome(decode_predict_request, d, got))  # type: ignore[misc]
            for n in (500, 2000)
        )
        assert many <= 4.1 * few + 200


def test_not_a_number_keeps_its_bits() -> None:
    weird = np.array([0x7FF0000000000001, 0xFFF8000000000123], np.uint64).view("f8")
    call = decode_predict_request(
        joined(encode_predict_request([{"a": weird, "b": float("nan")}], {"c": -math.inf}, None))
    )
    assert bits(call.observations[0]["a"]) == bits(weird)
    assert bits(call.observations[0]["b"]) == bits(float("nan"))
    assert call.policy_kwargs == {"c": -math.inf}


# ---------------------------------------------------------------- for event loops


@pytest.mark.parametrize(
    ("observations", "kwargs", "ids"),
    [
        ([{"a": np.zeros(10_000_000, np.uint8)}] * 4, None, None),
        ([{"a": 1}] * (codec.QUICK_ITEMS // 3), None, None),
        ([{"a": "x" * 100}], {"k": list(range(1000))}, ["id"]),
    ],
)
def test_a_usual_request_is_read_at_once(observations: Any, kwargs: Any, ids: Any) -> None:
    message = bytearray(b"".join(codec.encode_predict_request(observations, kwargs, ids)))
    quick, whole = (
        codec.decode_predict_request_quickly(message),
        codec.decode_predict_request(message),
    )
    assert quick is not None
    assert repr(quick) == repr(whole)


@pytest.mark.parametrize(
    ("observations", "kwargs"),
    [
        ([{"a": 1}] * codec.QUICK_ITEMS, None),
        ([{str(n): n for n in range(codec.QUICK_ITEMS + 1)}], None),
        ([{"a": 1}], {"k": list(range(codec.QUICK_ITEMS))}),
        ([{"a": 1}], {str(n): [n] for n in range(codec.QUICK_ITEMS)}),
    ],
)
def test_a_request_of_very_many_items_is_left_for_another_thread(
    observations: Any, kwargs: Any
) -> None:
    message = b"".join(codec.encode_predict_request(observations, kwargs, None))
    assert codec.decode_predict_request_quickly(message) is None
    assert codec.decode_predict_request(message).observations == observations


def test_a_long_message_that_only_the_typed_path_can_read_is_left_for_another_thread() -> None:
    message = b"".join(codec.encode_predict_request([{"a": "x" * 5000}], None, None))
    assert codec.decode_predict_request_quickly(message + b"\x78\x01") is None
    assert codec.decode_predict_request_quickly(message[:-1]) is None


def test_a_short_message_that_is_none_is_an_error_at_once() -> None:
    with pytest.raises(DecodeError):
        codec.decode_predict_request_quickly(b"\x0a\x05\xaa")
