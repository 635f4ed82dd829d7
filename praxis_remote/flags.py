# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Options that are on or off. What merely counts as true is mostly meant for another option."""

from __future__ import annotations

import numpy as np

from .errors import UnsupportedTypeError

__all__ = ["as_flag", "is_number"]


def as_flag(value: object, name: str, advice: str = "") -> bool:
    """Returns an option that is on or off.

    Args:
        value: What was given.
        name: Of the option.
        advice: What else may have been meant.

    Raises:
        UnsupportedTypeError: It is no bool.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise UnsupportedTypeError(
            f"{name}: {value!r}; pass True or False{advice and '; '}{advice}"
        )
    return bool(value)


def is_number(value: object) -> bool:
    """Returns whether something is a number, and not on or off."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
