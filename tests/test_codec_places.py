# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The places that are found are those where the data lies; of odd bytes any place will do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote import codec
from praxis_remote.testing import Prediction, RecordingHandler, connected

HEAD = 256
MARK = 0xAB


def marked(shape: tuple[int, ...]) -> Any:
    return np.full(shape, MARK, np.uint8)


@given(
    st.text(max_size=40).filter(lambda key: key not in ("task", "another")),
    st.integers(1, 3_000_000),
    st.booleans(),
)
def test_the_data_of_a_requests_first_tensor_is_found(key: str, size: int, more: bool) -> None:
    observation: dict[str, Any] = {key: marked((size,))}
    if more:
        observation = {"task": "go", **observation, "another": np.zeros(3)}
    message = b"".join(codec.encode_predict_request([observation]))
    place = codec.find_data_in_request(message[:HEAD])
    assert message[place : place + size] == marked((size,)).tobytes()
    assert message[place - 1] != MARK or size == MARK


@given(st.integers(1, 3_000_000))
def test_the_data_of_an_action_is_found(size: int) -> None:
    message = b"".join(codec.encode_predict_response(marked((size,))))
    place = codec.find_data_in_response(message[:HEAD])
    assert message[place : place + size] == marked((size,)).tobytes()


@given(st.binary(max_size=40))
def test_any_bytes_have_a_place(head: bytes) -> None:
    assert codec.find_data_in_request(head) >= 0
    assert codec.find_data_in_response(memoryview(head)) >= 0


@pytest.mark.parametrize("length", range(1, 9))
def test_large_arrays_arrive_aligned_without_a_copy(length: int) -> None:
    """Whatever the key's length, and so the data's place in the message."""

    def answer(prediction: Prediction) -> Any:
        return prediction.observations[0]["k" * length]

    sent = np.arange(50_000, dtype=np.float64)
    handler = RecordingHandler(answer)
    with connected(handler) as (_, client):
        received = client.predict_action([{"k" * length: sent}])
    for array in (received, handler.predictions[0].observations[0]["k" * length]):
        assert isinstance(array, np.ndarray)
        assert np.array_equal(array, sent)
        assert array.flags.aligned
        assert array.flags.writeable
        assert array.base is not None  # a view of the message
