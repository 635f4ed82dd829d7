# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a caller has, in the form in which a policy gets it, without sending it.

Types and shapes are those that would arrive. The content of arrays is not looked at,
and not copied.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array, ObservationLike
from ..values import as_number, check_text, is_list, unique_items

__all__ = ["Unsendable", "as_arrived", "kwargs_as_arrived"]


class Unsendable:
    """Stands for a value that has no form on the wire.

    Args:
        value: The value.
    """

    def __init__(self, value: object) -> None:
        self._type = "None" if value is None else type(value).__name__

    def __str__(self) -> str:
        return self._type


def as_arrived(observation: ObservationLike, name: str) -> dict[str, Any]:
    """Returns an observation as it would arrive.

    Args:
        observation: What a caller would send.
        name: What it is, for the error.

    Raises:
        UnsupportedTypeError: It is no mapping.
        InvalidValueError: Keys collide, an integer is beyond int64, or a text is no Unicode.
    """
    return {
        key: _arrive(value, f"{name}[{key!r}]") for key, value in unique_items(observation, name)
    }


def _arrive(value: object, name: str) -> object:
    if isinstance(value, str):
        return check_text(value, name)
    if type(value) is not np.ndarray:
        number = as_number(value, name)
        if number is not None:
            return number
        try:
            array: Array = np.asarray(value)
        except Exception:  # of whatever class has the method that numpy calls
            return Unsendable(value)
        if array.dtype.kind in "OSUV":
            return Unsendable(value)
        value = array
    # The numbers are other ones in the other order of bytes; nobody looks at them.
    return value if value.dtype.isnative else value.view(value.dtype.newbyteorder("="))


def kwargs_as_arrived(policy_kwargs: Any) -> dict[str, Any]:
    """Returns ``policy_kwargs`` as they would arrive, lists and mappings without content.

    Raises:
        UnsupportedTypeError: They are no mapping.
        InvalidValueError: Keys collide, an integer is beyond int64, or a text is no Unicode.
    """
    items = unique_items(policy_kwargs or {}, "policy_kwargs")
    return {key: _arrive_kwarg(value, f"policy_kwargs[{key!r}]") for key, value in items}


def _arrive_kwarg(value: object, name: str) -> object:
    if value is None:
        return None
    if isinstance(value, str):
        return check_text(value, name)
    if hasattr(value, "items"):
        return {}
    if is_list(value):
        return []
    number = as_number(value, name)
    return Unsendable(value) if number is None else number
