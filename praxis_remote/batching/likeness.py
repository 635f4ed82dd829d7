# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What has to be the same for observations to be handed to a policy together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ..types import Observation

Kind: TypeAlias = tuple[Hashable, ...]
"""Type, and of an array dtype and shape."""


def likeness(
    observations: Sequence[Observation], policy_kwargs: Mapping[str, object], *, named: bool
) -> Hashable | None:
    """Returns what is equal for requests that may be joined; None for one that may not be.

    Args:
        observations: Its batch. Where these differ from one another, it stays alone.
        policy_kwargs: Its options.
        named: Whether it has episode ids.
    """
    kinds = {frozenset((key, kind_of(value)) for key, value in o.items()) for o in observations}
    if len(kinds) != 1:
        return None
    return named, kinds.pop(), _freeze(policy_kwargs)


def kind_of(value: object) -> Kind:
    """Returns what two values of one key share if they can be stacked."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape
    return (type(value).__name__,)


def _freeze(value: object) -> Hashable:
    """Returns what is equal for the same options only: 1, 1.0 and True are not."""
    if isinstance(value, Mapping):
        return frozenset((key, _freeze(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_freeze, value))
    # The text, since no NaN equals another, and -0.0 equals 0.0.
    return type(value), repr(value)
