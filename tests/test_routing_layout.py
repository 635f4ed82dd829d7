# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Requests that are taken apart and put together without being decoded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from praxis_remote import codec
from praxis_remote.routing.layout import lay_out
from praxis_remote.schema import PredictRequest

MANY = 10_000


def request(values: list[int], ids: list[str] | None, size: int = 1) -> memoryview:
    observations = [
        {"observation.state": np.full(size, value, np.float32), "task": f"task {value}"}
        for value in values
    ]
    segments = codec.encode_predict_request(observations, {"horizon": 3, "deep": {"a": [1]}}, ids)
    return memoryview(b"".join(segments))


def rows_of(message: memoryview | bytes) -> list[tuple[float, object, str]]:
    call = codec.decode_predict_request(bytes(message))
    assert call.policy_kwargs == {"horizon": 3, "deep": {"a": [1]}}
    assert call.episode_ids is not None
    return [
        (float(np.asarray(each["observation.state"])[0]), each["task"], episode)
        for each, episode in zip(call.observations, call.episode_ids, strict=True)
    ]


@settings(max_examples=examples(100))
@given(data=st.data())
def test_parts_have_the_rows_that_were_asked_for_and_what_all_share(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    ids = data.draw(st.lists(st.text(max_size=4), min_size=count, max_size=count))
    rows = data.draw(st.lists(st.integers(0, count - 1), min_size=1, unique=True))
    size = data.draw(st.sampled_from([1, 30_000]))
    message = request(list(range(count)), ids, size)
    layout = lay_out(message, MANY)
    assert layout is not None
    assert layout.episode_ids == tuple(ids)
    part = b"".join(layout.take(rows))
    assert rows_of(part) == [(float(row), f"task {row}", ids[row]) for row in rows]


def test_large_parts_are_not_copied() -> None:
    message = request([0, 1, 2], ["a", "b", "c"], 100_000)
    layout = lay_out(message, MANY)
    assert layout is not None
    for segment in layout.take([2, 0]):
        assert isinstance(segment, memoryview)
        assert segment.obj is message.obj


@pytest.mark.parametrize(
    "message",
    [
        request([0, 1], None),
        bytes(PredictRequest(episode_ids=["a"])),
        bytes(request([0, 1], ["a", "b"])) + bytes(PredictRequest(episode_ids=["c"])),
        bytes(request([0], ["a"])) + b"\x22\x00",
        bytes(request([0], ["a"]))[:-1],
        bytes(request([0], ["a"])) + b"\x1a\x01\xff",
        b"\x08\x05",
        b"",
    ],
    ids=["no ids", "no rows", "an id too many", "unknown", "cut off", "no text", "number", "empty"],
)
def test_what_cannot_be_split_is_left_whole(message: bytes) -> None:
    assert lay_out(memoryview(message), MANY) is None


@settings(max_examples=examples(100))
@given(st.binary(max_size=40))
def test_no_bytes_break_it(message: bytes) -> None:
    lay_out(memoryview(message), MANY)


def test_a_request_of_too_many_fields_is_left_whole() -> None:
    message = request([0, 1], ["a", "b"])
    assert lay_out(message, 6) is not None
    assert lay_out(message, 5) is None
