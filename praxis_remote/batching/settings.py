# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How a server joins calls."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

from ..errors import InvalidValueError
from ..flags import as_flag, is_number

DEFAULT_MAX_BATCH_DELAY = 0.005
"""Seconds that a policy may wait for those whose calls it has just answered."""


@dataclass(frozen=True)
class Batching:
    """How a server joins calls.

    Attributes:
        max_size: Observations that a joined call may have; 1 joins none.
        max_delay: Seconds that a batch which is not full may be held back.
        stacked: Whether the policy takes stacked batches.

    Raises:
        InvalidValueError: A size below 1, or a delay that is none.
        UnsupportedTypeError: ``stacked`` is no bool, such as the size of a batch.
    """

    max_size: int = 1
    max_delay: float = DEFAULT_MAX_BATCH_DELAY
    stacked: bool = False

    def __post_init__(self) -> None:
        try:
            size = operator.index(self.max_size)
        except TypeError:
            size = 0
        if size < 1 or isinstance(self.max_size, bool):
            raise InvalidValueError(
                f"max_batch_size: {self.max_size!r}; a whole number of observations, at least 1"
            )
        delay: object = self.max_delay
        if not (is_number(delay) and 0 <= self.max_delay < math.inf):
            raise InvalidValueError(f"max_batch_delay: {delay!r}; seconds, at least 0")
        as_flag(self.stacked, "batched", "how many is max_batch_size")

    @property
    def joins(self) -> bool:
        """Whether calls are joined at all."""
        return self.max_size > 1
