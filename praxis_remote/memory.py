# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Memory for messages that arrive, used again once nothing refers to it.

The first touch of fresh memory can cost more than to receive a message into it. Nothing
here knows what a message is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Allocate: TypeAlias = Callable[[int, int], memoryview]
"""Returns writable memory of so many bytes, of which the one at the given place is aligned.

What is in it is of no meaning.
"""

# For every dtype that there is, and a processor's cache.
_ALIGNMENT = 64

# What is kept for later, in bytes, when other memory is needed, and in seconds.
_MAX_SPARE = 16 * 2**20
_SPARE_SECONDS = 1.0

# What is looked through for a spare one: who keeps all that arrives shall not pay for it.
_MAX_BLOCKS = 32


def allocate(size: int, place: int = 0) -> memoryview:
    """Returns fresh memory."""
    return Block(size).view(size, place)


class Block:
    """A piece of memory, and whether it was used of late.

    Args:
        size: Bytes.
        alignment: Of what lies in it, in bytes.
    """

    def __init__(self, size: int, alignment: int = _ALIGNMENT) -> None:
        self._alignment = alignment
        # numpy does not fill it with zeros, as bytearray does.
        self._data = np.empty(size + alignment, np.uint8)
        self._address: int = self._data.__array_interface__["data"][0]
        self.recent = True

    @property
    def size(self) -> int:
        """Bytes that it was made for."""
        return self._data.nbytes - self._alignment

    @property
    def spare(self) -> bool:
        """Whether nobody refers to it, by a view or by a view of a view."""
        # What remains is this object's reference, and that of the call.
        return sys.getrefcount(self._data) == 2

    def view(self, size: int, place: int = 0) -> memoryview:
        """Returns so many of its bytes, of which the one at ``place`` is aligned."""
        self.recent = True
        start = -(self._address + place) % self._alignment
        return self._data.data[start : start + size]


# Of a stock: one in use, one that somebody keeps, and one more.
_MAX_STOCK = 3


class Stock:
    """A few pieces of memory for one thread, each used again when nothing refers to it.

    Args:
        alignment: Of where each begins, in bytes.
    """

    def __init__(self, alignment: int = _ALIGNMENT) -> None:
        self._alignment = alignment
        self._blocks: list[Block] = []

    def take(self, size: int) -> memoryview:
        """Returns memory of so many bytes."""
        for block in self._blocks:
            # Not one that is far larger: somebody might keep all of it for little.
            if size <= block.size <= 4 * size and block.spare:
                return block.view(size)
        block = Block(size, self._alignment)
        self._blocks = [*self._blocks[1 - _MAX_STOCK :], block]
        return block.view(size)


class Pool:
    """Hands out memory, the same again when its last user has let go of all of it.

    For one event loop. What nobody has used for a while is given back to the system.
    """

    def __init__(self) -> None:
        # Least recently used first.
        self._blocks: list[Block] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def allocate(self, size: int, place: int = 0) -> memoryview:
        """Returns memory of so many bytes, of which the one at ``place`` is aligned."""
        if self._closed:
            return allocate(size, place)
        block = self._take(size)
        if block is None:
            self._drop_spare(_MAX_SPARE)
            block = Block(size)
        self._blocks.append(block)
        del self._blocks[:-_MAX_BLOCKS]
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SPARE_SECONDS, self._sweep)
        return block.view(size, place)

    def close(self) -> None:
        """Keeps nothing any more."""
        self._closed = True
        self._blocks.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, size: int) -> Block | None:
        for index, block in enumerate(self._blocks):
            # Not one that is far larger: a small array might keep all of it.
            if size <= block.size <= 2 * size and block.spare:
                return self._blocks.pop(index)
        return None

    def _drop_spare(self, allowed: int) -> None:
        """Gives back what was not used for longest, but for so many bytes."""
        spare = sum(block.size for block in self._blocks if block.spare)
        kept = []
        for block in self._blocks:
            if spare > allowed and block.spare:
                spare -= block.size
            else:
                kept.append(block)
        self._blocks = kept

    def _sweep(self) -> None:
        self._timer = None
        self._blocks = [block for block in self._blocks if block.recent or not block.spare]
        for block in self._blocks:
            block.recent = False
        if self._blocks:
            self._timer = asyncio.get_running_loop().call_later(_SPARE_SECONDS, self._sweep)
