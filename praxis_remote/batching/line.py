# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Who of those that wait leaves together.

The first in line always leaves. Others go with it, before their turn, if none of those
that they pass minds: an episode's calls keep their order.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ticket:
    """What a job that waits tells about itself.

    Attributes:
        kind: Jobs of equal kind may be joined; None for one that stays alone.
        size: Observations of it.
        lanes: Those in which it keeps its place, such as episodes; None for all.
        caller: Who waits for it.
        payload: What ``together`` needs of it.
        together: Runs joined jobs by their payloads. Returns what came of each, an
            exception where one is to be raised; or None if each has to be run alone.
    """

    kind: Hashable | None = None
    size: int = 1
    lanes: frozenset[str] | None = frozenset()
    caller: Hashable = None
    payload: Any = None
    together: Callable[[list[Any]], Sequence[Any] | None] | None = None


NOBODYS = Ticket()
"""Of a job that nobody minds, and that minds nobody."""


def pick(line: Sequence[Ticket], max_size: int) -> list[int]:
    """Returns the places of those that leave together, in order; the first is always 0.

    Args:
        line: Who waits, in order.
        max_size: Of all that leave together, unless the first one is larger.
    """
    first = line[0]
    picked, size = [0], first.size
    if first.kind is None or first.lanes is None:
        return picked
    # No episode is twice in a batch, and none is overtaken by its own later call.
    closed = set(first.lanes)
    for place in range(1, len(line)):
        ticket = line[place]
        if size >= max_size or ticket.lanes is None:
            break
        fits = ticket.kind == first.kind and size + ticket.size <= max_size
        if fits and closed.isdisjoint(ticket.lanes):
            picked.append(place)
            size += ticket.size
        closed |= ticket.lanes
    return picked
