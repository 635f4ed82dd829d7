# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Which client has an episode, and whether that client is connected.

A client is a session, which outlasts its connections; one that names none is its
connection. Nothing here does I/O: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Session", "Sessions"]


class Session:
    """A client that has episodes.

    Attributes:
        connections: On which it has called, and which are open.
        episodes: Those that it was the last to use, by their ids.
    """

    __slots__ = ("connections", "episodes", "key")

    def __init__(self, key: object) -> None:
        self.key = key
        self.connections: set[object] = set()
        self.episodes: set[str] = set()


class Sessions:
    """The clients that have episodes.

    An episode belongs to the one that used it last: so it may be handed over, and no more
    than that has to be remembered of it.

    Args:
        grace: Seconds for which a session without a connection may come back.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._sessions: dict[object, Session] = {}
        self._by_connection: dict[object, set[Session]] = {}
        self._owners: dict[str, Session] = {}
        # Until when they may come back. All have the same time, so the first is due first.
        self._gone: dict[Session, float] = {}

    def use(self, names: Iterable[str], key: object, connection: object) -> None:
        """Takes the news that a session calls, with these episodes."""
        session = self._sessions.get(key)
        for name in names:
            if session is None:
                session = self._sessions[key] = Session(key)
            owner = self._owners.get(name)
            if owner is not session:
                self.forget(name)
                self._owners[name] = session
                session.episodes.add(name)
        if session is not None and connection not in session.connections:
            session.connections.add(connection)
            self._by_connection.setdefault(connection, set()).add(session)
            self._gone.pop(session, None)

    def forget(self, name: str) -> None:
        """Forgets an episode, and a session that has no more of them."""
        session = self._owners.pop(name, None)
        if session is None:
            return
        session.episodes.discard(name)
        if not session.episodes:
            del self._sessions[session.key]
            self._gone.pop(session, None)
            for connection in session.connections:
                sessions = self._by_connection[connection]
                sessions.discard(session)
                if not sessions:
                    del self._by_connection[connection]

    def disconnected(self, connection: object, now: float) -> None:
        """Takes the news that a connection is closed."""
        for session in self._by_connection.pop(connection, ()):
            session.connections.discard(connection)
            if not session.connections:
                self.wait_for(session, now)

    def wait_for(self, session: Session, now: float) -> None:
        """Lets a session come back until the grace is over, from now on."""
        self._gone[session] = now + self._grace

    @property
    def next_due(self) -> float | None:
        """When the first of those that are waited for has not come back."""
        return next(iter(self._gone.values()), None)

    def gone(self, now: float) -> list[Session]:
        """Returns those that have not come back, once."""
        gone = []
        for session, due in self._gone.items():
            if due > now:
                break
            gone.append(session)
        for session in gone:
            del self._gone[session]
        return gone
