# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A spec says what a policy expects, and all that is wrong with what is something else."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import strategies
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from praxis_remote import codec, wire
from praxis_remote.calls import encode_status
from praxis_remote.errors import InvalidValueError, RemoteError, StatusCode, UnsupportedTypeError
from praxis_remote.schema.generated_specs import KeySpec, SpecKind, SpecResponse
from praxis_remote.specs import (
    Fit,
    FlagSpec,
    KwargSpec,
    NumberSpec,
    ObservationSpec,
    TensorSpec,
    TextSpec,
    explain,
)
from praxis_remote.specs.arrivals import as_arrived, kwargs_as_arrived
from praxis_remote.specs.messages import decode_spec, encode_spec

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")
ONE_WAY = "the request is not what the policy expects: "


def complaint(
    spec: ObservationSpec | Mapping[str, Any], *observations: Any, **policy_kwargs: Any
) -> str:
    """Returns what is said of a batch, of which both ways to look at it must agree."""
    fit = Fit(spec if isinstance(spec, ObservationSpec) else ObservationSpec(spec))
    arrived = [as_arrived(each, "observation") for each in observations]
    kwargs = kwargs_as_arrived(policy_kwargs)
    text = explain(fit, arrived, kwargs)
    assert fit(arrived, kwargs) == (not text)
    return text.removeprefix(ONE_WAY)


# ---------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        (TensorSpec("float32", (7,)), np.zeros(7, "f4"), np.zeros(7)),
        (TensorSpec("float32", (7,)), np.zeros(7, ">f4"), np.zeros(8, "f4")),
        (TensorSpec("float64", (2,)), [0.1, 0.2], [1, 2]),
        (TensorSpec({"int64", np.float64}, (2,)), [1, 2], np.zeros(2, "i4")),
        (TensorSpec("uint8", (None, 3)), np.zeros((9, 3), "u1"), np.zeros((3, 9), "u1")),
        (TensorSpec("uint8", (4, None, 3)), np.zeros((4, 9, 3), "u1"), np.zeros((3, 4), "u1")),
        (TensorSpec("bool", (None,)), np.zeros(0, bool), np.zeros((1, 1), bool)),
        (TensorSpec("bool", ("N", "N")), np.zeros((2, 2), bool), np.zeros((2, 3), bool)),
        (TensorSpec("int32", (..., 3)), np.zeros((2, 5, 3), "i4"), np.zeros((), "i4")),
        (TensorSpec("int32", (..., 3)), np.zeros(3, "i4"), np.zeros((3, 2), "i4")),
        (TensorSpec("int32", (..., None)), np.zeros((2, 2), "i4"), np.zeros((), "i4")),
        (TensorSpec("int64", ()), np.array(3), 3),
        (TensorSpec(None, ()), np.array(3, "u1"), np.array(3, "f2")),
        (TensorSpec(), np.zeros((1, 2), "u1"), "text"),
        (TextSpec(), "", np.array("text")),
        (TextSpec(), np.str_("lift"), None),
        (FlagSpec(), np.bool_(1), 1),
        (NumberSpec(), 1, True),
        (NumberSpec(), np.float16(0.5), np.array(0.5)),
        (NumberSpec(whole=True), np.uint8(1), 1.0),
    ],
    ids=str,
)
def test_a_key_holds_what_its_spec_says_and_nothing_else(spec: Any, good: Any, bad: Any) -> None:
    assert complaint({"key": spec}, {"key": good}) == ""
    said = complaint({"key": spec}, {"key": bad})
    assert said.startswith("observations[0]['key']: got ")
    assert f"expected {spec}" in said


@pytest.mark.parametrize(
    ("kinds", "good", "bad"),
    [
        ("flag", True, 1),
        ("whole", 3, 3.5),
        ("number", 3, False),
        (["number", "null"], None, "0.5"),
        ("text", "fast", ["fast"]),
        ("list", ("a", 1), "a"),
        ("mapping", {"a": 1}, [1]),
    ],
)
def test_a_policy_keyword_is_of_the_kinds_that_its_spec_says(
    kinds: Any, good: Any, bad: Any
) -> None:
    spec = ObservationSpec({}, policy_kwargs={"mode": KwargSpec(kinds)})
    assert complaint(spec, {}) == ""
    assert complaint(spec, {}, mode=good, other=1) == ""
    assert complaint(spec, {}, mode=bad).startswith("policy_kwargs['mode']: got ")
    assert complaint(spec, {}, mode=object()).startswith("policy_kwargs['mode']: got object, ")


def test_what_is_not_required_may_be_missing_and_what_is_not_named_may_be_there() -> None:
    keys: dict[str, Any] = {"state": TensorSpec(), "task": TextSpec(required=False)}
    closed = ObservationSpec(keys, extra_keys=False, extra_policy_kwargs=False)
    state = np.zeros(1)
    assert complaint(keys, {"state": state, "more": "x"}, fast=True) == ""
    assert complaint(closed, {"state": state}) == ""
    assert complaint(closed, {"state": state, "task": "x"}) == ""
    assert complaint(closed, {"state": state, "more": "x"}) == (
        "observations[0]['more']: got text, expected no such key"
    )
    assert complaint(closed, {"state": state}, fast=True) == (
        "policy_kwargs['fast']: got flag, expected no such key"
    )
    needed = ObservationSpec({}, policy_kwargs={"t": KwargSpec("number", required=True)})
    assert complaint(needed, {}) == "policy_kwargs['t']: got nothing, expected number"


def test_a_name_in_shapes_is_one_size_in_an_observation_and_any_in_the_next() -> None:
    spec = {
        "left": TensorSpec("uint8", ("H", "W", 3)),
        "right": TensorSpec("uint8", (..., "H", "W", 3), required=False),
    }

    def image(*shape: int) -> Any:
        return np.zeros((*shape, 3), "u1")

    small, large = {"left": image(2, 4), "right": image(5, 2, 4)}, {"left": image(8, 9)}
    assert complaint(spec, small, large) == ""
    assert complaint(spec, large, {**small, "right": image(2, 5)}) == (
        "observations[1]['right']: got uint8 (2, 5, 3) with W = 5, "
        "expected uint8 (..., H, W, 3) with W = 4 as in 'left'"
    )


# ---------------------------------------------------------------- hints


IMAGE = TensorSpec("uint8", ("H", "W", 3))
STATE = TensorSpec("float32", (7,))


@pytest.mark.parametrize(
    ("spec", "value", "hint"),
    [
        (IMAGE, np.zeros((3, 4, 5), "u1"), "CHW where HWC is expected: x.transpose(1, 2, 0)"),
        (
            TensorSpec("uint8", (3, None, None)),
            np.zeros((4, 5, 3), "u1"),
            "HWC where CHW is expected: x.transpose(2, 0, 1)",
        ),
        (
            TensorSpec("uint8", (2, 4, 5, 3)),
            np.zeros((2, 3, 4, 5), "u1"),
            "the same sizes in another order: x.transpose(0, 2, 3, 1)",
        ),
        (
            IMAGE,
            np.zeros((4, 5, 3), "f4"),
            "x.astype('uint8'), after * 255 if it is 0 to 1",
        ),
        (
            TensorSpec("float32", (4, 5, 3)),
            np.zeros((4, 5, 3), "u1"),
            "x.astype('float32'), and / 255 if the policy wants 0 to 1",
        ),
        (STATE, np.zeros(7), "x.astype('float32')"),
        (
            STATE,
            np.zeros((1, 7), "f4"),
            "one dimension too many, perhaps a batch: each observation has its own, x[i]",
        ),
        (
            TensorSpec("float32", (1, 7)),
            np.zeros(7, "f4"),
            "one dimension too few in front: x[None]",
        ),
        (
            STATE,
            np.zeros((16, 7)),
            "x.astype('float32'); one dimension too many, perhaps a batch: "
            "each observation has its own, x[i]",
        ),
        (TensorSpec("float64", ()), 0.5, "make it an array: np.array(x, 'float64')"),
        (NumberSpec(), np.array([0.5]), "an array is none: x.item()"),
        (FlagSpec(), np.array(True), "an array is none: x.item()"),
        (STATE, np.zeros(8, "f4"), ""),
        (STATE, "text", ""),
        (TextSpec(), 1, ""),
    ],
)
def test_a_hint_says_what_to_do_where_that_can_be_told(spec: Any, value: Any, hint: str) -> None:
    _, _, said = complaint({"key": spec}, {"key": value}).partition("; hint: ")
    assert said == hint


def test_what_a_hint_says_to_do_is_right() -> None:
    keys = {"image": IMAGE, "state": STATE}
    wrong = {"image": np.zeros((3, 4, 5)), "state": np.zeros((1, 7))}
    said = complaint(keys, wrong)
    (order,) = re.findall(r"x\.transpose(\(.*?\))", said)
    places = [int(place) for place in re.findall(r"\d", order)]
    mended = {
        "image": wrong["image"].astype("uint8").transpose(*places),
        "state": wrong["state"].astype("float32")[0],
    }
    assert complaint(keys, mended) == ""


@pytest.mark.parametrize(
    ("there", "hint"),
    [
        ("Task", "there is 'Task'"),
        ("taks", "there is 'taks'"),
        ("observation.task", "there is 'observation.task'"),
        ("state", ""),
        ("known", ""),
        ("task" * 100, ""),
    ],
)
def test_a_key_that_is_missing_is_looked_for_under_other_names(there: str, hint: str) -> None:
    spec = {"task": TextSpec(), "known": TextSpec(required=False)}
    _, _, said = complaint(spec, {there: "lift"}).partition("; hint: ")
    assert said == hint


# ---------------------------------------------------------------- the one error


def test_one_error_tells_all_that_is_wrong() -> None:
    spec = ObservationSpec(
        {"state": STATE, "image": IMAGE, "task": TextSpec()},
        extra_keys=False,
        policy_kwargs={"seed": KwargSpec("whole")},
    )
    said = complaint(
        spec, {"state": np.zeros(7), "image": np.zeros((3, 8, 8), "u1"), "Task": "x"}, seed=0.5
    )
    assert said.splitlines() == [
        "the request is not what the policy expects, in 5 ways:",
        "1. observations[0]['state']: got float64 (7,), expected float32 (7,); "
        "hint: x.astype('float32')",
        "2. observations[0]['image']: got uint8 (3, 8, 8), expected uint8 (H, W, 3); "
        "hint: CHW where HWC is expected: x.transpose(1, 2, 0)",
        "3. observations[0]['task']: got nothing, expected text; hint: there is 'Task'",
        "4. observations[0]['Task']: got text, expected no such key",
        "5. policy_kwargs['seed']: got number, expected whole number",
    ]


def test_what_is_wrong_in_the_same_way_with_several_is_told_once() -> None:
    good, bad = {"state": np.zeros(7, "f4")}, {"state": np.zeros(6, "f4")}
    batch = [bad, bad, bad, good, bad, good, good, bad, bad]
    assert complaint({"state": STATE}, *batch) == (
        "observations[0-2, 4, 7-8]['state']: got float32 (6,), expected float32 (7,)"
    )


@pytest.mark.parametrize("letter", ["x", "é", "机", "\n", "%", "\N{PILE OF POO}"])
def test_an_error_is_no_longer_than_a_status_may_be_and_counts_the_rest(letter: str) -> None:
    keys = {f"{letter * 90}{number}": STATE for number in range(250)}
    said = complaint(keys, {f"{letter * 90}_{number}": "text" for number in range(250)})
    told = re.findall(r"^\d+\. ", said, re.MULTILINE)
    assert re.search(r"in 250 ways:", said)
    assert said.endswith(f"\n... and {250 - len(told)} more")
    assert len(told) >= 3
    whole = dict(encode_status(StatusCode.INVALID_ARGUMENT, said))["grpc-message"]
    assert not whole.endswith("...")


def test_of_very_much_that_is_wrong_it_says_that_there_is_more() -> None:
    spec = ObservationSpec({"state": STATE}, extra_keys=False)
    said = complaint(spec, {f"key{number}": 1 for number in range(1000)}, {})
    assert "in more than 1000 ways:" in said
    assert re.search(r"\n\.\.\. and more than \d+ more$", said)


def test_an_error_tells_nothing_of_what_was_in_the_values() -> None:
    spec = ObservationSpec({"a": STATE, "b": STATE}, policy_kwargs={"c": KwargSpec("flag")})
    said = complaint(spec, {"a": "secret", "b": np.full(3, 4711)}, c="secret")
    assert "secret" not in said
    assert "4711" not in said


# ---------------------------------------------------------------- any observation

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
arrays = st.builds(np.zeros, SHAPES, st.sampled_from(DTYPES))
observations = st.dictionaries(strategies.keys, arrays | st.text() | strategies.numbers, max_size=5)


@settings(max_examples=60)
@given(observation=strategies.observations)
def test_a_spec_made_of_an_observation_accepts_it_before_and_after_the_way(
    observation: dict[str, Any],
) -> None:
    spec = ObservationSpec.of(observation)
    assert complaint(dataclasses.replace(spec, extra_keys=False), observation) == ""
    message = bytearray(b"".join(codec.encode_predict_request([observation])))
    arrived = codec.decode_predict_request(message).observations
    assert Fit(spec)(arrived, {})


@settings(max_examples=80)
@given(one=observations, other=observations, closed=st.booleans())
def test_both_ends_say_the_same_of_any_observation(
    one: dict[str, Any], other: dict[str, Any], closed: bool
) -> None:
    # As much of another observation as has the same keys, which is more telling.
    mixed = {**one, **{key: value for key, value in other.items() if key in one or closed}}
    spec = dataclasses.replace(ObservationSpec.of(one), extra_keys=not closed)
    message = bytearray(b"".join(codec.encode_predict_request([mixed])))
    arrived = codec.decode_predict_request(message).observations
    text = explain(Fit(spec), arrived, {}).removeprefix(ONE_WAY)
    assert text == complaint(spec, {key: mixed[key] for key in arrived[0]})


def mutate(observation: dict[str, Any], key: str, how: str, dtype: str) -> dict[str, Any]:
    """Returns an observation that is wrong in one way."""
    value = observation[key]
    if how == "drop":
        return {each: item for each, item in observation.items() if each != key}
    if how == "extra":
        return {**observation, f"{key}?": value}
    if how == "kind":
        return {**observation, key: "text" if not isinstance(value, str) else True}
    assume(isinstance(value, np.ndarray))
    if how == "dtype":
        assume(value.dtype.name != dtype)
        return {**observation, key: value.astype(dtype)}
    if how == "batch":
        return {**observation, key: value[None]}
    permuted = value.transpose(*range(1, value.ndim), 0) if value.ndim > 1 else value
    assume(permuted.shape != value.shape)
    return {**observation, key: permuted}


@settings(max_examples=120)
@given(
    data=st.data(),
    batch=st.lists(observations.filter(bool), min_size=1, max_size=1),
    how=st.sampled_from(["drop", "extra", "kind", "dtype", "batch", "permute"]),
    dtype=st.sampled_from(DTYPES),
    index=st.integers(0, 2),
)
def test_whatever_is_changed_in_an_observation_is_named_in_the_error(
    data: st.DataObject, batch: list[dict[str, Any]], how: str, dtype: str, index: int
) -> None:
    (observation,) = batch
    key = data.draw(st.sampled_from(sorted(observation)))
    assume(f"{key}?" not in observation)
    wrong = mutate(observation, key, how, dtype)
    spec = dataclasses.replace(ObservationSpec.of(observation), extra_keys=False)
    many = [observation] * 3
    many[index] = wrong
    said = complaint(spec, *many)
    named = f"{key}?" if how == "extra" else key
    assert said.startswith(f"observations[{index}][{named!r}]: got ")
    assert "\n" not in said


# ---------------------------------------------------------------- as messages

names = st.text(min_size=1, max_size=40).filter(
    lambda text: text.isprintable() and text not in ("any", "...")
)
sizes = st.none() | st.integers(0, 2**63 - 1) | names
tensor_specs = st.builds(
    lambda dtypes, leading, shape, required: TensorSpec(
        dtypes, (*leading, *shape), required=required
    ),
    st.lists(st.sampled_from(DTYPES), min_size=1) | st.none(),
    st.sampled_from([(), (...,)]),
    st.lists(sizes, max_size=5),
    st.booleans(),
)
value_specs = st.one_of(
    tensor_specs,
    st.builds(TextSpec, st.booleans()),
    st.builds(FlagSpec, st.booleans()),
    st.builds(NumberSpec, st.booleans(), st.booleans()),
)
kinds = st.sampled_from(["flag", "whole", "number", "text", "list", "mapping", "null"])
kwarg_specs = st.builds(
    lambda kinds, required: KwargSpec(kinds, required=required),
    st.lists(kinds, min_size=1),
    st.booleans(),
)
specs = st.builds(
    lambda keys, extra, kwargs, more: ObservationSpec(
        keys, extra_keys=extra, policy_kwargs=kwargs, extra_policy_kwargs=more
    ),
    st.dictionaries(strategies.keys, value_specs, max_size=4),
    st.booleans(),
    st.dictionaries(strategies.keys, kwarg_specs, max_size=3),
    st.booleans(),
)


@settings(max_examples=80)
@given(spec=specs)
def test_a_spec_comes_back_from_its_message_as_it_was(spec: ObservationSpec) -> None:
    message = wire.write_message(encode_spec(spec))
    assert decode_spec(wire.read_message(SpecResponse, message)) == spec


def test_that_there_is_none_comes_back_as_well() -> None:
    assert wire.write_message(encode_spec(None)) == b""
    assert decode_spec(SpecResponse()) is None


integers = st.integers(-(2**63), 2**63 - 1)
key_messages = st.builds(
    KeySpec,
    key=strategies.keys,
    required=st.booleans(),
    kinds=st.lists(st.integers(-2, 10), max_size=2),
    dtypes=st.lists(st.sampled_from(["float32", "float16", "", ">f4", "O", "i,i", "\0"])),
    shape=st.lists(integers | st.just(-1), max_size=3),
    names=st.lists(strategies.keys, max_size=3),
    any_leading=st.booleans(),
)


@settings(max_examples=120)
@given(
    message=st.builds(
        SpecResponse,
        published=st.just(True),
        observation=st.lists(key_messages, max_size=3),
        policy_kwargs=st.lists(key_messages, max_size=2),
    )
)
@example(
    message=SpecResponse(True, [KeySpec("a", kinds=[SpecKind.TENSOR], dtypes=["float32,float32"])])
)
def test_any_message_is_a_spec_or_is_refused(message: SpecResponse) -> None:
    message = wire.read_message(SpecResponse, wire.write_message(message))
    try:
        spec = decode_spec(message)
    except InvalidValueError:
        return
    assert spec is not None
    assert decode_spec(encode_spec(spec)) == spec


# ---------------------------------------------------------------- what no spec can be


observation_spec: Any = ObservationSpec
tensor: Any = TensorSpec
kwarg: Any = KwargSpec


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TensorSpec("float16"), "dtypes: 'float16'; supported: float32, float64"),
        (lambda: TensorSpec("no such"), "dtypes: 'no such'; supported: "),
        (lambda: TensorSpec([None]), "dtypes: None; supported: "),
        (lambda: TensorSpec(()), "dtypes: none; supported: "),
        (lambda: tensor("bool", 7), r"shape: 7; pass a tuple, such as \(7,\)"),
        (lambda: TensorSpec("bool", "HW"), "shape: 'HW'; pass a tuple"),
        (lambda: TensorSpec("bool", (3, -1)), r"shape\[1\]: -1; allowed: a size of at least 0"),
        (lambda: TensorSpec("bool", (3, ...)), r"shape\[1\]: Ellipsis; allowed: .*as the first"),
        (lambda: TensorSpec("bool", (True,)), r"shape\[0\]: True; allowed: "),
        (lambda: tensor("bool", (1.5,)), r"shape\[0\]: 1.5; allowed: "),
        (lambda: TensorSpec("bool", ("",)), r"shape\[0\]: ''; allowed: "),
        (lambda: TensorSpec("bool", (2**63,)), r"shape\[0\]: 9223372036854775808; allowed: "),
        (lambda: TensorSpec("bool", [1] * 65), "shape: 65 dimensions; at most 64 are allowed"),
        (lambda: kwarg("int"), "kinds: 'int'; allowed: flag, whole, number, text"),
        (lambda: kwarg(None), "kinds: None; allowed: flag, whole, number, text"),
        (lambda: KwargSpec([]), "kinds: none; give at least one of flag"),
        (lambda: observation_spec([]), "keys: list; pass a mapping"),
        (lambda: observation_spec({1: TextSpec()}), "keys: 1 is a int; pass a str"),
        (lambda: ObservationSpec({"\ud800": TextSpec()}), "a key of keys: .*lone surrogate"),
        (
            lambda: observation_spec({"a": TextSpec}),
            r"keys\['a'\]: type; allowed: TensorSpec, TextSpec, FlagSpec, NumberSpec, made with",
        ),
        (
            lambda: observation_spec({}, policy_kwargs={"a": TextSpec()}),
            r"policy_kwargs\['a'\]: TextSpec; allowed: KwargSpec",
        ),
        (
            lambda: ObservationSpec(dict.fromkeys(map(str, range(257)), TextSpec())),
            "keys: 257 of them; at most 256 are allowed",
        ),
        (lambda: ObservationSpec.of({"a": np.zeros(1, "f2")}), r"observation\['a'\]: dtypes: "),
        (lambda: ObservationSpec.of({"a": None}), r"observation\['a'\]: None, which cannot be"),
        (lambda: observation_spec.of([1]), "observation: a list is no mapping"),
    ],
)
def test_what_no_spec_can_be_is_refused_where_it_is_made(make: Any, said: str) -> None:
    with pytest.raises((InvalidValueError, UnsupportedTypeError), match=f"^{said}"):
        make()


@pytest.mark.parametrize("cannot", ["that", None], ids=["raises", "object"])
def test_what_cannot_be_sent_is_told_by_its_type(cannot: str | None) -> None:
    class Tensor:
        def __array__(self, *_: Any, **__: Any) -> Any:
            if cannot:
                raise TypeError("it is on another device")
            return np.array(object())

    assert complaint({"state": STATE}, {"state": Tensor()}).startswith(
        "observations[0]['state']: got Tensor, expected float32 (7,)"
    )


def test_a_spec_can_be_pickled_copied_changed_and_shown() -> None:
    spec = ObservationSpec(
        {"image": IMAGE, "task": TextSpec(), "any": TensorSpec()},
        policy_kwargs={"t": KwargSpec(["null", "number"])},
    )
    assert pickle.loads(pickle.dumps(spec)) == copy.deepcopy(spec) == spec
    lenient = dataclasses.replace(spec, keys={**spec.keys, "task": TextSpec(required=False)})
    assert lenient != spec
    assert dataclasses.replace(IMAGE, required=False).shape == ("H", "W", 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.extra_keys = False  # type: ignore[misc]
    assert [str(each) for each in spec.keys.values()] == [
        "uint8 (H, W, 3)",
        "text",
        "any dtype (...)",
    ]
    assert str(TensorSpec("bool", (..., None))) == "bool (..., any)"
    assert spec.as_dict()["keys"]["image"] == {
        "kind": "tensor",
        "required": True,
        "dtypes": ["uint8"],
        "shape": ["H", "W", 3],
    }
    assert issubclass(InvalidValueError, RemoteError)
