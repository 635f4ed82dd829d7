# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Keys and plain values as the wire has them: the rules both encoders share.

Knows Python and numpy scalars, and nothing of messages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import InvalidValueError, UnsupportedTypeError

MAX_DEPTH = 100
"""Messages may be nested this deep below the outermost; protobuf's own limit."""

# How deep a Value of policy_kwargs lies: in a map entry of the request. An item of
# a list lies two messages below the list's own Value (ValueList, Value), one of a
# mapping three (ValueStruct, its entry, Value).
KWARGS_DEPTH = 2
LIST_STEP = 2
STRUCT_STEP = 3

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

Plain = bool | int | float | str | None


def unique_items(mapping: Mapping[Any, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yields the items with their keys as text.

    Args:
        mapping: Any mapping. Its keys are kept exactly after ``str()``.
        name: What the mapping is, for the error.

    Raises:
        UnsupportedTypeError: It is no mapping.
        InvalidValueError: Two keys are the same text, or a key is no valid text.
    """
    if not hasattr(mapping, "items"):
        raise UnsupportedTypeError(f"{name}: a {type(mapping).__name__} is no mapping")
    seen = set()
    for key, value in mapping.items():
        text = str(key)
        if type(text) is not str or not text.isascii():
            text = check_text(text, f"a key of {name}")
        if text in seen:
            raise InvalidValueError(
                f"{name}: two keys are {text!r} as text; keys must differ after str()"
            )
        seen.add(text)
        yield text, value


def check_text(text: str, name: str) -> str:
    """Returns ``text`` as a plain str.

    Raises:
        InvalidValueError: It holds a lone surrogate, which UTF-8 cannot say.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValueError(
            f"{name}: {text!r} holds a lone surrogate at {error.start}, which is not valid Unicode"
        ) from error
    # str() would ask a subclass: a member of a str-based Enum answers with its name.
    return str.__str__(text)


def as_number(value: object, name: str) -> bool | int | float | None:
    """Returns a Python or numpy number as bool, int or float; None if it is none.

    Raises:
        InvalidValueError: An integer beyond int64.
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if type(value) is np.timedelta64:
        return None  # numpy derives it from signedinteger; its unit would be lost
    if isinstance(value, (int, np.integer)):
        number = int(value)
        if not _INT64_MIN <= number <= _INT64_MAX:
            raise InvalidValueError(
                f"{name}: {number} is beyond int64 ({_INT64_MIN} to {_INT64_MAX})"
            )
        return number
    if isinstance(value, (float, np.floating)):
        return float(value)
    return None


def as_plain(value: object, name: str) -> Plain:
    """Returns a leaf of policy_kwargs as None, bool, int, float or str.

    Raises:
        InvalidValueError: An integer beyond int64, or text that is not Unicode.
        UnsupportedTypeError: Anything else.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return check_text(value, name)
    number = as_number(value, name)
    if number is None:
        raise UnsupportedTypeError(
            f"{name}: {type(value).__name__} is not supported; supported: None, bool, int, "
            "float, str, numpy scalars, and sequences and mappings of these"
        )
    return number


def check_depth(depth: int, name: str) -> None:
    """Raises unless a message may lie ``depth`` messages below the outermost.

    Raises:
        InvalidValueError: No peer would parse it.
    """
    if depth > MAX_DEPTH:
        raise InvalidValueError(
            f"{name}: nested too deep; policy_kwargs may hold 49 lists in one another, "
            "or 32 mappings"
        )


def is_list(value: object) -> bool:
    """Tells whether a policy keyword argument is sent as a list."""
    return isinstance(value, Sequence) and not isinstance(
        value, (str, bytes, bytearray, memoryview)
    )


def as_batch(observations: object) -> list[Any]:
    """Returns a batch of observations as a list.

    Raises:
        UnsupportedTypeError: It is a single observation, or holds what is no mapping.
        InvalidValueError: It is empty.
    """
    if hasattr(observations, "items") or not isinstance(observations, Collection):
        raise UnsupportedTypeError(
            f"observations: a {type(observations).__name__} is no batch; "
            "pass a list of mappings, for one observation a list of one"
        )
    batch = list(observations)
    if not batch:
        raise InvalidValueError("observations: the batch is empty; at least one is needed")
    for index, observation in enumerate(batch):
        if not hasattr(observation, "items"):
            raise UnsupportedTypeError(
                f"observations[{index}]: a {type(observation).__name__} is no mapping; "
                "pass a list of mappings, for one observation a list of one"
            )
    return batch


def as_episode_ids(episode_ids: Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns episode ids as a tuple of text.

    Raises:
        UnsupportedTypeError: A single text, which would be taken letter by letter.
        InvalidValueError: An id is no valid text.
    """
    if episode_ids is None:
        return None
    if isinstance(episode_ids, (str, bytes)):
        raise UnsupportedTypeError(
            f"episode_ids: {episode_ids!r} is one text; pass a list of ids, [{episode_ids!r}]"
        )
    return tuple(
        check_text(str(item), f"episode_ids[{index}]") for index, item in enumerate(episode_ids)
    )


def check_episode_ids(episode_ids: Sequence[str] | None, batch: int) -> tuple[str, ...] | None:
    """Returns episode ids as a tuple of text, one for each observation.

    Raises:
        UnsupportedTypeError, InvalidValueError: As `as_episode_ids` does.
        InvalidValueError: There are more or fewer ids than observations.
    """
    ids = as_episode_ids(episode_ids)
    if ids is not None and len(ids) != batch:
        raise InvalidValueError(
            f"episode_ids: {len(ids)} ids for {batch} observations; "
            "send one for each observation, or none"
        )
    return ids
