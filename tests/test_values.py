# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import UserDict, deque
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import bits, leaves, numbers

from praxis_remote.errors import InvalidValueError, UnsupportedTypeError
from praxis_remote.values import (
    as_batch,
    as_episode_ids,
    as_number,
    as_plain,
    check_episode_ids,
    check_text,
    is_list,
    unique_items,
)


class Task(str, Enum):
    PICK = "pick"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(numbers)
def test_numbers_become_pythons_own_with_every_bit(number: Any) -> None:
    found = as_number(number, "n")
    assert type(found) in (bool, int, float)
    assert bits(found) == bits(number)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(leaves)
def test_plain_values_become_pythons_own(value: Any) -> None:
    found = as_plain(value, "v")
    assert type(found) in (bool, int, float, str, type(None))
    assert bits(found) == bits(value)


@pytest.mark.parametrize("value", ["5", None, 1j, np.timedelta64(1), np.complex64(1), np.zeros(1)])
def test_what_is_no_number_is_none(value: object) -> None:
    assert as_number(value, "n") is None


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, np.uint64(2**63), 10**100])
def test_integers_beyond_int64_are_refused_by_name(number: Any) -> None:
    text = rf"^the name: {int(number)} is beyond int64"
    with pytest.raises(InvalidValueError, match=text):
        as_number(number, "the name")


@pytest.mark.parametrize("value", [b"", 1j, object(), np.zeros(1), {1}, np.datetime64(1, "s")])
def test_what_is_not_plain_is_refused_by_name_and_type(value: object) -> None:
    with pytest.raises(UnsupportedTypeError, match=f"^v: {type(value).__name__} is not supported"):
        as_plain(value, "v")


def test_text_is_what_it_holds_and_not_what_str_says() -> None:
    for text in (Task.PICK, np.str_("pick"), "pick"):
        assert check_text(text, "t") == "pick"
        assert type(check_text(text, "t")) is str


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc00\ud800"])
def test_lone_surrogates_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^t: .* holds a lone surrogate at [01]"):
        check_text(text, "t")
    with pytest.raises(InvalidValueError, match=r"^a key of m: .* lone surrogate"):
        list(unique_items({text: 1}, "m"))


def test_keys_are_kept_exactly_after_str() -> None:
    mapping: dict[Any, int] = {"": 1, " a ": 2, 5: 3, None: 4, (1, 2): 5, "é": 6, np.str_("s"): 7}
    found = list(unique_items(mapping, "m"))
    assert found == [("", 1), (" a ", 2), ("5", 3), ("None", 4), ("(1, 2)", 5), ("é", 6), ("s", 7)]
    assert all(type(key) is str for key, _ in found)


def test_keys_that_are_one_text_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"^m: two keys are '1' as text"):
        list(unique_items({1: "a", "1": "b"}, "m"))


def test_sequences_are_lists_but_texts_and_arrays_are_not() -> None:
    lists: tuple[object, ...] = ([], (), range(1), deque[int]())
    assert all(map(is_list, lists))
    others: tuple[object, ...] = ("", b"", bytearray(), memoryview(b""), {}, {1}, np.zeros(1), 5)
    assert not any(map(is_list, others))


def test_a_batch_is_a_sequence_of_mappings() -> None:
    items = UserDict({"a": 1})
    for batch in ([items], (items,), {1: items}.values()):
        assert as_batch(batch) == [items]
    with pytest.raises(InvalidValueError, match=r"^observations: the batch is empty"):
        as_batch([])
    with pytest.raises(UnsupportedTypeError, match=r"^observations: a dict is no batch"):
        as_batch({"a": 1})
    with pytest.raises(UnsupportedTypeError, match=r"^observations\[1\]: a list is no mapping"):
        as_batch([{}, []])


def test_episode_ids_are_text_and_as_many_as_observations() -> None:
    assert as_episode_ids(None) is None
    assert as_episode_ids([]) == ()
    assert check_episode_ids([1, "b"], 2) == ("1", "b")  # type: ignore[list-item]
    with pytest.raises(UnsupportedTypeError, match=r"^episode_ids: 'ab' is one text"):
        as_episode_ids("ab")
    with pytest.raises(InvalidValueError, match=r"^episode_ids: 1 ids for 2 observations"):
        check_episode_ids(["a"], 2)
