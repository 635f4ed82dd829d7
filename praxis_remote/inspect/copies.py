# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is kept of an observation, in memory of its own: the policy may write into its arrays.

Runs on the policy's thread, before the policy does. Everything is bounded, and copied once.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..types import Array
from .layouts import Layout, find_layout

__all__ = [
    "MAX_KEYS",
    "TRACED_SIZE",
    "Kept",
    "KeptArray",
    "KeptScalar",
    "KeptText",
    "keep_action",
    "keep_kwargs",
    "keep_name",
    "keep_observation",
    "same",
    "trace",
]

MAX_KEYS = 64
"""Of an observation; how many more it has is told."""

MAX_STEP_BYTES = 16 * 2**20
"""Of one observation; of arrays beyond it only shape and dtype are kept."""

_MAX_VALUES = 4096
_MAX_TEXT = 4000
_MAX_NAME = 200
_MAX_KWARGS = 256
_MAX_DEPTH = 16
_MAX_SIDE_OF_ACTION = 128

TRACED_SIZE = 64
"""An array of at most so many values is a state, of which the last steps are kept."""

_MAX_TRACED = 256

# A look at so many values tells nearly every image from the one before.
_GLANCE = 61


@dataclass(frozen=True)
class KeptArray:
    """A copy of an array, or of a part of it.

    Attributes:
        data: The copy; None if there was no room for it. Of an image what its layout
            keeps, of others all of it, or every so many of its values in one dimension.
        shape: As received.
        dtype: As received.
        step: Every so many pixels or values were copied.
        layout: How it is an image, None if it is none.
    """

    data: Array | None
    shape: tuple[int, ...]
    dtype: str
    step: int = 1
    layout: Layout | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the copy."""
        return 0 if self.data is None else self.data.nbytes


@dataclass(frozen=True)
class KeptText:
    """The beginning of a text, and how long all of it is."""

    text: str
    length: int


@dataclass(frozen=True)
class KeptScalar:
    """A bool, an int or a float."""

    value: bool | int | float


Kept: TypeAlias = KeptArray | KeptText | KeptScalar


def keep_observation(observation: Mapping[str, Any]) -> tuple[dict[str, Kept], int]:
    """Returns copies of an observation's first keys and values, and the bytes of arrays."""
    kept: dict[str, Kept] = {}
    room = MAX_STEP_BYTES
    for key, value in observation.items():
        if len(kept) == MAX_KEYS:
            break
        # The layouts of names are remembered, so that a name's length must be bounded first.
        name = keep_name(key)
        kept[name] = copy = _keep(name, value, room)
        if isinstance(copy, KeptArray):
            room -= copy.nbytes
    return kept, MAX_STEP_BYTES - room


def keep_name(name: str) -> str:
    """Returns a key or an id, or so much of a long one that it differs from others."""
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[:_MAX_NAME]}... ({hash(name) & 0xFFFFFF:06x})"


def _keep(key: str, value: Any, room: int) -> Kept:
    if isinstance(value, np.ndarray):
        return _keep_array(key, value, room)
    if isinstance(value, str):
        return KeptText(value[:_MAX_TEXT], len(value))
    return KeptScalar(value)


def _keep_array(key: str, array: Array, room: int) -> KeptArray:
    dtype = _name(array.dtype)
    layout = find_layout(key, array.shape, dtype)
    if layout is not None:
        view, step = layout.thin(array), layout.step
    elif array.size > _MAX_VALUES:
        step = -(-array.size // _MAX_VALUES)
        view = array.reshape(-1)[::step]
    else:
        view, step = array, 1
    # The order of the dimensions in memory is kept: to turn a CHW image costs far more.
    data = view.copy() if view.nbytes <= room else None
    return KeptArray(data, array.shape, dtype, step, layout)


# numpy makes it anew each time.
_name = functools.lru_cache(maxsize=64)(operator.attrgetter("name"))


def keep_action(action: Any, index: int, batch: int) -> KeptArray:
    """Returns a copy of one observation's part of an action: of a chunk the beginning.

    An action whose first dimension is not the batch goes to everybody as a whole.
    """
    array = np.asarray(action)
    row = array[index] if array.ndim and len(array) == batch else array
    shape = row.shape
    flat = row.reshape(math.prod(shape[:-1]), shape[-1]) if row.ndim > 2 else row
    part = flat[(slice(_MAX_SIDE_OF_ACTION),) * flat.ndim]
    return KeptArray(part.copy(), shape, _name(array.dtype))


def keep_kwargs(kwargs: Any) -> Any:
    """Returns a copy of the first of the policy_kwargs; where it ends there is "..."."""
    return _keep_plain(kwargs, [_MAX_KWARGS], _MAX_DEPTH)


def _keep_plain(value: Any, room: list[int], depth: int) -> Any:
    room[0] -= 1
    if room[0] < 0 or depth < 0:
        return "..."
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]}..."
    if isinstance(value, Mapping):
        mapping: dict[str, Any] = {}
        for key, each in value.items():
            mapping[str(key)[:_MAX_TEXT]] = _keep_plain(each, room, depth - 1)
            if room[0] < 0:
                break
        return mapping
    if isinstance(value, Sequence):
        items: list[Any] = []
        for each in value:
            items.append(_keep_plain(each, room, depth - 1))
            if room[0] < 0:
                break
        return items
    return value


def same(one: Kept | None, other: Kept) -> bool:
    """Whether two are the same array to the last bit, as far as they were kept; NaN is NaN."""
    if not (isinstance(one, KeptArray) and isinstance(other, KeptArray)):
        return False
    if one.data is None or other.data is None or not one.data.size:
        return False
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    first, second = one.data.reshape(-1), other.data.reshape(-1)
    glance = max(1, first.size // _GLANCE)
    if first[::glance].tobytes() != second[::glance].tobytes():
        return False
    return glance == 1 or np.array_equal(first.view(np.uint8), second.view(np.uint8))


def trace(kept: Mapping[str, Kept]) -> tuple[dict[str, slice], Array]:
    """Returns the numbers of which the course is shown, and which of them is which key's."""
    places: dict[str, slice] = {}
    numbers: list[float] = []
    for key, value in kept.items():
        if isinstance(value, KeptScalar):
            part = [value.value]
        elif isinstance(value, KeptArray) and value.data is not None and _is_state(value):
            part = value.data.reshape(-1).tolist()
        else:
            continue
        start = len(numbers)
        if start + len(part) > _MAX_TRACED:
            break
        numbers += part
        places[key] = slice(start, len(numbers))
    return places, np.array(numbers, np.float64)


def _is_state(value: KeptArray) -> bool:
    return value.layout is None and value.data is not None and 0 < value.data.size <= TRACED_SIZE
