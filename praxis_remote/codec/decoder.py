# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Buffers to what policies and callers get: requests and responses.

Nothing here says what is wrong with bytes: that is left to the typed path.
"""

from __future__ import annotations

from typing import NamedTuple

from ..schema import PredictRequest, PredictResponse
from ..serialization import decode_numpy_array, decode_request
from ..types import Array, Observation, ObservationValue, PolicyKwargValue
from ..wire import Buffer, as_buffer, read_message
from .fields import UNUSUAL, CostlyError, UnusualError, enter, expect, read_size, read_text
from .kwargs import read_kwargs
from .leaves import read_leaf
from .tags import (
    ACTION,
    EPISODE_IDS,
    OBSERVATIONS,
    POLICY_KWARGS,
    SCALAR,
    SCALAR_KEY,
    SCALARS,
    STRING,
    STRING_KEY,
    STRINGS,
    TENSOR,
    TENSOR_KEY,
    TENSORS,
)
from .tensors import read_tensor

QUICK_BYTES = 4 * 1024
QUICK_ITEMS = 2_000
"""What an event loop may decode itself, a few milliseconds at most."""


class PredictCall(NamedTuple):
    """Everything that one call of a policy's ``predict_action`` takes."""

    observations: list[Observation]
    policy_kwargs: dict[str, PolicyKwargValue]
    episode_ids: tuple[str, ...] | None


def decode_predict_request(buffer: Buffer, max_items: int | None = None) -> PredictCall:
    """Returns what a request's bytes mean.

    Arrays are writable, aligned and independent of one another. Those of at least
    `LARGE_BYTES` are views of ``buffer`` where it is writable and their place in it
    is aligned; ``buffer`` must not be used for anything else afterwards.

    Args:
        buffer: The bytes.
        max_items: As for `wire.read_message`.

    Raises:
        DecodeError: The bytes are no request.
        InvalidValueError: There are more items than allowed.
        ValueError: As `serialization.decode_request` does.
    """
    buffer = as_buffer(buffer)
    try:
        return _read_request(buffer, len(buffer) if max_items is None else max_items)
    except (*UNUSUAL, CostlyError):
        # What is too much here is counted there as well.
        pass
    return PredictCall(*decode_request(read_message(PredictRequest, buffer, max_items)))


def decode_predict_request_quickly(
    buffer: Buffer, max_items: int | None = None
) -> PredictCall | None:
    """Returns what `decode_predict_request` does, or None if it might take long.

    For event loops: it takes a few milliseconds at most, whatever the bytes are.

    Raises:
        DecodeError, ValueError: As `decode_predict_request` does.
    """
    if len(buffer) <= QUICK_BYTES:
        return decode_predict_request(buffer, max_items)
    items = QUICK_ITEMS if max_items is None else min(QUICK_ITEMS, max_items)
    try:
        return _read_request(as_buffer(buffer), items)
    except (*UNUSUAL, CostlyError):
        return None


def decode_predict_response(buffer: Buffer) -> Array:
    """Returns the action that a response's bytes carry.

    It is writable and aligned, and a view of ``buffer`` as for
    `decode_predict_request`.

    Raises:
        DecodeError: The bytes are no response.
        ValueError: dtype, shape and data do not fit together.
    """
    buffer = as_buffer(buffer)
    try:
        return _read_response(buffer)
    except UNUSUAL:
        pass
    return decode_numpy_array(read_message(PredictResponse, buffer).action, "action")


def _read_response(buffer: Buffer) -> Array:
    expect(buffer[0] == ACTION)
    start, stop = read_size(buffer, 1, len(buffer))
    expect(stop == len(buffer))
    return read_tensor(buffer, start, stop)


def _read_request(buffer: Buffer, items: int) -> PredictCall:
    """Reads a request of at most so many observations, keys and values together."""
    observations: list[Observation] = []
    policy_kwargs: dict[str, PolicyKwargValue] = {}
    episode_ids: list[str] = []
    position, end = 0, len(buffer)
    while position < end:
        tag = buffer[position]
        start, stop = read_size(buffer, position + 1, end)
        if tag == OBSERVATIONS:
            observation = _read_observation(buffer, start, stop, items)
            observations.append(observation)
            items -= len(observation)
        elif tag == POLICY_KWARGS:
            items = read_kwargs(buffer, position, stop, policy_kwargs, items)
        elif tag == EPISODE_IDS:
            episode_ids.append(str(buffer[start:stop], "utf-8"))
        else:
            raise UnusualError
        items -= 1
        if items < 0:
            raise CostlyError
        position = stop
    expect(bool(observations) and len(episode_ids) in (0, len(observations)))
    return PredictCall(observations, policy_kwargs, tuple(episode_ids) or None)


def _read_observation(buffer: Buffer, position: int, end: int, items: int) -> Observation:
    observation: Observation = {}
    before = 0
    value: ObservationValue
    while position < end:
        tag = buffer[position]
        start, stop = read_size(buffer, position + 1, end)
        if tag == TENSORS:
            key, start = read_text(buffer, start, stop, TENSOR_KEY)
            value = read_tensor(buffer, enter(buffer, start, stop, TENSOR), stop)
        elif tag == STRINGS:
            key, start = read_text(buffer, start, stop, STRING_KEY)
            value, start = read_text(buffer, start, stop, STRING)
            expect(start == stop)
        elif tag == SCALARS:
            key, start = read_text(buffer, start, stop, SCALAR_KEY)
            value = _read_number(buffer, enter(buffer, start, stop, SCALAR), stop)
        else:
            raise UnusualError
        # The typed path goes list by list, and so do the keys of the result.
        if key in observation or tag < before:
            raise UnusualError
        observation[key] = value
        if len(observation) > items:
            raise CostlyError
        position, before = stop, tag
    return observation


def _read_number(buffer: Buffer, position: int, end: int) -> bool | int | float:
    value = read_leaf(buffer, position, end)
    if value is None or isinstance(value, str):
        raise UnusualError
    return value
