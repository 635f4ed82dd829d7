# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Arrays as tensor messages, both ways, with as few copies as may be.

Nothing here knows which arrays may be sent, or whose a tensor is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from ..tensors import DTYPES, view_array
from ..types import Array
from ..wire import Buffer, read_packed, write_varint
from .fields import Parts, UnusualError, read_size, write_head, write_optional
from .tags import DATA, DTYPE, SHAPE

LARGE_BYTES = 64 * 1024
"""From this size on, an array's memory goes out as it is and arrives as a view.

Below it a copy costs less than a segment of its own, and a decoded array that
somebody keeps would hold the whole message in memory.
"""


def add_tensor(parts: Parts, array: Array, number: int) -> int:
    """Adds the fields of a tensor message and returns their size."""
    tail = _tensor_tail(array.shape, number)
    size = array.nbytes
    if not size:
        parts.append(tail)
        return len(tail)
    head = write_head(DATA, size)
    data = _memory(array) if size >= LARGE_BYTES else array.tobytes()
    parts += (head, data, tail)
    return len(head) + size + len(tail)


def _memory(array: Array) -> memoryview:
    # A view of items that are no bytes would count these in len().
    return array.reshape(-1).view(np.uint8).data


@functools.lru_cache(maxsize=256)
def _tensor_tail(shape: tuple[int, ...], number: int) -> bytes:
    """Returns what follows a tensor's data. The same few come again and again."""
    return write_optional(SHAPE, b"".join(map(write_varint, shape))) + write_head(DTYPE, number)


def read_tensor(buffer: Buffer, position: int, end: int) -> Array:
    """Returns the array of a tensor message, as a view of ``buffer`` if it is large."""
    start = stop = position
    if position < end and buffer[position] == DATA:
        start, stop = read_size(buffer, position + 1, end)
        position = stop
    shape: Sequence[int] = ()
    if position < end and buffer[position] == SHAPE:
        first, position = read_size(buffer, position + 1, end)
        shape = tuple(read_packed(buffer, first, position))
    if position + 2 != end or buffer[position] != DTYPE:
        raise UnusualError
    return _make_array(buffer, start, stop, shape, buffer[position + 1])


def _make_array(buffer: Buffer, start: int, stop: int, shape: Sequence[int], number: int) -> Array:
    dtype = DTYPES.get(number)
    size = stop - start
    if dtype is None or dtype.kind == "b" or not size:
        view = view_array(memoryview(buffer)[start:stop], shape, number, "tensor")
    elif math.prod(shape) * dtype.itemsize != size or min(shape, default=1) < 0:
        raise UnusualError
    else:
        view = np.ndarray(shape, dtype, buffer, start)
    if size >= LARGE_BYTES and view.flags.writeable and view.flags.aligned:
        return view
    # Small, or in a place where numpy would be slow or may not write.
    copy: Array = view.copy()
    return copy
