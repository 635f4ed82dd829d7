# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What callers and policies give to buffers: requests and responses.

Nothing here reads bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..framing import Segments
from ..tensors import as_wire_array, wire_number
from ..types import Array, ObservationLike, PolicyKwargValue
from ..values import as_batch, as_number, check_episode_ids, check_text, unique_items
from .fields import Parts, write_field, write_head, write_optional
from .kwargs import KwargsWriter
from .leaves import write_leaf
from .tags import (
    ACTION,
    EPISODE_IDS,
    OBSERVATIONS,
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
from .tensors import add_data, add_tensor, tensor_frame


def encode_predict_request(
    observations: Collection[ObservationLike],
    policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
    episode_ids: Sequence[str] | None = None,
) -> Segments:
    """Returns the request for one ``predict_action`` in pieces.

    Large arrays are not copied: their memory must not change until it is sent.

    Raises:
        TypeError, ValueError: As `serialization.encode_request` does.
    """
    batch = as_batch(observations)
    parts: Parts = []
    for index, observation in enumerate(batch):
        _add_observation(parts, observation, f"observations[{index}]")
    if policy_kwargs is not None:
        KwargsWriter(parts).add(policy_kwargs)
    for text in check_episode_ids(episode_ids, len(batch)) or ():
        parts.append(write_field(EPISODE_IDS, text.encode()))
    return _join_small(parts)


def encode_predict_response(action: object) -> Segments:
    """Returns the response that carries an action, in pieces.

    A large array is not copied: its memory must not change until it is sent.

    Raises:
        TypeError: ``action`` is no array of a supported dtype.
    """
    parts: Parts = []
    add_tensor(parts, *as_wire_array(action, "action"))
    parts.insert(0, write_head(ACTION, _size(parts)))
    return _join_small(parts)


def _add_observation(parts: Parts, observation: ObservationLike, name: str) -> None:
    # The schema has three lists, so that what comes first in the mapping may
    # come last in the message.
    tensors: Parts = [b""]
    strings: list[bytes] = []
    scalars: list[bytes] = []
    for key, value in unique_items(observation, name):
        number = wire_number(value)
        if number is not None:
            _add_named_tensor(tensors, key, value, number)
        elif isinstance(value, str):
            text = value if value.isascii() else check_text(value, f"{name}[{key!r}]")
            strings.append(_named(STRINGS, STRING_KEY, key, STRING, text.encode()))
        elif type(value) is not np.ndarray and (
            (plain := as_number(value, f"{name}[{key!r}]")) is not None
        ):
            scalars.append(_named(SCALARS, SCALAR_KEY, key, SCALAR, write_leaf(plain)))
        else:
            _add_named_tensor(tensors, key, *as_wire_array(value, f"{name}[{key!r}]"))
    tensors += strings
    tensors += scalars
    tensors[0] = write_head(OBSERVATIONS, _size(tensors))
    parts += tensors


def _add_named_tensor(parts: Parts, key: str, array: Array, number: int) -> None:
    head, tail = _named_tensor_frame(key, array.shape, number)
    parts.append(head)
    add_data(parts, array)
    parts.append(tail)


@functools.lru_cache(maxsize=256)
def _named_tensor_frame(key: str, shape: tuple[int, ...], number: int) -> tuple[bytes, bytes]:
    """Returns what is around the data of an observation's tensor."""
    head, tail, nbytes = tensor_frame(shape, number)
    size = len(head) + nbytes + len(tail)
    name = write_optional(TENSOR_KEY, key.encode()) + write_head(TENSOR, size)
    return write_head(TENSORS, len(name) + size) + name + head, tail


def _named(tag: int, key_tag: int, key: str, value_tag: int, content: bytes) -> bytes:
    """Returns an item of one of an observation's lists of small things."""
    # An empty text is left out; a Value never is empty.
    return write_field(
        tag, write_optional(key_tag, key.encode()) + write_optional(value_tag, content)
    )


def _size(parts: Parts) -> int:
    return sum(map(len, parts))


def _join_small(parts: Parts) -> Segments:
    if memoryview not in map(type, parts):
        return [b"".join(parts)]
    segments: Parts = []
    small: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            small.append(part)
        else:
            segments += (b"".join(small), part)
            small = []
    return [*segments, b"".join(small)]
