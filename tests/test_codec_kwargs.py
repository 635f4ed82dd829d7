# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import encoded, from_google, google_class, got, to_google, typed_bytes
from strategies import Request, block

from praxis_remote.codec import PredictCall, decode_predict_request, decoder, encode_predict_request
from praxis_remote.codec.fields import UNUSUAL, CostlyError
from praxis_remote.codec.kwargs import KwargsWriter, read_kwargs
from praxis_remote.errors import InvalidValueError


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
        decoder._read_request(data, len(data))
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
        assert decoder._read_request(sent, len(sent)).policy_kwargs == {"a": value}


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


def test_every_value_counts_as_an_item() -> None:
    parts: list[bytes | memoryview] = []
    KwargsWriter(parts).add({"a": [1, [2]], "b": {"c": None}})
    data = b"".join(parts)
    found: dict[str, Any] = {}
    assert read_kwargs(data, 0, len(data), found, 10) == 4
    assert found == {"a": [1, [2]], "b": {"c": None}}
    assert read_kwargs(data, 0, len(data), {}, 6) == 0
    with pytest.raises(CostlyError):
        read_kwargs(data, 0, len(data), {}, 5)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        block(1, b"k"),
        block(1, b"k") + block(2, b""),
        block(2, b"\x10\x01") + block(1, b"k"),
        block(1, b"k") + block(2, block(6, b"") + b"\x48\x01"),
        block(1, b"k") + block(2, block(6, block(2, b"\x10\x01"))),
    ],
)
def test_what_is_no_entry_in_the_usual_form_is_left_to_the_typed_path(entry: bytes) -> None:
    data = block(2, entry)
    with pytest.raises(UNUSUAL):
        read_kwargs(data, 0, len(data), {}, 100)
