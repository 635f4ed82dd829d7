# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A batch of observations as one array for each key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InvalidValueError
from ..memory import Stock
from ..types import Array, Observation
from .likeness import Kind, kind_of

# What devices map and lock.
_PAGE = 4096

# Within a page: what a processor's widest instructions want.
_LINE = 64


class StackedObservations(dict[str, "Array | list[str]"]):
    """A batch: for each key one array with a leading batch dimension, or a list of texts.

    Numbers are arrays of bool, int64 or float64, of shape (batch,). All arrays lie in one
    piece of memory, each on a page of its own unless it is smaller than one.

    Attributes:
        batch_size: How many observations there are.
        buffer: The memory of all arrays, of uint8, from a page's begin: one copy brings the
            whole batch to a device. What is between the arrays means nothing.
    """

    batch_size: int
    buffer: Array

    def __missing__(self, key: object) -> Array:
        """Says what there is instead: with a number, how a list of observations was meant."""
        if isinstance(key, (int, slice)):
            raise TypeError(
                f"observations[{key!r}]: with batched there is no list of observations but one "
                "array for each key, such as observations['observation.state'][0]"
            )
        raise KeyError(key)


class Stacker:
    """Gathers batches, each value with one copy, into memory that is used again.

    A policy may keep what it gets for as long as it likes: memory is used again when
    nothing refers to it.
    """

    def __init__(self) -> None:
        self._stock = Stock(_PAGE)

    def stack(self, observations: Sequence[Observation]) -> StackedObservations:
        """Returns a batch as one array for each key.

        Raises:
            InvalidValueError: The observations are not alike.
        """
        arrays = _columns(observations)
        # Where each begins, and where the last one ends.
        places, end = [], 0
        for column in arrays.values():
            size = column[0].nbytes * len(column)
            end = _round(end, _PAGE if size >= _PAGE else _LINE)
            places.append(end)
            end += size
        memory = self._stock.take(_round(end, _PAGE))
        stacked = StackedObservations()
        stacked.batch_size, stacked.buffer = len(observations), np.ndarray(end, np.uint8, memory)
        for (key, column), place in zip(arrays.items(), places, strict=True):
            first = column[0]
            array: Array = np.ndarray((len(column), *first.shape), first.dtype, memory, place)
            for row, item in enumerate(column):
                array[row] = item
            stacked[key] = array
        for key, value in observations[0].items():
            if isinstance(value, str):
                stacked[key] = [str(o[key]) for o in observations]
        return stacked


def _columns(observations: Sequence[Observation]) -> dict[str, list[Array]]:
    """Returns what is to be stacked, key by key."""
    kinds = {key: kind_of(value) for key, value in observations[0].items()}
    for index, observation in enumerate(observations[1:], 1):
        _check_alike(kinds, observation, index)
    return {
        key: [np.asarray(o[key]) for o in observations]
        for key, value in observations[0].items()
        if not isinstance(value, str)
    }


def _check_alike(kinds: dict[str, Kind], observation: Observation, index: int) -> None:
    if kinds.keys() != observation.keys():
        missing, more = kinds.keys() - observation.keys(), observation.keys() - kinds.keys()
        what = [f"lacks {', '.join(map(repr, sorted(missing)))}"] * bool(missing)
        what += [f"has {', '.join(map(repr, sorted(more)))} besides"] * bool(more)
        raise InvalidValueError(
            f"observations[{index}]: {' and '.join(what)}, unlike observations[0]; {_WHY}"
        )
    for key, value in observation.items():
        if kinds[key] != (kind := kind_of(value)):
            raise InvalidValueError(
                f"observations[{index}][{key!r}]: {_describe(kind)}, but {_describe(kinds[key])} "
                f"in observations[0]; {_WHY}"
            )


_WHY = "this policy takes stacked batches, in which all observations are alike"


def _describe(kind: Kind) -> str:
    if len(kind) == 1:
        return f"a {kind[0]}"
    return f"{np.dtype(str(kind[0])).name} of shape {kind[1]}"


def _round(size: int, unit: int) -> int:
    return -(-size // unit) * unit
