# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A piece of shared memory: a head that says who uses it, and a message after that.

Nothing here knows how the other process comes by it.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import weakref
from functools import partial

import numpy as np

from ..framing import Segments

HEAD_BYTES = 64
"""What comes before the first message: 16 random bytes, and one that is a state."""

LARGE_BYTES = 2**20
"""Messages of at least so many bytes are handed over in shared memory."""

NONCE_BYTES = 16
_STATE = NONCE_BYTES

FREE, LENT, GONE = range(3)
"""Whoever made it may use it; the server may; its maker does not need it any more."""

# A cache line, and more than any dtype needs.
_ALIGNMENT = 64

# What is copied before others get their turn of the loop.
_PIECE = 4 * 2**20


class _Forks:
    """How often this process has forked: a child sees what was lent for as long as it lives."""

    count = 0

    @classmethod
    def add(cls) -> None:
        cls.count += 1


if hasattr(os, "register_at_fork"):
    # Thrice, so that what another thread claims meanwhile counts as well.
    os.register_at_fork(before=_Forks.add, after_in_parent=_Forks.add, after_in_child=_Forks.add)


class _Use:
    """The use of an area by arrays of this process."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._forks = 0
        self.lasts = False

    def begin(self) -> None:
        self._forks, self.lasts = _Forks.count, True

    def end(self, tell: bool, _: object) -> None:
        """Takes the news that no array is left, in whichever thread let go of the last one."""
        if self._forks != _Forks.count:
            return  # a child may have one still; so it is for ever
        self.lasts = False
        if tell:
            self._memory[_STATE] = FREE


class Area:
    """Memory that two processes have mapped.

    Args:
        memory: All of it.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._use = _Use(memory)
        self._guard: weakref.ref[object] | None = None

    @property
    def size(self) -> int:
        """Bytes, the head among them."""
        return len(self._memory)

    @property
    def nonce(self) -> bytes:
        """What tells it from all others."""
        return self._memory[:NONCE_BYTES]

    @nonce.setter
    def nonce(self, nonce: bytes) -> None:
        self._memory[:NONCE_BYTES] = nonce

    @property
    def state(self) -> int:
        """Who uses it, as the head has it."""
        return self._memory[_STATE]

    @state.setter
    def state(self, state: int) -> None:
        self._memory[_STATE] = state

    @property
    def claimed(self) -> bool:
        """Whether an array of this process refers to it."""
        return self._use.lasts

    def claim(self, start: int, size: int, *, tell: bool) -> memoryview:
        """Returns so many bytes of it, which are the caller's until nothing refers to them.

        Args:
            start: Where they begin.
            size: How many.
            tell: Whether the head shall say then that the area is free.
        """
        # Not a slice of another array, to which numpy would have views of it refer instead.
        data = np.frombuffer(self._memory, np.uint8, size, start)
        self._use.begin()
        self._guard = weakref.ref(data, partial(self._use.end, tell))
        return data.data

    def view(self, start: int, size: int) -> memoryview:
        """Returns so many bytes of it, for whoever knows that they are in use by nobody else."""
        return memoryview(self._memory)[start : start + size]


def pad(segments: Segments) -> int:
    """Returns the bytes to leave out before a message, from an aligned place on.

    So that what comes after its first few bytes, the first array, is aligned.
    """
    return -len(segments[0]) % _ALIGNMENT


async def copy(segments: Segments, memory: memoryview) -> None:
    """Copies a message, the only copy on its way to the other process."""
    target, place = np.frombuffer(memory, np.uint8), 0
    for segment in segments:
        for start in range(0, len(segment), _PIECE):
            piece = np.frombuffer(segment, np.uint8)[start : start + _PIECE]
            target[place : place + len(piece)] = piece
            place += len(piece)
            if len(piece) == _PIECE:
                await asyncio.sleep(0)
