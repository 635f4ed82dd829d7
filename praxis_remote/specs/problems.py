# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""All that is wrong with a request that does not fit a spec, as one text.

Both sides make it of what they have, so that a client's is the server's. It tells types and
shapes, never what a text says or an array holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from .fit import Fit, Test, sizes_of
from .hints import hint_for, hint_for_missing
from .spec import KwargSpec, ValueSpec, cut

__all__ = ["Problem", "explain"]

# What is found is kept, told and counted up to these.
_MOST_FOUND = 1000
# A status has room for 4096 characters after they were quoted, see `calls.encode_status`.
_MOST_TEXT = 3800
_MOST_OF_VALUE = 200
_UNQUOTED = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

_SHOWN: dict[type[Any], str] = {
    str: "text",
    bool: "flag",
    int: "whole number",
    float: "number",
    list: "list",
    dict: "mapping",
    type(None): "null",
}


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        observation: Its index; None for one of ``policy_kwargs``.
        key: Where it is.
        got: What came.
        expected: What should have.
        advise: Returns what to do, or "". Looked for only where it is told.
    """

    observation: int | None
    key: str
    got: str
    expected: str
    advise: Callable[[], str]


def explain(
    fit: Fit, observations: Sequence[Mapping[str, Any]], policy_kwargs: Mapping[str, Any]
) -> str:
    """Returns what is wrong with a request, as it has arrived; "" if it fits.

    What is wrong with several observations in the same way is told once. There is no more
    text than a status has room for; the rest is counted.
    """
    found = list(islice(_find_all(fit, observations, policy_kwargs), _MOST_FOUND + 1))
    groups: dict[tuple[bool, str, str, str], list[Problem]] = {}
    for problem in found[:_MOST_FOUND]:
        same = (problem.observation is None, problem.key, problem.got, problem.expected)
        groups.setdefault(same, []).append(problem)
    return _join(list(groups.values()), more=len(found) > _MOST_FOUND) if found else ""


def _join(groups: Sequence[Sequence[Problem]], *, more: bool) -> str:
    start = "the request is not what the policy expects"
    if len(groups) == 1 and not more:
        return f"{start}: {_tell(groups[0])}"
    least = "more than " if more else ""
    text = f"{start}, in {least}{len(groups)} ways:"
    room = _MOST_TEXT - len(text)
    for number, group in enumerate(groups, 1):
        line = f"\n{number}. {_tell(group)}"
        room -= len(quote(line, safe=_UNQUOTED))
        if room < 0:
            return f"{text}\n... and {least}{len(groups) - number + 1} more"
        text += line
    return text


def _tell(group: Sequence[Problem]) -> str:
    """Returns what is wrong in the same way with several."""
    _, key, got, expected, advise = group[0]
    indices = [each.observation for each in group if each.observation is not None]
    where = f"observations[{_ranges(indices)}]" if indices else "policy_kwargs"
    text = f"{where}[{cut(key)!r}]: got {got}, expected {expected}"
    return f"{text}; hint: {advice}" if (advice := advise()) else text


def _ranges(indices: Sequence[int]) -> str:
    """Returns ascending numbers as ``0-3, 7``."""
    spans: list[list[int]] = []
    for index in indices:
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    return cut(", ".join(texts), _MOST_OF_VALUE)


def _find_all(
    fit: Fit, observations: Sequence[Mapping[str, Any]], policy_kwargs: Mapping[str, Any]
) -> Iterator[Problem]:
    spec = fit.spec
    for index, observation in enumerate(observations):
        yield from _find(index, observation, spec.keys, fit.tests, spec.extra_keys)
        yield from _find_unequal(index, observation, fit)
    yield from _find(
        None, policy_kwargs, spec.policy_kwargs, fit.kwarg_tests, spec.extra_policy_kwargs
    )


def _find(
    index: int | None,
    given: Mapping[str, Any],
    keys: Mapping[str, ValueSpec] | Mapping[str, KwargSpec],
    tests: Mapping[str, Test],
    extra: bool,
) -> Iterator[Problem]:
    for key, spec in keys.items():
        if key not in given:
            if spec.required:
                advise = partial(_advise_for_missing, key, given, keys)
                yield Problem(index, key, "nothing", str(spec), advise)
        elif not tests[key](given[key]):
            advise = partial(hint_for, spec, given[key])
            yield Problem(index, key, show(given[key]), str(spec), advise)
    if not extra:
        for key, value in given.items():
            if key not in keys:
                yield Problem(index, key, show(value), "no such key", str)


def _advise_for_missing(key: str, given: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    return hint_for_missing(key, (other for other in given if other not in keys))


def _find_unequal(index: int, observation: Mapping[str, Any], fit: Fit) -> Iterator[Problem]:
    """Yields the dimensions that have one name, and not one size."""
    for name, places in fit.shared.items():
        # Those that are no such arrays are told of already.
        fitting = [
            (key, place)
            for key, place in places
            if key in observation and fit.tests[key](observation[key])
        ]
        if len(sizes_of(observation, fitting)) > 1:
            first, place = fitting[0]
            size = observation[first].shape[place]
            for key, place in fitting:
                if (found := observation[key].shape[place]) != size:
                    got = f"{show(observation[key])} with {name} = {found}"
                    expected = f"{fit.spec.keys[key]} with {name} = {size} as in {first!r}"
                    yield Problem(index, key, got, expected, str)


def show(value: object) -> str:
    """Returns what a value is, without what it says."""
    if isinstance(value, np.ndarray):
        return cut(f"{value.dtype.name} {value.shape}", _MOST_OF_VALUE)
    return cut(_SHOWN.get(type(value)) or str(value), _MOST_OF_VALUE)
