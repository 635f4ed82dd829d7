# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""numpy and plain Python to and from the schema's dataclasses.

The typed, readable reference of what a message means. Clients and servers of
this package do not go this way: `codec` reads and writes the same bytes without
an object per field, and the tests hold the two equal. Use this module with the
stub, in a service of your own, or to look into a message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import betterproto
import numpy as np

from .errors import InvalidValueError, UnsupportedTypeError
from .schema import (
    DType,
    NamedTensor,
    NullValue,
    PredictRequest,
    StringField,
    Tensor,
    Value,
    ValueField,
    ValueList,
    ValueStruct,
)
from .schema import Observation as ObservationMessage
from .tensors import as_wire_array, view_array
from .types import Array, Observation, ObservationLike, ObservationValue, PolicyKwargValue
from .values import (
    KWARGS_DEPTH,
    LIST_STEP,
    STRUCT_STEP,
    as_batch,
    as_number,
    as_plain,
    check_depth,
    check_episode_ids,
    check_text,
    is_list,
    unique_items,
)

__all__ = [
    "build_observation",
    "decode_numpy_array",
    "decode_observation_scalar",
    "decode_observations",
    "decode_policy_kwarg_value",
    "decode_policy_kwargs",
    "decode_request",
    "encode_numpy_array",
    "encode_observation_scalar",
    "encode_observations",
    "encode_policy_kwarg_value",
    "encode_policy_kwargs",
    "encode_request",
]

_IMAGE_PREFIX = "observation.images."

# Where a value lies: in what, and under which key or index there; or a name, and None. It
# is spelled for an error only: a long key over a long list would be copied for each item.
_Place: TypeAlias = "tuple[str | _Place, str | int | None]"

# Of a key in an error's text.
_MAX_KEY = 100


def build_observation(
    *,
    state: object | None = None,
    images: Mapping[str, object] | None = None,
    task_description: str | None = None,
) -> Observation:
    """Returns one observation with the field's usual keys.

    Args:
        state: Goes to ``"observation.state"``.
        images: Image ``"front"`` goes to ``"observation.images.front"``; a key
            that starts with ``"observation."`` is kept.
        task_description: Goes to ``"task"`` as text.

    State and images become arrays as ``np.asarray`` makes them. Their dtypes are
    checked when the observation is sent: a policy in this process may take others.

    Raises:
        ValueError: Two images get the same key.
        TypeError: ``images`` is no mapping, such as a single image.
    """
    if images is not None and not isinstance(images, Mapping):
        raise UnsupportedTypeError(
            f"images: {type(images).__name__}; pass a mapping of names to images, such as "
            '{"front": image}'
        )
    observation: Observation = {}
    if state is not None:
        observation["observation.state"] = np.asarray(state)
    for name, image in unique_items(images or {}, "images"):
        key = name if name.startswith("observation.") else _IMAGE_PREFIX + name
        if key in observation:
            raise InvalidValueError(f"images: {name!r} would be {key!r}, which is there already")
        observation[key] = np.asarray(image)
    if task_description is not None:
        observation["task"] = str(task_description)
    return observation


# ---------------------------------------------------------------- one tensor


def encode_numpy_array(array: object, name: str = "array") -> Tensor:
    """Returns an array, or what ``np.asarray`` turns into one, as a tensor message.

    Raises:
        TypeError: The dtype is none of float32, float64, int32, int64, uint8, bool.
    """
    wire, number = as_wire_array(array, name)
    return Tensor(data=wire.tobytes(), shape=list(wire.shape), dtype=DType(number))


def decode_numpy_array(tensor: Tensor, name: str = "tensor") -> Array:
    """Returns a tensor message as an array of its own memory, aligned and writable.

    Raises:
        ValueError: dtype, shape and data do not fit together.
    """
    array: Array = view_array(tensor.data, tensor.shape, int(tensor.dtype), name).copy()
    return array


# ---------------------------------------------------------------- observations


def encode_observation_scalar(value: object, name: str = "scalar") -> Value:
    """Returns a Python or numpy number as a value message.

    Raises:
        TypeError: It is no number.
        ValueError: An integer beyond int64.
    """
    number = as_number(value, name)
    if number is None:
        raise UnsupportedTypeError(
            f"{name}: {type(value).__name__} is no number; "
            "supported: bool, int, float, numpy scalars"
        )
    return _encode_plain(number)


def decode_observation_scalar(value: Value, name: str = "scalar") -> bool | int | float:
    """Returns a value message of an observation as bool, int or float.

    Raises:
        ValueError: It holds anything else, or nothing.
    """
    kind, content = betterproto.which_one_of(value, "kind")
    if kind in ("bool_value", "int_value", "float_value"):
        assert isinstance(content, (bool, int, float))
        return content
    raise InvalidValueError(
        f"{name}: a scalar cannot be {kind or 'unset'}; allowed: bool_value, int_value, float_value"
    )


def encode_observations(
    observations: Collection[ObservationLike],
) -> list[ObservationMessage]:
    """Returns a batch of observations as messages.

    Raises:
        TypeError: A value is neither text, number nor array of a supported dtype.
        ValueError: Two keys are the same text, or an integer is beyond int64.
    """
    return [
        _encode_observation(observation, f"observations[{index}]")
        for index, observation in enumerate(observations)
    ]


def _encode_observation(observation: ObservationLike, name: str) -> ObservationMessage:
    message = ObservationMessage()
    for key, value in unique_items(observation, name):
        where = f"{name}[{key!r}]"
        if isinstance(value, str):
            message.strings.append(StringField(key=key, value=check_text(value, where)))
        elif (number := as_number(value, where)) is not None:
            message.scalars.append(ValueField(key=key, value=_encode_plain(number)))
        else:
            message.tensors.append(NamedTensor(key=key, tensor=encode_numpy_array(value, where)))
    return message


def decode_observations(observations: Iterable[ObservationMessage]) -> list[Observation]:
    """Returns messages as a batch of observations.

    Numbers arrive as bool, int or float, and arrays are writable and independent.

    Raises:
        ValueError: A tensor whose parts do not fit together, a scalar that is
            unset or no number, or a key that is there twice.
    """
    return [
        _decode_observation(message, f"observations[{index}]")
        for index, message in enumerate(observations)
    ]


def _decode_observation(message: ObservationMessage, name: str) -> Observation:
    observation: Observation = {}

    def add(key: str, value: ObservationValue) -> None:
        if key in observation:
            raise InvalidValueError(f"{name}: key {key!r} is there twice")
        observation[key] = value

    for tensor in message.tensors:
        where = f"{name}[{tensor.key!r}]"
        add(tensor.key, decode_numpy_array(tensor.tensor, where))
    for text in message.strings:
        add(text.key, text.value)
    for scalar in message.scalars:
        where = f"{name}[{scalar.key!r}]"
        add(scalar.key, decode_observation_scalar(scalar.value, where))
    return observation


# ---------------------------------------------------------------- policy_kwargs


def encode_policy_kwargs(
    policy_kwargs: Mapping[str, PolicyKwargValue] | None,
) -> dict[str, Value]:
    """Returns policy_kwargs as value messages.

    Raises:
        TypeError: A value is none of the supported kinds.
        ValueError: Two keys are the same text, an integer is beyond int64, or
            values are nested too deep.
    """
    return {
        key: encode_policy_kwarg_value(value, f"policy_kwargs[{key!r}]")
        for key, value in unique_items(
            {} if policy_kwargs is None else policy_kwargs, "policy_kwargs"
        )
    }


def encode_policy_kwarg_value(value: PolicyKwargValue, name: str = "value") -> Value:
    """Returns one policy keyword argument as a value message.

    Raises:
        TypeError, ValueError: As `encode_policy_kwargs` does.
    """
    return _encode_value(value, name, KWARGS_DEPTH)


def _encode_value(value: Any, name: str, depth: int) -> Value:
    check_depth(depth, name)
    if isinstance(value, Mapping):
        check_depth(depth + 1, name)
        fields = {
            key: _encode_value(item, f"{name}[{key!r}]", depth + STRUCT_STEP)
            for key, item in unique_items(value, name)
        }
        return Value(struct_value=ValueStruct(fields=fields))
    if is_list(value):
        check_depth(depth + 1, name)
        values = [
            _encode_value(item, f"{name}[{index}]", depth + LIST_STEP)
            for index, item in enumerate(value)
        ]
        return Value(list_value=ValueList(values=values))
    return _encode_plain(as_plain(value, name))


def _encode_plain(value: bool | int | float | str | None) -> Value:
    if value is None:
        return Value(null_value=NullValue.NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int):
        return Value(int_value=value)
    if isinstance(value, float):
        return Value(float_value=value)
    return Value(string_value=value)


def decode_policy_kwargs(policy_kwargs: Mapping[str, Value]) -> dict[str, PolicyKwargValue]:
    """Returns value messages as policy_kwargs: None, bool, int, float, str, list, dict.

    Raises:
        ValueError: A value is unset.
    """
    return {
        key: _decode_value(value, (("policy_kwargs", None), key))
        for key, value in policy_kwargs.items()
    }


def decode_policy_kwarg_value(value: Value, name: str = "value") -> PolicyKwargValue:
    """Returns one value message as plain Python.

    Raises:
        ValueError: It, or one inside it, is unset.
    """
    return _decode_value(value, (name, None))


def _decode_value(value: Value, place: _Place) -> PolicyKwargValue:
    kind, content = betterproto.which_one_of(value, "kind")
    if isinstance(content, ValueList):
        return [_decode_value(item, (place, index)) for index, item in enumerate(content.values)]
    if isinstance(content, ValueStruct):
        return {key: _decode_value(item, (place, key)) for key, item in content.fields.items()}
    if kind == "null_value":
        return None
    if not kind:
        raise InvalidValueError(f"{_spell(place)}: the value is unset")
    assert isinstance(content, (bool, int, float, str))
    return content


def _spell(place: _Place) -> str:
    around, step = place
    if isinstance(around, str):
        return around
    if isinstance(step, str) and len(step) > _MAX_KEY:
        return f"{_spell(around)}[{step[:_MAX_KEY]!r}...]"
    return f"{_spell(around)}[{step!r}]"


# ---------------------------------------------------------------- one request


def encode_request(
    observations: Collection[ObservationLike],
    *,
    policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
    episode_ids: Sequence[str] | None = None,
) -> PredictRequest:
    """Returns everything that one ``predict_action`` takes as a message.

    Raises:
        TypeError, ValueError: As `encode_observations` and `encode_policy_kwargs`
            do; also for an empty batch, and for ids that do not match it.
    """
    batch = as_batch(observations)
    return PredictRequest(
        observations=encode_observations(batch),
        policy_kwargs=encode_policy_kwargs(policy_kwargs),
        episode_ids=list(check_episode_ids(episode_ids, len(batch)) or ()),
    )


def decode_request(
    request: PredictRequest,
) -> tuple[list[Observation], dict[str, PolicyKwargValue], tuple[str, ...] | None]:
    """Returns observations, policy_kwargs and episode_ids (None if there are none).

    Raises:
        ValueError: As `decode_observations` and `decode_policy_kwargs` do; also for
            an empty batch, and for ids that do not match it.
    """
    observations = decode_observations(request.observations)
    as_batch(observations)
    episode_ids = check_episode_ids(request.episode_ids or None, len(observations))
    return observations, decode_policy_kwargs(request.policy_kwargs), episode_ids
