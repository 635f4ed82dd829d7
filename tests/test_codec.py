# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys
from collections import UserDict, deque
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from oracle import encoded, get_tensor, google_class, got, joined, outcome, set_tensor
from strategies import Request, arrays, bits, block

from praxis_remote.codec import (
    decode_predict_request,
    decode_predict_response,
    decoder,
    encode_predict_request,
    encode_predict_response,
)
from praxis_remote.schema import PredictResponse
from praxis_remote.serialization import encode_numpy_array
from praxis_remote.wire import write_message

EXHAUSTIVE = settings(max_examples=250, deadline=None, derandomize=True)


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
        assert bits(decoder._read_response(source)) == bits(action)
        assert bits(decode_predict_response(source)) == bits(action)


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
