# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The parts of batching, each by itself: no server, no thread, no clock but numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from praxis_remote.batching import (
    Batching,
    NotABatchError,
    Pause,
    StackedObservations,
    Stacker,
    Ticket,
    check_rows,
    likeness,
    pick,
    split,
)
from praxis_remote.errors import InvalidValueError


def ticket(kind: str | None, size: int, lanes: str | None = "", caller: str = "") -> Ticket:
    return Ticket(kind, size, None if lanes is None else frozenset(lanes), caller)


# ------------------------------------------------------------ who leaves together


def test_those_who_are_alike_leave_together_as_far_as_there_is_room() -> None:
    assert pick([ticket("k", 1)] * 5, 3) == [0, 1, 2]
    assert pick([ticket("k", 2), ticket("k", 2), ticket("k", 1)], 3) == [0, 2]


def test_one_that_is_not_alike_is_passed() -> None:
    assert pick([ticket("k", 1), ticket("other", 1), ticket("k", 1)], 8) == [0, 2]


def test_one_that_stays_alone_leaves_alone() -> None:
    assert pick([ticket(None, 1), ticket(None, 1)], 8) == [0]
    assert pick([ticket("k", 9), ticket("k", 1)], 8) == [0]


def test_an_episode_is_never_twice_in_a_batch_and_never_overtakes_itself() -> None:
    assert pick([ticket("k", 1, "a"), ticket("k", 1, "a"), ticket("k", 1, "b")], 8) == [0, 2]
    # The second call of b may not pass the first, which is of another kind.
    line = [ticket("k", 1, "a"), ticket("other", 1, "b"), ticket("k", 1, "b"), ticket("k", 1, "c")]
    assert pick(line, 8) == [0, 3]


def test_nothing_passes_a_reset_of_everything_and_a_reset_of_some_only_what_it_does_not_name() -> (
    None
):
    calls = [ticket("k", 1, lane) for lane in "abc"]
    assert pick([calls[0], ticket(None, 1, None), *calls[1:]], 8) == [0]
    assert pick([calls[0], ticket(None, 1, "b"), *calls[1:]], 8) == [0, 3]
    assert pick([ticket(None, 1, None), *calls], 8) == [0]


tickets = st.builds(
    Ticket,
    kind=st.sampled_from(["k", "l", None]),
    size=st.integers(1, 5),
    lanes=st.none() | st.frozensets(st.sampled_from("abcd"), max_size=3),
)


def lanes_of(ticket: Ticket) -> frozenset[str]:
    return frozenset("abcd") if ticket.lanes is None else ticket.lanes


@given(st.lists(tickets, min_size=1, max_size=12), st.integers(2, 8))
@settings(max_examples=examples(150))
def test_whatever_waits_every_lane_keeps_its_order_and_every_batch_its_bounds(
    line: list[Ticket], max_size: int
) -> None:
    waiting = list(enumerate(line))
    left: list[int] = []
    while waiting:
        picked = pick([ticket for _, ticket in waiting], max_size)
        batch = [waiting[place][1] for place in picked]
        assert picked == sorted(set(picked))
        assert picked[0] == 0
        if len(batch) > 1:
            lanes = [lane for ticket in batch for lane in ticket.lanes or ()]
            assert len(lanes) == len(set(lanes))
            assert {ticket.kind for ticket in batch} == {batch[0].kind} != {None}
            assert sum(ticket.size for ticket in batch) <= max_size
        left += [waiting[place][0] for place in picked]
        waiting = [each for place, each in enumerate(waiting) if place not in picked]
    for lane in "abcd":
        its = [place for place in left if lane in lanes_of(line[place])]
        assert its == sorted(its)


# ------------------------------------------------------------ how long to wait


def test_a_server_that_was_idle_waits_for_nobody() -> None:
    pause = Pause(5.0)
    assert pause.remaining(["a"], 100.0) == 0
    pause.ended(["a", "b"], 0.0, 10.0)
    assert pause.remaining(["a"], 15.0) == 0


def test_one_caller_never_waits() -> None:
    pause = Pause(5.0)
    pause.ended(["a"], 0.0, 10.0)
    assert pause.remaining(["a"], 10.0) == 0


def test_those_who_were_just_answered_are_waited_for_until_all_are_there() -> None:
    pause = Pause(5.0)
    pause.ended(["a", "b", "b"], 0.0, 10.0)
    assert pause.remaining(["a"], 10.0) == 5
    assert pause.remaining(["a", "b"], 12.0) == 3
    assert pause.remaining(["b", "new", "a", "b"], 12.0) == 0
    # One who did not come is not waited for again.
    pause.ended(["a"], 12.0, 20.0)
    assert pause.remaining(["a"], 20.0) == 0


def test_no_policy_is_held_up_for_longer_than_it_just_took() -> None:
    pause = Pause(5.0)
    pause.ended(["a", "b"], 9.5, 10.0)
    assert pause.remaining(["a"], 10.0) == 0.5


# ------------------------------------------------------------ what is alike


def named(*observations: dict[str, Any], **policy_kwargs: Any) -> Any:
    return likeness(observations, policy_kwargs, named=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": np.zeros(3, np.float32)}, {"a": np.ones(3, np.float32)}),
        ({"a": 1, "b": "x"}, {"b": "y", "a": -7}),
        ({"a": float("nan")}, {"a": 0.0}),
        ({}, {}),
    ],
)
def test_observations_of_the_same_keys_dtypes_and_shapes_are_alike(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert named(one) == named(other, one) != likeness([one], {}, named=False)


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros(3, np.float64)},
        {"a": np.zeros((3, 1), np.float32)},
        {"b": np.zeros(3, np.float32)},
        {"a": np.zeros(3, np.float32), "b": 1},
        {"a": 0.0},
        {},
    ],
)
def test_another_key_dtype_or_shape_is_not_alike(other: dict[str, Any]) -> None:
    one = {"a": np.zeros(3, np.float32)}
    assert named(one) != named(other)
    # Nor is a batch that differs in itself alike with anything.
    assert named(one, other) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[(1, True), (1, 1.0), (0.0, -0.0), ("1", 1), (None, False), ([1], 1), ([1, 2], [2, 1])],
        *[({"x": 1}, {"x": 2}), ({"x": 1}, [["x", 1]])],
    ],
)
def test_options_that_differ_by_a_hair_are_not_alike(one: object, other: object) -> None:
    for nest in (lambda value: value, lambda value: [{"deep": value}]):
        assert named({}, k=nest(one)) != named({}, k=nest(other))
        assert named({}, k=nest(one)) == named({}, k=nest(one))


def test_equal_options_are_alike_in_whatever_order() -> None:
    assert named({}, a=[1, {"x": None, "y": float("nan")}], b=2) == named(
        {}, b=2, a=[1, {"y": float("nan"), "x": None}]
    )


# ------------------------------------------------------------ what is handed over


def test_a_batch_is_one_array_for_each_key_in_one_piece_of_memory_from_a_page_on() -> None:
    batch: list[Any] = [
        {"image": np.full((64, 64, 3), row, np.uint8), "state": np.arange(3.0) + row}
        | {"task": f"t{row}", "n": row, "x": row / 2, "on": row > 0}
        for row in range(3)
    ]
    stacked = Stacker().stack(batch)
    assert list(stacked) == ["image", "state", "n", "x", "on", "task"]
    assert stacked["task"] == ["t0", "t1", "t2"]
    for key in ("image", "state", "n", "x", "on"):
        expected = np.stack([np.asarray(o[key]) for o in batch])
        array = stacked[key]
        assert isinstance(array, np.ndarray)
        assert (array.dtype, array.flags.c_contiguous, array.flags.writeable) == (
            expected.dtype,
            True,
            True,
        )
        assert np.array_equal(array, expected)
        assert np.shares_memory(array, stacked.buffer)
    assert stacked.batch_size == 3
    assert address(stacked["image"]) % 4096 == address(stacked.buffer) % 4096 == 0
    assert address(stacked["state"]) % 64 == 0


def address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def test_memory_is_used_again_once_nothing_of_a_batch_is_left() -> None:
    stacker = Stacker()
    batch: list[Any] = [{"a": np.zeros(5000)}, {"a": np.ones(5000)}]
    first = address(stacker.stack(batch)["a"])
    assert address(stacker.stack(batch)["a"]) == first


def test_what_a_policy_keeps_of_a_batch_stays_as_it_is() -> None:
    stacker = Stacker()
    kept = []
    for number in range(8):
        stacked = stacker.stack([{"a": np.full(1000, number)}, {"a": np.full(1000, -number)}])
        array = stacked["a"]
        assert isinstance(array, np.ndarray)
        # A view of a view is enough.
        kept.append(array[1][3:])
        del stacked, array
    assert [set(view.tolist()) for view in kept] == [{-number} for number in range(8)]


kinds = st.sampled_from(["<f4", "<f8", "<i4", "<i8", "u1", "?"])
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


layouts = st.dictionaries(st.text(max_size=3), st.tuples(kinds, shapes), max_size=4)


@given(layouts, st.integers(1, 4))
@settings(max_examples=examples(100))
def test_whatever_is_alike_is_stacked_as_numpy_does(
    layout: dict[str, tuple[str, tuple[int, ...]]], rows: int
) -> None:
    generator = np.random.default_rng(rows)
    batch: list[Any] = [
        {key: generator.integers(0, 2, shape).astype(kind) for key, (kind, shape) in layout.items()}
        for _ in range(rows)
    ]
    stacked = Stacker().stack(batch)
    assert stacked.keys() == layout.keys()
    for key, array in stacked.items():
        expected = np.stack([o[key] for o in batch])
        assert isinstance(array, np.ndarray)
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(array, expected)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (
            {"a": np.zeros(4, np.float32)},
            r"observations\[1\]\['a'\]: float32 of shape \(4,\), but "
            r"float32 of shape \(3,\) in observations\[0\]",
        ),
        ({"a": 1}, r"observations\[1\]\['a'\]: a int, but float32 of shape \(3,\)"),
        ({"b": 1}, r"observations\[1\]: lacks 'a' and has 'b' besides, unlike observations\[0\]"),
        ({}, r"observations\[1\]: lacks 'a', unlike"),
    ],
)
def test_a_batch_that_differs_in_itself_cannot_be_stacked_and_the_error_says_where(
    other: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidValueError, match=text):
        Stacker().stack([{"a": np.zeros(3, np.float32)}, other])


def test_a_stacked_batch_of_texts_alone_has_no_arrays() -> None:
    stacked = Stacker().stack([{"task": "x"}, {"task": "y"}])
    assert isinstance(stacked, StackedObservations)
    assert (dict(stacked), stacked.batch_size, stacked.buffer.size) == ({"task": ["x", "y"]}, 2, 0)


# ------------------------------------------------------------ whose rows


def test_each_gets_its_rows() -> None:
    action = np.arange(12).reshape(6, 2)
    parts = split(check_rows(action, 6), [1, 3, 2])
    assert [part.tolist() for part in parts] == [
        action[:1].tolist(),
        action[1:4].tolist(),
        action[4:].tolist(),
    ]


@pytest.mark.parametrize("shape", [(), (0,), (1, 2), (3,), (7, 2)])
def test_an_action_without_a_row_for_each_observation_is_refused_with_its_shape(
    shape: tuple[int, ...],
) -> None:
    with pytest.raises(NotABatchError) as raised:
        check_rows(np.zeros(shape, np.float32), 2)
    assert str(raised.value).startswith(f"action: its shape is {shape} for 2 observations; with ")
    assert "shape (2, ...)" in str(raised.value)


def test_a_policy_that_wants_a_list_is_told_what_a_stacked_batch_is() -> None:
    stacked: Any = Stacker().stack([{"state": np.zeros(2)}])
    with pytest.raises(TypeError, match=r"observations\[0\]: with batched there is no list"):
        stacked[0]
    with pytest.raises(KeyError, match="joints"):
        stacked["joints"]
    assert stacked.get("joints") is None


# ------------------------------------------------------------ settings


@pytest.mark.parametrize("size", [0, -1, 1.5, "8", None, True])
def test_a_batch_size_that_is_none_is_named(size: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"max_batch_size: .*; a whole number"):
        Batching(size)


@pytest.mark.parametrize("delay", [-0.1, float("inf"), float("nan"), "1", None, True])
def test_a_delay_that_is_none_is_named(delay: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"max_batch_delay: .*; seconds, at least 0"):
        Batching(2, delay)


@pytest.mark.parametrize("stacked", [8, "yes", None])
def test_stacking_is_on_or_off_and_no_size(stacked: Any) -> None:
    with pytest.raises(TypeError, match=r"batched: .*; pass True or False; .* max_batch_size"):
        Batching(8, 0.0, stacked)
