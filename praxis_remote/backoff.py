# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The pauses between tries. Nothing here waits, or knows what is tried."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0

# The system's, of which forked workers have no copy, and whose draws are not the program's.
_chance = random.SystemRandom().random


class Backoff:
    """Pauses of which each is twice the one before, less up to a half left to chance.

    Chance keeps those who failed together from coming back together.

    Args:
        first: Seconds.
        longest: Seconds.
        chance: Returns a number from 0 to 1.
    """

    def __init__(
        self,
        first: float = FIRST_PAUSE,
        longest: float = LONGEST_PAUSE,
        chance: Callable[[], float] = _chance,
    ) -> None:
        self._first = self._pause = first
        self._longest = longest
        self._chance = chance

    def next(self) -> float:
        """Returns the next pause in seconds."""
        pause = self._pause * (1 - self._chance() / 2)
        self._pause = min(2 * self._pause, self._longest)
        return pause

    def reset(self) -> None:
        """Begins with the first pause again."""
        self._pause = self._first
