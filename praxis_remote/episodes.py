# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Which episodes are over: not used for long, their client gone, or too many.

Nothing here does I/O: the time is an argument, and who asks acts (`eviction`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .errors import InvalidArgumentError
from .sessions import Sessions

__all__ = ["MAX_ID", "REASONS", "Episodes", "Reason"]

Reason = Literal["unused", "disconnected", "too_many"]

REASONS: dict[Reason, str] = {
    "unused": "not used for long enough",
    "disconnected": "their client gone",
    "too_many": "the longest unused of too many",
}
"""Why an episode is ended, and what is said of it."""

MAX_ID = 1024
"""Characters of an id: what is remembered of an episode shall be small."""


class Episodes:
    """The episodes of which a policy may remember something.

    `take` may be called in any thread, everything else in one.

    Args:
        ttl: Seconds after its last call until an episode is over; None for never.
        most: Episodes that are remembered. Beyond them the one that was not used for
            longest is over; those that are being used are not counted out.
        sessions: Whose disconnecting ends episodes; None if nobody's does.
    """

    def __init__(self, ttl: float | None, most: int, sessions: Sessions | None = None) -> None:
        self._ttl = ttl
        self._most = most
        self._sessions = sessions
        # How many calls wait or run; and when the last one ended, the longest ago first.
        self._busy: dict[str, int] = {}
        self._idle: dict[str, float] = {}
        # Of these, those that the policy has most likely not heard of.
        self._new: set[str] = set()
        # Each step of a dict is one for all threads: an episode is taken or used, never both.
        self._over: dict[str, Reason] = {}

    def __len__(self) -> int:
        return len(self._busy) + len(self._idle)

    def begin(self, names: Sequence[str], key: object, connection: object) -> None:
        """Takes the news that a call has come.

        Args:
            names: The ids of its episodes.
            key: What stands for the client.
            connection: On which it came.

        Raises:
            InvalidArgumentError: An id is longer than may be remembered.
        """
        for index, name in enumerate(names):
            if len(name) > MAX_ID:
                raise InvalidArgumentError(
                    f"episode_ids[{index}]: {len(name)} characters; at most {MAX_ID} are allowed "
                    "by a server that ends episodes by itself"
                )
        for name in names:
            # Whoever was first has it: the thread that ends it, or this call.
            known = self._over.pop(name, None) or self._idle.pop(name, None) is not None
            calls = self._busy.get(name, 0)
            if not (known or calls):
                self._new.add(name)
            self._busy[name] = calls + 1
        if self._sessions is not None:
            self._sessions.use(names, key, connection)

    def end(
        self, names: Sequence[str], now: float, *, ran: bool = True, forgotten: bool = False
    ) -> None:
        """Takes the news that such a call has ended.

        Args:
            names: The ids of its episodes.
            now: When.
            ran: Whether the policy has begun on it.
            forgotten: Whether the policy has forgotten them.
        """
        for name in names:
            calls = self._busy.pop(name) - 1
            if ran or forgotten:
                self._new.discard(name)
            if calls:
                self._busy[name] = calls
            elif not forgotten:
                self._idle[name] = now
            elif self._sessions is not None:
                self._sessions.forget(name)
        while self._idle and len(self) > self._most:
            self._end(next(iter(self._idle)), "too_many")

    def forget_all(self) -> None:
        """Takes the news that the policy has forgotten everything."""
        # What is busy came after that.
        self._new.intersection_update(self._busy)
        if self._sessions is not None:
            for name in self._idle:
                self._sessions.forget(name)
        self._idle.clear()
        self._over.clear()

    def disconnected(self, connection: object, now: float) -> None:
        """Takes the news that a connection is closed."""
        if self._sessions is not None:
            self._sessions.disconnected(connection, now)

    @property
    def next_due(self) -> float | None:
        """When to `look` next; None if there is nothing to wait for."""
        due = None if self._sessions is None else self._sessions.next_due
        if self._ttl is not None and self._idle:
            unused = next(iter(self._idle.values())) + self._ttl
            due = unused if due is None else min(due, unused)
        return due

    def look(self, now: float) -> None:
        """Finds those that are over."""
        if self._ttl is not None:
            while self._idle:
                name, since = next(iter(self._idle.items()))
                if since + self._ttl > now:
                    break
                self._end(name, "unused")
        if self._sessions is not None:
            self._look_for_gone(self._sessions, now)

    def _look_for_gone(self, sessions: Sessions, now: float) -> None:
        for session in sessions.gone(now):
            for name in [name for name in session.episodes if name in self._idle]:
                self._end(name, "disconnected")
            if session.episodes:
                # Somebody else's calls with them still run.
                sessions.wait_for(session, now)

    def _end(self, name: str, reason: Reason) -> None:
        del self._idle[name]
        if self._sessions is not None:
            self._sessions.forget(name)
        new = name in self._new
        self._new.discard(name)
        # While the policy hangs, nobody takes them. Calls that are given up meanwhile shall not
        # make them more and more.
        if not (new and len(self._over) >= self._most):
            self._over[name] = reason

    @property
    def any_over(self) -> bool:
        """Whether the policy has to be told of any."""
        return bool(self._over)

    def take(self) -> dict[str, Reason]:
        """Returns those that are over, once. A call that comes later is a new beginning."""
        taken: dict[str, Reason] = {}
        while self._over:
            try:
                name, reason = self._over.popitem()
            except KeyError:  # a call came for the last one meanwhile
                break
            taken[name] = reason
        return taken
