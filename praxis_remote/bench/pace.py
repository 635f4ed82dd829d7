# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""When the calls of one client are due: arithmetic, without a clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Pace"]


@dataclass(frozen=True)
class Pace:
    """The calls of one client among several, who take turns.

    With a rate the loop is open: call ``n`` of all is due at ``n / rate`` whatever became
    of those before. A call that begins late because the one before took long is late by
    the server's doing, and its latency counts from when it was due; otherwise a server
    that stalls would be measured least while it stalls ("coordinated omission").

    Attributes:
        index: Which of the clients this is.
        clients: How many there are.
        calls: How many calls all of them make together; None for no limit.
        duration: For how many seconds calls begin; None for no limit.
        rate: How many calls of all are due each second; None for each client's as soon
            as the one before has ended.
    """

    index: int
    clients: int
    calls: int | None
    duration: float | None
    rate: float | None

    def due(self, number: int, now: float) -> float | None:
        """Returns when a call of this client is due, in seconds from the beginning.

        Args:
            number: How many calls of this client came before.
            now: Seconds since the beginning.

        Returns:
            The time, which may be over; None if the call is not to be made.
        """
        turn = self.index + number * self.clients
        if turn >= self._turns or (self.duration is not None and now >= self.duration):
            return None
        return now if self.rate is None else turn / self.rate

    def left(self, number: int) -> int:
        """Returns how many calls were due and are not made, as the duration was over before.

        Args:
            number: How many calls this client made.
        """
        if self.rate is None or self.duration is None:
            return 0
        return max(0, math.ceil((self._turns - self.index) / self.clients) - number)

    @property
    def _turns(self) -> float:
        """How many calls all clients are to make together."""
        turns = math.inf if self.calls is None else self.calls
        if self.rate is not None and self.duration is not None:
            turns = min(turns, math.ceil(self.rate * self.duration))
        return turns
