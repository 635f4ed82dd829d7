# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Where the parts of a request lie in its message, and messages made of some of them.

Observations are neither decoded nor copied: in protobuf the fields of a message may be
regrouped as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ..codec.fields import UNUSUAL, read_size
from ..codec.tags import EPISODE_IDS, OBSERVATIONS, POLICY_KWARGS
from ..framing import Segments

__all__ = ["Layout", "lay_out"]

Span: TypeAlias = tuple[int, int]

# Below this it is cheaper to copy than to send in pieces.
_SMALL = 64 * 1024


class Layout(NamedTuple):
    """A batch that can be split, by what it says itself.

    Attributes:
        message: All of it.
        observations: Where each of them lies.
        ids: Where the id of each lies.
        rest: What all share.
        episode_ids: The ids.
    """

    message: memoryview
    observations: list[Span]
    ids: list[Span]
    rest: list[Span]
    episode_ids: tuple[str, ...]

    def take(self, rows: Sequence[int]) -> Segments:
        """Returns the message with these rows alone, in their order."""
        spans = [
            *(self.observations[row] for row in rows),
            *self.rest,
            *(self.ids[row] for row in rows),
        ]
        pieces = [self.message[start:stop] for start, stop in _join(spans)]
        if sum(map(len, pieces)) <= _SMALL:
            return [b"".join(pieces)]
        return pieces


def _join(spans: Sequence[Span]) -> list[Span]:
    """Returns the same with neighbours as one."""
    joined: list[Span] = []
    for start, stop in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], stop
        else:
            joined.append((start, stop))
    return joined


def lay_out(message: memoryview, max_fields: int) -> Layout | None:
    """Returns how a request for a prediction lies in its message.

    Args:
        message: The request.
        max_fields: It may have.

    Returns:
        None for one that cannot be split, or need not: it has no episode ids, or not one for
        each observation, or more fields, or is no request. Who gets it whole says so.
    """
    spans: dict[int, list[Span]] = {OBSERVATIONS: [], POLICY_KWARGS: [], EPISODE_IDS: []}
    episode_ids: list[str] = []
    position, end = 0, len(message)
    try:
        while position < end:
            tag = message[position]
            start, stop = read_size(message, position + 1, end)
            spans[tag].append((position, stop))
            if tag == EPISODE_IDS:
                episode_ids.append(str(message[start:stop], "utf-8"))
            position = stop
            max_fields -= 1
            if max_fields < 0:
                return None
    except (KeyError, *UNUSUAL):
        return None
    observations = spans[OBSERVATIONS]
    if not episode_ids or len(episode_ids) != len(observations):
        return None
    rest = spans[POLICY_KWARGS]
    return Layout(message, observations, spans[EPISODE_IDS], rest, tuple(episode_ids))
