# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import (
    check_same_as_typed,
    describe,
    encoded,
    expected,
    got,
    joined,
    outcome,
    to_google,
    typed_decode,
    typed_response,
)
from strategies import Request, WireMaker, bits, block, requests

from praxis_remote import codec
from praxis_remote.codec import (
    decode_predict_request,
    decode_predict_response,
    decoder,
    encode_predict_response,
)
from praxis_remote.codec.fields import UNUSUAL, CostlyError
from praxis_remote.errors import DecodeError, InvalidValueError

EXHAUSTIVE = settings(max_examples=250, deadline=None, derandomize=True)


PLAIN = Request(
    [
        {"state": np.arange(200, dtype="f4"), "task": "pick", "open": True, "n": -5, "x": 0.5},
        {"": np.zeros((0, 3), "?"), "é": "", "flags": np.array([True, False])},
    ],
    {"a": [1, [None, {"": []}], "b"], "c": {"d": {"e": 1.5}}, "": None},
    ["one", ""],
)


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
        assert got(decoder._read_request(data, len(data))) == expected(request)


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_buffer_is_decoded_alike(data: st.DataObject) -> None:
    request = data.draw(requests())
    sent = bytes(encoded(request))
    padded = bytearray(b"ab" + sent)
    for buffer in (sent, bytearray(sent), memoryview(sent), memoryview(padded)[2:]):
        assert got(decode_predict_request(buffer)) == expected(request)


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


@pytest.mark.parametrize(
    "data", [b"", block(3, b"e"), block(1, b"") + block(3, b"e") * 2, block(1, b"") + block(4, b"")]
)
def test_a_request_in_no_usual_form_is_left_to_the_typed_path(data: bytes) -> None:
    with pytest.raises(UNUSUAL):
        decoder._read_request(data, 100)


def test_observations_without_keys_count_as_items_too() -> None:
    message = block(1, b"") * 3
    assert decoder._read_request(message, 3).observations == [{}] * 3
    with pytest.raises(CostlyError):
        decoder._read_request(message, 2)


def test_a_small_array_that_is_kept_does_not_keep_its_message() -> None:
    sent = {"image": np.zeros((200, 200, 3), np.uint8), "state": np.arange(8.0)}
    memory = np.frombuffer(b"".join(codec.encode_predict_request([sent])), np.uint8).copy()
    message = weakref.ref(memory)
    (observation,) = codec.decode_predict_request(memory.data).observations
    del memory
    assert message() is not None  # the image is a view of it
    state = observation["state"]
    del observation
    assert message() is None
    assert np.array_equal(state, sent["state"])
