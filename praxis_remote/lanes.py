# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The order in which a client's calls leave: one lane for each episode.

HTTP/2 sends messages side by side, so that a small one may arrive whole before a large
one that was begun earlier, and a server knows no order but that of arrival. Nothing here
knows connections; a call enters, waits for its turn, and leaves when its message has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from .calls import PREDICT, RESET, Deadline

_ORDERED = (PREDICT.path, RESET.path)


class Place:
    """A call's place in its lanes.

    Attributes:
        first: Whether it is the call's turn, which it stays.
    """

    __slots__ = ("_lanes", "_left", "_turn", "before", "first", "keys", "number")

    def __init__(self, lanes: Lanes, keys: tuple[str, ...] | None, number: int) -> None:
        self._lanes = lanes
        self._left = False
        self._turn: asyncio.Future[None] | None = None
        # For the lanes alone: None for all keys, and how many a call of all is behind.
        self.keys = keys
        self.number = number
        self.before = 0
        self.first = True

    async def turn(self, deadline: Deadline | None) -> bool:
        """Waits until those before it have left; returns whether they have in time."""
        self._turn = self._lanes.loop.create_future()
        patience = None if deadline is None else max(0.0, deadline.remaining())
        # Not wait_for, which wants a task.
        await asyncio.wait({self._turn}, timeout=patience)
        return self.first

    def go(self) -> None:
        """Ends the waiting."""
        self.first = True
        if self._turn is not None:
            self._turn.set_result(None)

    def leave(self) -> None:
        """Takes the news that the message has left, or never will. May be told twice."""
        if not self._left:
            self._left = True
            self._lanes.remove(self)


class Lanes:
    """Those of one client, in one event loop.

    Attributes:
        loop: It. What is left in the lanes of one that is gone never leaves.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lanes: dict[str, list[Place]] = {}
        # Calls of all episodes, also those that do not exist yet.
        self._crossing: list[Place] = []
        self._waiting: dict[Place, None] = {}
        self._entered = self._there = 0

    def enter(self, path: str, episode_ids: Collection[str] | None) -> Place | None:
        """Returns the place of a call that is about to be sent; None for one that has none.

        Args:
            path: ``/package.Service/Method``. Predictions and resets are held in order.
            episode_ids: As the request has them. A prediction without any is behind resets
                of everything, and before those that come later.
        """
        if path not in _ORDERED:
            return None
        self._entered += 1
        if path == RESET.path and not episode_ids:
            place = Place(self, None, self._entered)
            place.before = self._there
            place.first = not self._there
            self._crossing.append(place)
        else:
            # An id may be twice in a batch.
            keys = tuple(dict.fromkeys(episode_ids)) if episode_ids else ()
            place = Place(self, keys, self._entered)
            place.first = not self._crossing
            for key in keys:
                lane = self._lanes.get(key)
                if lane is None:
                    self._lanes[key] = [place]
                else:
                    lane.append(place)
                    place.first = False
        self._there += 1
        if not place.first:
            self._waiting[place] = None
        return place

    def remove(self, place: Place) -> None:
        """Lets those go that were behind a place alone, whether or not it had its turn."""
        self._there -= 1
        self._waiting.pop(place, None)
        behind: list[Place] = []
        if place.keys is None:
            self._crossing.remove(place)
            behind += self._waiting
        for key in place.keys or ():
            lane = self._lanes[key]
            if len(lane) == 1:
                del self._lanes[key]
            else:
                lane.remove(place)
                behind.append(lane[0])
        for crossing in self._crossing:
            crossing.before -= crossing.number > place.number
            behind.append(crossing)
        for other in behind:
            if not other.first and self._may_go(other):
                del self._waiting[other]
                other.go()

    def _may_go(self, place: Place) -> bool:
        if place.keys is None:
            return not place.before
        if self._crossing and self._crossing[0].number < place.number:
            return False
        return all(self._lanes[key][0] is place for key in place.keys)
