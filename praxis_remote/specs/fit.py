# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Whether a request fits a spec: yes or no, in microseconds.

What is wrong with one that does not fit is for `problems` to say.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .spec import (
    FlagSpec,
    Kind,
    KwargSpec,
    NumberSpec,
    ObservationSpec,
    TensorSpec,
    TextSpec,
    ValueSpec,
)

__all__ = ["Fit", "Test", "shape_test_of", "sizes_of"]

Test: TypeAlias = Callable[[Any], bool]
_Row: TypeAlias = tuple[str, Test, bool]

_MISSING = object()

_TYPES_OF_KINDS: dict[Kind, tuple[type[Any], ...]] = {
    "flag": (bool,),
    "whole": (int,),
    "number": (int, float),
    "text": (str,),
    "list": (list,),
    "mapping": (dict,),
    "null": (type(None),),
}
"""What arrives for each kind. Exactly these: True is an int to ``isinstance``."""


def _types_of(spec: ValueSpec | KwargSpec) -> frozenset[type[Any]]:
    """Returns the types that may arrive for what a spec says."""
    if isinstance(spec, KwargSpec):
        return frozenset(each for kind in spec.kinds for each in _TYPES_OF_KINDS[kind])
    if isinstance(spec, NumberSpec):
        return frozenset([int] if spec.whole else [int, float])
    return frozenset([{TensorSpec: np.ndarray, TextSpec: str, FlagSpec: bool}[type(spec)]])


class Fit:
    """A spec that has been made ready to look at many requests.

    Args:
        spec: What is expected.

    Attributes:
        tests: What tells whether a key holds what it shall.
        kwarg_tests: The same of ``policy_kwargs``.
        shared: The names that several dimensions have, and where; see `shared_sizes`.
    """

    def __init__(self, spec: ObservationSpec) -> None:
        self.spec = spec
        self.tests = {key: value_test_of(each) for key, each in spec.keys.items()}
        self.kwarg_tests = {key: value_test_of(each) for key, each in spec.policy_kwargs.items()}
        self.shared = shared_sizes(spec)
        self._rows = _rows(self.tests, spec.keys)
        self._kwarg_rows = _rows(self.kwarg_tests, spec.policy_kwargs)

    def __call__(
        self, observations: Sequence[Mapping[str, Any]], policy_kwargs: Mapping[str, Any]
    ) -> bool:
        """Tells whether a request fits, as it has arrived."""
        rows, closed, shared = self._rows, not self.spec.extra_keys, self.shared
        for observation in observations:
            if not _passes(observation, rows, closed):
                return False
            for places in shared.values():
                if len(sizes_of(observation, places)) > 1:
                    return False
        return _passes(policy_kwargs, self._kwarg_rows, not self.spec.extra_policy_kwargs)


def shared_sizes(spec: ObservationSpec) -> dict[str, list[tuple[str, int]]]:
    """Returns the names that several dimensions have, and where: keys, and places from the end."""
    places: dict[str, list[tuple[str, int]]] = {}
    for key, value in spec.keys.items():
        shape = value.shape if isinstance(value, TensorSpec) else ()
        for place, size in enumerate(shape):
            if isinstance(size, str):
                places.setdefault(size, []).append((key, place - len(shape)))
    return {name: found for name, found in places.items() if len(found) > 1}


def sizes_of(observation: Mapping[str, Any], places: Sequence[tuple[str, int]]) -> set[int]:
    """Returns the sizes that the dimensions of one name have in an observation."""
    return {observation[key].shape[place] for key, place in places if key in observation}


def _rows(
    tests: Mapping[str, Test], keys: Mapping[str, ValueSpec] | Mapping[str, KwargSpec]
) -> list[_Row]:
    return [(key, test, keys[key].required) for key, test in tests.items()]


def _passes(mapping: Mapping[str, Any], rows: Sequence[_Row], closed: bool) -> bool:
    known = 0
    for key, test, required in rows:
        value = mapping.get(key, _MISSING)
        if value is _MISSING:
            if required:
                return False
        elif test(value):
            known += 1
        else:
            return False
    return not closed or known == len(mapping)


def value_test_of(spec: ValueSpec | KwargSpec) -> Test:
    """Returns what tells whether a value is what a spec says."""
    types = _types_of(spec)
    if not isinstance(spec, TensorSpec):
        return lambda value: type(value) in types
    dtypes, fits = frozenset(map(np.dtype, spec.dtypes)), shape_test_of(spec)
    return lambda value: type(value) is np.ndarray and value.dtype in dtypes and fits(value.shape)


def shape_test_of(spec: TensorSpec) -> Test:
    """Returns what tells whether a shape is what a spec says, but for names that it has twice."""
    leading = spec.shape[:1] == (...,)
    sizes = spec.shape[leading:]
    count = len(sizes)
    # From the end, where dimensions in front may be any.
    fixed = {place - count: size for place, size in enumerate(sizes) if isinstance(size, int)}
    if len(fixed) == count and not leading:
        return lambda shape: bool(shape == sizes)
    enough = operator.ge if leading else operator.eq
    if not fixed:
        return lambda shape: bool(enough(len(shape), count))
    pick = operator.itemgetter(*fixed)
    wanted: Any = tuple(fixed.values()) if len(fixed) > 1 else next(iter(fixed.values()))
    return lambda shape: bool(enough(len(shape), count) and pick(shape) == wanted)
