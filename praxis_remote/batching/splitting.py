# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The action of joined calls, to each its rows."""

from __future__ import annotations

from collections.abc import Sequence

from ..tensors import as_wire_array
from ..types import Array


class NotABatchError(Exception):
    """An action that does not have a row for each observation."""


def check_rows(action: object, rows: int) -> Array:
    """Returns an action as an array, after a look at its first dimension.

    Args:
        action: What the policy returned.
        rows: Observations that it was given.

    Raises:
        NotABatchError: There is not one row for each.
        TypeError: It is no array of a supported dtype.
    """
    array = as_wire_array(action, "action")[0]
    if array.shape[:1] != (rows,):
        raise NotABatchError(
            f"action: its shape is {array.shape} for {rows} observation{'s'[: rows != 1]}; with "
            f"max_batch_size above 1 the policy has to return one row for each observation, "
            f"shape ({rows}, ...)"
        )
    return array


def split(action: Array, sizes: Sequence[int]) -> list[Array]:
    """Returns each caller's rows, as views.

    Args:
        action: One row for each observation.
        sizes: How many observations each caller sent.
    """
    parts, start = [], 0
    for size in sizes:
        parts.append(action[start : start + size])
        start += size
    return parts
