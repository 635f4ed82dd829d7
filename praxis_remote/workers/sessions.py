# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Which session is whose. Nothing here knows what a worker is."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["MAX_SESSIONS", "Sessions"]

MAX_SESSIONS = 65536
"""How many are remembered; of more, those that connected least recently are forgotten."""

# Names are the client's to make; a longer one is no session that is remembered.
_MAX_NAME = 256


class Sessions:
    """The worker of each session that has connected.

    Args:
        most: How many are remembered.
    """

    def __init__(self, most: int = MAX_SESSIONS) -> None:
        self._most = most
        self._homes: OrderedDict[bytes, int] = OrderedDict()

    def home(self, session: bytes | None) -> int | None:
        """Returns the worker of a session, if it has one."""
        return None if session is None else self._homes.get(session)

    def settle(self, session: bytes | None, worker: int) -> None:
        """Remembers that a session is with a worker, as the latest that has connected."""
        if session is None or len(session) > _MAX_NAME:
            return
        self._homes[session] = worker
        self._homes.move_to_end(session)
        if len(self._homes) > self._most:
            self._homes.popitem(last=False)

    def forget(self, worker: int) -> int:
        """Forgets those of a worker that is gone; returns how many they were."""
        gone = [session for session, home in self._homes.items() if home == worker]
        for session in gone:
            del self._homes[session]
        return len(gone)
