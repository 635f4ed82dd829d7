# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Bytes changed without a look at what they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_MAX_RUN = 32


def mutate(pick: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Returns data with one thing changed, anywhere."""
    return pick.choice(_CHANGES)(pick, data, pool)


def split(pick: random.Random, data: bytes, parts: int) -> list[bytes]:
    """Returns data cut at random places."""
    cuts = sorted(pick.randrange(len(data) + 1) for _ in range(parts - 1))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def shuffle_some(pick: random.Random, items: list[T]) -> None:
    """Drops, doubles or exchanges items of a list, in place."""
    if not items:
        return
    place, other = pick.randrange(len(items)), pick.randrange(len(items))
    kind = pick.randrange(3)
    if kind == 0:
        del items[place]
    elif kind == 1:
        items.insert(other, items[place])
    else:
        items[place], items[other] = items[other], items[place]


def _span(pick: random.Random, data: bytes) -> tuple[int, int]:
    start = pick.randrange(len(data) + 1)
    return start, min(len(data), start + pick.randrange(_MAX_RUN))


def _truncate(pick: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    return data[: pick.randrange(len(data) + 1)]


def _flip(pick: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    place = pick.randrange(len(data) + 1)
    return (
        data[:place]
        + bytes(b ^ 1 << pick.randrange(8) for b in data[place:][:1])
        + data[place + 1 :]
    )


def _set(pick: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    start, stop = _span(pick, data)
    return data[:start] + bytes((pick.choice(INTERESTING),)) * (stop - start) + data[stop:]


def _insert(pick: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    place = pick.randrange(len(data) + 1)
    return data[:place] + pick.randbytes(pick.randrange(1, 9)) + data[place:]


def _delete(pick: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    start, stop = _span(pick, data)
    return data[:start] + data[stop:]


def _repeat(pick: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    start, stop = _span(pick, data)
    return data[:stop] + data[start:stop] * pick.choice((1, 2, 8)) + data[stop:]


def _splice(pick: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    other = pick.choice(pool) if pool else data
    start, stop = _span(pick, other)
    place, after = _span(pick, data)
    return data[:place] + other[start:stop] + data[after:]


_CHANGES: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    _truncate,
    _flip,
    _flip,
    _set,
    _insert,
    _delete,
    _repeat,
    _splice,
)
