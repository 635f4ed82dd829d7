# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How long a policy that could work waits for more to work on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable


class Pause:
    """Expects those who were just answered to call again soon, and waits for them a little.

    Without it callers fall into two halves that take turns: who calls first after a
    batch is answered alone, and meanwhile the others pile up. A server on which nothing
    ran of late, or with one caller, expects nobody, and so never waits.

    Args:
        max_delay: Seconds; no longer than the last batch took either.
    """

    def __init__(self, max_delay: float) -> None:
        self._max_delay = max_delay
        self._expected: Counter[Hashable] = Counter()
        self._until = -math.inf

    def ended(self, callers: Iterable[Hashable], began: float, now: float) -> None:
        """Takes the news that a batch has ended, and whose calls were in it."""
        self._expected = Counter(callers)
        self._until = now + min(self._max_delay, now - began)

    def remaining(self, waiting: Iterable[Hashable], now: float) -> float:
        """Returns the seconds to wait for more callers than those who are waiting."""
        # The clock first: it mostly decides.
        if now >= self._until or not self._expected - Counter(waiting):
            return 0.0
        return self._until - now
