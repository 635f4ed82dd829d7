# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What to do about a value that is not what a spec says, where that can be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice, permutations
from typing import Any

import numpy as np

from .fit import shape_test_of
from .spec import FlagSpec, KwargSpec, NumberSpec, TensorSpec, ValueSpec

__all__ = ["hint_for", "hint_for_missing"]

# Of a caller's keys: so many are compared with one that is missing, and none that is longer.
_MOST_KEYS, _LONGEST_KEY = 16, 80

# All orders of five dimensions; of more, some.
_MOST_ORDERS = 120

_ORDERS: dict[tuple[int, ...], str] = {
    (1, 2, 0): "CHW where HWC is expected",
    (2, 0, 1): "HWC where CHW is expected",
}

_SCALES = {
    ("uint8", "float"): ", and / 255 if the policy wants 0 to 1",
    ("float", "uint8"): ", after * 255 if it is 0 to 1",
}


def hint_for_missing(key: str, others: Iterable[str]) -> str:
    """Returns which other key may have been meant.

    Args:
        key: The one that is missing.
        others: Those that are there and that the spec does not know.
    """
    candidates = [other for other in islice(others, _MOST_KEYS) if len(other) <= _LONGEST_KEY]
    ending = key.rpartition(".")[2].casefold()
    near = [other for other in candidates if other.rpartition(".")[2].casefold() == ending]
    near = near or get_close_matches(key[:_LONGEST_KEY], candidates, 1)
    return f"there is {near[0]!r}" if near else ""


def hint_for(spec: ValueSpec | KwargSpec, value: object) -> str:
    """Returns what to do about a value."""
    if isinstance(value, np.ndarray):
        if isinstance(spec, TensorSpec):
            return "; ".join([*_hint_for_dtype(spec, value), *_hint_for_shape(spec, value.shape)])
        if isinstance(spec, (NumberSpec, FlagSpec)) and value.size == 1:
            return "an array is none: x.item()"
    elif isinstance(spec, TensorSpec) and isinstance(value, (bool, int, float)):
        return f"make it an array: np.array(x, {spec.dtypes[0]!r})"
    return ""


def _hint_for_dtype(spec: TensorSpec, value: Any) -> Iterator[str]:
    got = value.dtype.name
    if got in spec.dtypes:
        return
    wanted = spec.dtypes[0]
    scale = _SCALES.get((_family(got), _family(wanted)), "")
    yield f"x.astype({wanted!r}){scale}"


def _family(dtype: str) -> str:
    return "float" if dtype.startswith("float") else dtype


def _hint_for_shape(spec: TensorSpec, shape: tuple[int, ...]) -> Iterator[str]:
    fits = shape_test_of(spec)
    if fits(shape):
        return
    if order := _find_order(spec, shape):
        meaning = _ORDERS.get(order, "the same sizes in another order")
        yield f"{meaning}: x.transpose{order}"
    elif shape and fits(shape[1:]):
        yield "one dimension too many, perhaps a batch: each observation has its own, x[i]"
    elif fits((1, *shape)):
        yield "one dimension too few in front: x[None]"


def _find_order(spec: TensorSpec, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    fits = shape_test_of(spec)
    usual = [order for order in _ORDERS if len(shape) == len(order)]
    orders = (*usual, *islice(permutations(range(len(shape))), _MOST_ORDERS))
    for order in orders:
        if fits(tuple(shape[place] for place in order)):
            return order
    return None
