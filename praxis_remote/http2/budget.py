# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How much memory messages may take: of one connection, and of all together.

A message is counted from the moment when its size is known until its call has ended.
"""

from __future__ import annotations

from ..errors import ResourceExhaustedError

__all__ = ["Account", "Budget"]


class Budget:
    """What all accounts share.

    Args:
        limit: Bytes, for all of them.
        account_limit: Bytes, for each of them.
    """

    def __init__(self, limit: int, account_limit: int) -> None:
        self.limit = limit
        self.account_limit = account_limit
        self.used = 0


class Account:
    """What the messages of one connection take.

    Attributes:
        used: Bytes.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.used = 0

    def fits(self, size: int) -> bool:
        """Tells whether there is room for so many bytes more among all accounts."""
        return self._budget.used + size <= self._budget.limit

    def allows(self, size: int) -> bool:
        """Tells whether this account may take so many bytes more, if there is room."""
        return self.used + size <= self._budget.account_limit

    def check(self, size: int) -> None:
        """Looks whether this account may take so many bytes more, if there is room.

        Raises:
            ResourceExhaustedError: They are too many for one.
        """
        if not self.allows(size):
            raise ResourceExhaustedError(
                f"messages of {self.used + size} bytes on one connection; "
                f"allowed: {self._budget.account_limit}; use more connections, or fewer calls "
                "at once"
            )

    def take(self, size: int) -> None:
        """Counts so many bytes more.

        Raises:
            ResourceExhaustedError: They are too many; nothing was counted.
        """
        self.check(size)
        if not self.fits(size):
            raise ResourceExhaustedError(
                f"messages of {self._budget.used + size} bytes on all connections; "
                f"allowed: {self._budget.limit}; try again later"
            )
        self.used += size
        self._budget.used += size

    def give_back(self, size: int) -> None:
        """Counts so many bytes less."""
        self.used -= size
        self._budget.used -= size
