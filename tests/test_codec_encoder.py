# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from oracle import encoded, expected, from_google, google_class, got, joined, typed_bytes
from strategies import Request, requests

from praxis_remote.codec import LARGE_BYTES, encode_predict_request, encode_predict_response
from praxis_remote.errors import InvalidValueError, UnsupportedTypeError
from praxis_remote.serialization import encode_request

EXHAUSTIVE = settings(max_examples=250, deadline=None, derandomize=True)


@EXHAUSTIVE
@given(requests())
def test_request_bytes_are_the_typed_paths(request: Request) -> None:
    segments = encode_predict_request(*request)
    data = joined(segments)
    assert data == typed_bytes(request)
    assert sum(map(len, segments)) == len(data)


@EXHAUSTIVE
@given(requests())
def test_protobuf_reads_from_our_bytes_what_was_sent(request: Request) -> None:
    message = google_class("PredictRequest").FromString(bytes(encoded(request)))
    assert got(from_google(message)) == expected(request)


def test_small_arrays_are_joined_into_one_segment() -> None:
    just_small, just_large = np.zeros(LARGE_BYTES - 1, "u1"), np.zeros(LARGE_BYTES, "u1")
    assert list(map(type, encode_predict_request([{"a": just_small}]))) == [bytes]
    assert list(map(type, encode_predict_response(just_small))) == [bytes]
    kinds = [bytes, memoryview, bytes]
    assert list(map(type, encode_predict_request([{"a": just_large}]))) == kinds


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
