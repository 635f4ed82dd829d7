# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Which replica an episode is on. A client's calls of one episode all go to the same one."""

from __future__ import annotations

import bisect
import heapq
from abc import ABC, abstractmethod
from random import Random

from typing_extensions import override

# What Envoy's RING_HASH has by default (minimum_ring_size), or one for each replica.
_RING_POINTS = 1024


class Placement(ABC):
    """Places the episodes of clients on replicas."""

    def __init__(self, replicas: int, clients: int, random: Random) -> None:
        self._replicas = replicas
        self._homes: list[int | None] = [None] * clients
        self._random = random

    @abstractmethod
    def place(self, client: int) -> int:
        """Returns the replica of a client's next episode; the one before has ended."""


class Drawn(Placement):
    """A hash of the session that favours no replica: rendezvous hashing, a large table.

    Hashes know nothing of load: some replicas get more sessions than others, by chance.
    """

    @override
    def place(self, client: int) -> int:
        home = self._homes[client]
        if home is None:
            home = self._homes[client] = self._draw()
        return home

    def _draw(self) -> int:
        return int(self._random.random() * self._replicas)


class Ring(Drawn):
    """A hash of the session on a ring with few points, of which some have a long way to go."""

    def __init__(self, replicas: int, clients: int, random: Random) -> None:
        super().__init__(replicas, clients, random)
        points = -(-_RING_POINTS // replicas)
        ring = sorted(
            (random.random(), number) for number in range(replicas) for _ in range(points)
        )
        self._places = [place for place, _ in ring]
        self._owners = [owner for _, owner in ring]

    @override
    def _draw(self) -> int:
        found = bisect.bisect(self._places, self._random.random())
        return self._owners[found % len(self._owners)]


class DrawnAnew(Drawn):
    """A hash of the episode: every episode is drawn anew."""

    @override
    def place(self, client: int) -> int:
        return self._draw()


class LeastLoaded(Placement):
    """Every episode goes where the fewest are."""

    def __init__(self, replicas: int, clients: int, random: Random) -> None:
        super().__init__(replicas, clients, random)
        self._loads = [0] * replicas
        # Loads as they were; one that is out of date is put right when it comes up.
        self._heap = [(0, number) for number in range(replicas)]

    @override
    def place(self, client: int) -> int:
        home = self._homes[client]
        if home is not None:
            self._loads[home] -= 1
            heapq.heappush(self._heap, (self._loads[home], home))
        while True:
            load, number = heapq.heappop(self._heap)
            if load == self._loads[number]:
                break
        self._loads[number] += 1
        heapq.heappush(self._heap, (self._loads[number], number))
        self._homes[client] = number
        return number


PLACEMENTS: dict[str, type[Placement]] = {
    "least": LeastLoaded,
    "hash": Drawn,
    "episode": DrawnAnew,
    "ring": Ring,
}
