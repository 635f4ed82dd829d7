# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import betterproto
import numpy as np
import pytest
from hypothesis import given, settings
from strategies import Request, arrays, bits, numbers, requests, values

from praxis_remote.errors import InvalidValueError, UnsupportedTypeError
from praxis_remote.schema import DType, Tensor, Value, ValueList, ValueStruct
from praxis_remote.serialization import (
    build_observation,
    decode_numpy_array,
    decode_observation_scalar,
    decode_observations,
    decode_policy_kwarg_value,
    decode_policy_kwargs,
    decode_request,
    encode_numpy_array,
    encode_observation_scalar,
    encode_observations,
    encode_policy_kwarg_value,
    encode_policy_kwargs,
    encode_request,
)

EXHAUSTIVE = settings(max_examples=120, deadline=None, derandomize=True)


@EXHAUSTIVE
@given(requests())
def test_a_request_survives_as_a_message(request: Request) -> None:
    message = encode_request(
        request.observations, policy_kwargs=request.policy_kwargs, episode_ids=request.episode_ids
    )
    observations, policy_kwargs, episode_ids = decode_request(message)
    assert [bits(item) for item in observations] == [bits(item) for item in request.observations]
    assert bits(policy_kwargs) == bits(request.policy_kwargs or {})
    assert episode_ids == (tuple(request.episode_ids) if request.episode_ids else None)


@EXHAUSTIVE
@given(arrays())
def test_arrays_survive_writable_and_with_memory_of_their_own(array: np.ndarray[Any, Any]) -> None:
    tensor = encode_numpy_array(array)
    found = decode_numpy_array(tensor)
    assert bits(found) == bits(array)
    assert found.flags.writeable
    assert found.flags.aligned
    assert not np.shares_memory(found, decode_numpy_array(tensor))


@EXHAUSTIVE
@given(numbers)
def test_scalars_survive(number: Any) -> None:
    assert bits(decode_observation_scalar(encode_observation_scalar(number))) == bits(number)


@EXHAUSTIVE
@given(values)
def test_policy_kwarg_values_survive(value: Any) -> None:
    assert bits(decode_policy_kwarg_value(encode_policy_kwarg_value(value))) == bits(value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null_value"),
        (False, "bool_value"),
        (np.bool_(False), "bool_value"),
        (0, "int_value"),
        (np.uint8(0), "int_value"),
        (0.0, "float_value"),
        (np.float16(0), "float_value"),
        ("", "string_value"),
        ([], "list_value"),
        ((), "list_value"),
        ({}, "struct_value"),
    ],
)
def test_each_type_has_its_own_kind_even_when_empty(value: Any, kind: str) -> None:
    assert betterproto.which_one_of(encode_policy_kwarg_value(value), "kind")[0] == kind


def test_observations_and_kwargs_can_be_encoded_apart() -> None:
    batch = encode_observations([{"a": np.zeros(2), "b": "text", "c": True}])
    assert [item.key for item in batch[0].tensors] == ["a"]
    assert [item.key for item in batch[0].strings] == ["b"]
    assert [item.key for item in batch[0].scalars] == ["c"]
    assert decode_observations(batch)[0].keys() == {"a", "b", "c"}
    assert decode_policy_kwargs(encode_policy_kwargs({"a": [1, {"b": None}]})) == {
        "a": [1, {"b": None}]
    }
    assert encode_policy_kwargs(None) == {}


def test_build_observation_gives_the_usual_keys() -> None:
    found = build_observation(
        state=[1.0, 2.0],
        images={"front": np.zeros((2, 2, 3), "u1"), "observation.depth": np.zeros(2, "f4")},
        task_description="pick",
    )
    assert list(found) == [
        "observation.state",
        "observation.images.front",
        "observation.depth",
        "task",
    ]
    assert isinstance(found["observation.state"], np.ndarray)
    assert build_observation() == {}
    assert build_observation(task_description="") == {"task": ""}


def test_build_observation_refuses_images_with_one_key() -> None:
    image = np.zeros(1, "u1")
    with pytest.raises(InvalidValueError, match=r"'observation\.images\.a', which is there"):
        build_observation(images={"a": image, "observation.images.a": image})
    with pytest.raises(InvalidValueError, match=r"'observation\.state', which is there"):
        build_observation(state=[1.0], images={"observation.state": image})


def test_an_image_without_a_name_is_refused_with_how_to_give_it_one() -> None:
    with pytest.raises(TypeError, match=r"images: ndarray; pass a mapping .* \{\"front\": image\}"):
        build_observation(images=np.zeros((4, 4, 3)))  # type: ignore[arg-type]


def test_build_observation_leaves_dtypes_to_be_checked_when_they_are_sent() -> None:
    built = build_observation(state=np.zeros(1, "c8"), images={"depth": np.zeros(1, "u2")})
    assert isinstance(built["observation.images.depth"], np.ndarray)
    assert built["observation.images.depth"].dtype == np.uint16
    with pytest.raises(UnsupportedTypeError, match=r"'observation\.state'\]: dtype complex64"):
        encode_observations([built])


def test_what_is_no_scalar_is_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"^scalar: str is no number"):
        encode_observation_scalar("5")
    with pytest.raises(InvalidValueError, match=r"^scalar: a scalar cannot be unset"):
        decode_observation_scalar(Value())
    with pytest.raises(InvalidValueError, match=r"^s: a scalar cannot be list_value"):
        decode_observation_scalar(Value(list_value=ValueList()), "s")


def test_a_value_that_is_unset_is_rejected_by_place() -> None:
    value = Value(list_value=ValueList(values=[Value(int_value=1), Value()]))
    with pytest.raises(InvalidValueError, match=r"^value\[1\]: the value is unset"):
        decode_policy_kwarg_value(value)
    with pytest.raises(InvalidValueError, match=r"^policy_kwargs\['k'\]\[1\]: the value is unset"):
        decode_policy_kwargs({"k": value})


class CountedKey(str):
    """A key that counts how often it is written into a text."""

    __slots__ = ("texts",)

    def __init__(self, text: str) -> None:
        self.texts = 0

    def __repr__(self) -> str:
        self.texts += 1
        return super().__repr__()

    def __format__(self, spec: str) -> str:
        self.texts += 1
        return super().__format__(spec)


def test_the_place_of_a_value_is_spelled_for_an_error_only() -> None:
    """Or a long key over a long list, both of a stranger's choice, takes hours."""
    outer, inner = CountedKey("outer"), CountedKey("inner")
    numbers = Value(list_value=ValueList(values=[Value(int_value=n) for n in range(5)]))
    struct = Value(struct_value=ValueStruct(fields={inner: numbers}))
    assert decode_policy_kwargs({outer: struct}) == {"outer": {"inner": [0, 1, 2, 3, 4]}}
    assert (outer.texts, inner.texts) == (0, 0)
    numbers.list_value.values.append(Value())
    with pytest.raises(InvalidValueError, match=r"^policy_kwargs\['outer'\]\['inner'\]\[5\]: "):
        decode_policy_kwargs({outer: struct})
    assert (outer.texts, inner.texts) == (1, 1)


def test_a_long_key_is_cut_in_the_text_of_an_error() -> None:
    with pytest.raises(InvalidValueError, match=r"^policy_kwargs\['k{100}'\.\.\.\]: the value"):
        decode_policy_kwargs({"k" * 1_000_000: Value()})


def test_a_tensor_without_a_dtype_is_rejected() -> None:
    with pytest.raises(InvalidValueError, match=r"^tensor: unknown dtype 0"):
        decode_numpy_array(Tensor())
    with pytest.raises(InvalidValueError, match=r"^t: shape \(\) of bool takes 1 bytes, but 0"):
        decode_numpy_array(Tensor(dtype=DType(6)), "t")


def test_depth_ends_where_protobufs_does() -> None:
    def lists(count: int) -> Any:
        value: Any = []
        for _ in range(count - 1):
            value = [value]
        return value

    encode_policy_kwargs({"a": lists(49)})
    with pytest.raises(InvalidValueError, match="nested too deep; policy_kwargs may hold 49 lists"):
        encode_policy_kwargs({"a": lists(50)})
    endless: dict[str, Any] = {}
    endless["k"] = endless
    with pytest.raises(InvalidValueError, match="nested too deep"):
        encode_policy_kwargs(endless)
