# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One action of the actions for parts of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import HandlerError
from ..types import Array

__all__ = ["Part", "merge"]


class Part(NamedTuple):
    """The action for some rows of a batch.

    Attributes:
        rows: Their places in the batch.
        action: One row for each of them.
        source: Who returned it.
    """

    rows: Sequence[int]
    action: Array
    source: str


def merge(parts: Sequence[Part]) -> Array:
    """Returns the action for the whole batch, in its order.

    Args:
        parts: At least one; every row of the batch is in one of them.

    Raises:
        HandlerError: An action has not one row for each observation, or they differ in
            dtype or in the shape of a row.
    """
    for part in parts:
        _check_rows(part)
    first = parts[0]
    for part in parts[1:]:
        if (part.action.dtype, part.action.shape[1:]) != (
            first.action.dtype,
            first.action.shape[1:],
        ):
            raise HandlerError(
                f"the actions of a batch that was split differ: {_describe(part)}, and "
                f"{_describe(first)}; rows of one dtype and shape are needed"
            )
    size = sum(len(part.rows) for part in parts)
    merged = np.empty((size, *first.action.shape[1:]), first.action.dtype)
    for part in parts:
        merged[list(part.rows)] = part.action
    return merged


def _check_rows(part: Part) -> None:
    shape = part.action.shape
    if not shape or shape[0] != len(part.rows):
        raise HandlerError(
            f"{_describe(part)} for {len(part.rows)} of a batch that was split by episode; one "
            "row for each observation is needed, or send such batches without episode ids"
        )


def _describe(part: Part) -> str:
    return f"{part.source} returned {part.action.dtype} of shape {part.action.shape}"
