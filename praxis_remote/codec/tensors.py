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

from ..schema import DType
from ..tensors import DTYPES, view_array
from ..types import Array
from ..wire import Buffer, read_packed, write_varint
from .fields import Parts, UnusualError, read_size, write_head, write_optional
from .tags import DATA, DTYPE, SHAPE

_BOOL = int(DType.DTYPE_BOOL)

# Longer than the shape of any array is.
_MAX_TAIL = 512

LARGE_BYTES = 64 * 1024
"""From this size on, an array's memory goes out as it is and arrives as a view.

Below it a copy costs less than a segment of its own, and a decoded array that
somebody keeps would hold the whole message in memory.
"""


def add_tensor(parts: Parts, array: Array, number: int) -> None:
    """Adds the fields of a tensor message."""
    head, tail, _ = tensor_frame(array.shape, number)
    parts.append(head)
    add_data(parts, array)
    parts.append(tail)


def add_data(parts: Parts, array: Array) -> None:
    """Adds a tensor's data, a large one without a copy."""
    size = array.nbytes
    if size >= LARGE_BYTES:
        parts.append(_memory(array))
    elif size:
        parts.append(array.tobytes())


@functools.lru_cache(maxsize=256)
def tensor_frame(shape: tuple[int, ...], number: int) -> tuple[bytes, bytes, int]:
    """Returns what precedes and what follows a tensor's data, and the data's size.

    The same few shapes come again and again.
    """
    size = math.prod(shape) * DTYPES[number].itemsize
    tail = write_optional(SHAPE, b"".join(map(write_varint, shape))) + write_head(DTYPE, number)
    return write_head(DATA, size) if size else b"", tail, size


def _memory(array: Array) -> memoryview:
    # A view of items that are no bytes would count these in len().
    return array.reshape(-1).view(np.uint8).data


def read_tensor(buffer: Buffer, position: int, end: int) -> Array:
    """Returns the array of a tensor message, as a view of ``buffer`` if it is large."""
    start = stop = position
    if position < end and buffer[position] == DATA:
        start, stop = read_size(buffer, position + 1, end)
        position = stop
    if end - position > _MAX_TAIL:
        raise UnusualError
    shape, number, size = _read_tail(bytes(buffer[position:end]))
    if size != stop - start:
        raise UnusualError
    return _make_array(buffer, start, stop, shape, number)


@functools.lru_cache(maxsize=256)
def _read_tail(tail: bytes) -> tuple[tuple[int, ...], int, int]:
    """Returns shape and dtype number from what follows the data, and the data's size.

    The same few come again and again.
    """
    shape: tuple[int, ...] = ()
    position, end = 0, len(tail)
    if position < end and tail[position] == SHAPE:
        first, position = read_size(tail, position + 1, end)
        shape = tuple(read_packed(tail, first, position))
    if position + 2 != end or tail[position] != DTYPE:
        raise UnusualError
    dtype = DTYPES.get(tail[position + 1])
    if dtype is None or min(shape, default=0) < 0:
        raise UnusualError
    return shape, tail[position + 1], math.prod(shape) * dtype.itemsize


def _make_array(buffer: Buffer, start: int, stop: int, shape: Sequence[int], number: int) -> Array:
    size = stop - start
    if not size or number == _BOOL:
        view = view_array(memoryview(buffer)[start:stop], shape, number, "tensor")
    else:
        view = np.ndarray(shape, DTYPES[number], buffer, start)
    if size >= LARGE_BYTES and view.flags.writeable and view.flags.aligned:
        return view
    # Small, or in a place where numpy would be slow or may not write.
    copy: Array = view.copy()
    return copy
