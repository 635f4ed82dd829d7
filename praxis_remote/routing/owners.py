# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Who has which episode. Knows neither calls nor connections; the time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Key", "Owners"]

Key: TypeAlias = tuple[Hashable, "str | None"]
"""A session and its episode; episodes of different sessions may have the same id. None: calls
of the session that name no episode."""

# Episodes that are remembered at once, some 300 bytes each: callers make up the ids.
_MOST = 2**17


@dataclass
class _Load:
    """The episodes of one owner: all, and those among them that were not reset since."""

    placed: int = 0
    active: int = 0


@dataclass
class _Place:
    owner: str
    seen: float
    active: bool = False


@dataclass
class Owners:
    """Gives each episode to the owner with the fewest, and remembers it.

    Args:
        ttl: Seconds after which an episode that was not seen is forgotten.
        most: Episodes that are remembered; beyond it, the one not seen for longest is not.
    """

    ttl: float
    most: int = _MOST
    _places: OrderedDict[Key, _Place] = field(default_factory=OrderedDict)
    _loads: dict[str, _Load] = field(default_factory=dict)

    def add(self, owner: str) -> None:
        """Takes an owner, which is to have its share of what comes."""
        self._loads.setdefault(owner, _Load())

    def remove(self, owner: str) -> None:
        """Drops an owner; its episodes get new ones when they are seen next."""
        if self._loads.pop(owner, None) is not None:
            for key in [key for key, place in self._places.items() if place.owner == owner]:
                del self._places[key]

    def find(self, key: Key, now: float) -> str | None:
        """Returns the owner of an episode, which is used; None if there are no owners."""
        self._expire(now)
        place = self._places.get(key)
        if place is None:
            owner = min(
                self._loads,
                key=lambda name: (self._loads[name].active, self._loads[name].placed),
                default=None,
            )
            if owner is None:
                return None
            place = self._put(key, owner, now)
        self._touch(key, place, now)
        self._activate(place, True)
        return place.owner

    def begin_anew(self, key: Key, now: float) -> tuple[str, ...]:
        """Returns who is to reset an episode: its owner first, and last whoever has it then.

        It is moved if its owner has more than others: never in its midst, which a policy
        that remembers would not survive, and never to one that was not told.
        """
        self._expire(now)
        place = self._places.get(key)
        owner = min(self._loads, key=lambda name: self._loads[name].placed, default=None)
        if owner is None:
            return ()
        if place is None:
            self._put(key, owner, now)
            return (owner,)
        self._touch(key, place, now)
        self._activate(place, False)
        before = place.owner
        if self._loads[before].placed - 1 <= self._loads[owner].placed:
            return (before,)
        self._drop(key)
        self._put(key, owner, now)
        return before, owner

    def clear(self) -> None:
        """Forgets every episode."""
        for key in list(self._places):
            self._drop(key)

    def loads(self) -> dict[str, int]:
        """Returns how many episodes each owner has that were used since they were reset."""
        return {name: load.active for name, load in self._loads.items()}

    def _put(self, key: Key, owner: str, now: float) -> _Place:
        place = self._places[key] = _Place(owner, now)
        self._loads[owner].placed += 1
        while len(self._places) > self.most:
            self._drop(next(iter(self._places)))
        return place

    def _touch(self, key: Key, place: _Place, now: float) -> None:
        place.seen = now
        self._places.move_to_end(key)

    def _activate(self, place: _Place, active: bool) -> None:
        self._loads[place.owner].active += active - place.active
        place.active = active

    def _drop(self, key: Key) -> None:
        place = self._places.pop(key)
        self._activate(place, False)
        self._loads[place.owner].placed -= 1

    def _expire(self, now: float) -> None:
        while self._places:
            key, place = next(iter(self._places.items()))
            if now - place.seen < self.ttl:
                return
            self._drop(key)
