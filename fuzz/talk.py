# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Conversations: good ones that are changed, and ones of nothing but chance."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fuzz.conversation import CALLS, Conversation, merged, pack, unpack
from fuzz.frames import PREFACE, Frame, FrameMaker, parse
from fuzz.mutation import mutate, shuffle_some, split

_MAX_BYTES = 512 * 1024


def make(pick: random.Random, pool: Sequence[bytes], *, client: bool) -> bytes:
    """Returns a new case.

    Args:
        pick: Decides everything.
        pool: Cases to change.
        client: Whether it is the client's side.
    """
    frames = FrameMaker(pick, client=client)
    call = pick.choice(CALLS)
    if pool and pick.random() < 0.6:
        old = unpack(pick.choice(pool))
        call = old.call
        if pick.random() < 0.25:
            steps = _change_bytes(pick, old, pool)
        else:
            steps = _change_frames(pick, frames, old)
    else:
        steps = _chance(pick, frames, client=client)
    return pack(Conversation(_cut(pick, steps), call))


def _change_bytes(
    pick: random.Random, old: Conversation, pool: Sequence[bytes]
) -> list[bytes | None]:
    steps = list(old.steps)
    others = [step for step in unpack(pick.choice(pool)).steps if step is not None]
    for _ in range(pick.choice((1, 1, 3))):
        place = pick.randrange(len(steps)) if steps else 0
        step = steps[place] if steps else None
        if step is None:
            shuffle_some(pick, steps)
        else:
            steps[place] = mutate(pick, step, others)
    return steps


def _change_frames(
    pick: random.Random, frames: FrameMaker, old: Conversation
) -> list[bytes | None]:
    items: list[Frame | bytes | None] = []
    for step in merged(old.steps):
        items += [None] if step is None else parse(step)
    for _ in range(pick.choice((1, 1, 2, 4))):
        place = pick.randrange(len(items) + 1)
        item = items[place] if place < len(items) else None
        kind = pick.random()
        if kind < 0.4 and isinstance(item, Frame):
            items[place] = frames.change(item)
        elif kind < 0.7:
            items[place:place] = frames.some()
        else:
            shuffle_some(pick, items)
    return [item.write() if isinstance(item, Frame) else item for item in items]


def _chance(pick: random.Random, frames: FrameMaker, *, client: bool) -> list[bytes | None]:
    steps: list[bytes | None] = []
    if client and pick.random() < 0.97:
        steps.append(PREFACE)
    elif pick.random() < 0.03:
        steps.append(
            pick.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0", pick.randbytes(30)))
        )
    if pick.random() < 0.95:
        steps += [frame.write() for frame in frames.settings()]
    stream_id = 1
    for _ in range(pick.choice((1, 2, 4, 8, 16))):
        kind = pick.random()
        if kind < 0.4:
            steps += [frame.write() for frame in frames.call(stream_id)]
            stream_id += 2 if client else 0
        elif kind < 0.5:
            steps.append(None)
        else:
            steps += [frame.write() for frame in frames.some()]
    return steps


def _cut(pick: random.Random, steps: Sequence[bytes | None]) -> list[bytes | None]:
    """Returns the same bytes in other pieces, with more turns between."""
    result: list[bytes | None] = []
    left = _MAX_BYTES
    for step in merged(steps):
        if step is None:
            result.append(None)
            continue
        step, left = step[:left], left - len(step[:left])
        parts = pick.choice((1, 1, 1, 2, 3, 10))
        for part in split(pick, step, parts):
            result.append(part)
            if pick.random() < 0.3:
                result.append(None)
    return result
