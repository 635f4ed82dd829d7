# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Arrays as the wire has them: the dtype table, and the checks both ways.

Knows numpy and the dtype numbers of the schema, and nothing of how messages are
laid out: the typed path (`serialization`) and the direct path (`codec`) share it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from .errors import InvalidValueError, UnsupportedTypeError
from .schema import DType
from .types import Array

DTYPES: dict[int, np.dtype[np.generic]] = {
    int(DType.DTYPE_FLOAT32): np.dtype("<f4"),
    int(DType.DTYPE_FLOAT64): np.dtype("<f8"),
    int(DType.DTYPE_INT32): np.dtype("<i4"),
    int(DType.DTYPE_INT64): np.dtype("<i8"),
    int(DType.DTYPE_UINT8): np.dtype("u1"),
    int(DType.DTYPE_BOOL): np.dtype("?"),
}
"""The only table of dtypes: number on the wire to numpy dtype."""

NUMBERS: dict[np.dtype[np.generic], int] = {dtype: number for number, dtype in DTYPES.items()}
SUPPORTED = ", ".join(dtype.name for dtype in DTYPES.values())

# numpy keeps an array's size in bytes in a signed machine word, zero-length
# dimensions aside, and refuses the rest with a text that names no key.
_MAX_BYTES = 2**63 - 1
_MAX_DIMENSIONS = 32 if np.lib.NumpyVersion(np.__version__) < "2.0.0" else 64


def wire_number(value: object) -> int | None:
    """Returns the dtype number of an array that can be sent as it is, None for all else."""
    if type(value) is np.ndarray and value.flags.c_contiguous:
        return NUMBERS.get(value.dtype)
    return None


def as_wire_array(value: object, name: str) -> tuple[Array, int]:
    """Returns ``value`` as a C-ordered little-endian array and its dtype number.

    Copies only what needs it: an array that already has this form is returned as
    it is.

    Args:
        value: An array or anything that ``np.asarray`` takes.
        name: The key, for the error.

    Raises:
        UnsupportedTypeError: ``value`` is no array of a supported dtype.
    """
    number = wire_number(value)
    if number is not None:
        return cast("Array", value), number
    try:
        array = np.asarray(value)
    except Exception as error:
        raise UnsupportedTypeError(
            f"{name}: cannot make an array of a {type(value).__name__}: {error}"
        ) from error
    little_endian = array.dtype.newbyteorder("<")
    number = NUMBERS.get(little_endian)
    if number is None:
        raise UnsupportedTypeError(
            f"{name}: dtype {_name(array.dtype)} (from {type(value).__name__}) "
            f"is not supported; supported: {SUPPORTED}"
        )
    # ascontiguousarray would turn a 0-d array into a 1-d one.
    return np.asarray(array, dtype=little_endian, order="C"), number


def _name(dtype: np.dtype[Any]) -> str:
    """Names a dtype as people do: numpy calls text of two letters str64."""
    return {"U": "str", "S": "bytes"}.get(dtype.kind) or str(dtype.name)


def check_shape(shape: Sequence[int], nbytes: int, number: int, name: str) -> np.dtype[np.generic]:
    """Returns the dtype of a tensor whose parts fit together.

    Args:
        shape: The dimensions as they came.
        nbytes: Length of the data as it came.
        number: The dtype number as it came.
        name: The key, for the error.

    Raises:
        InvalidValueError: They do not.
    """
    dtype = DTYPES.get(number)
    if dtype is None:
        allowed = ", ".join(f"{key} ({value.name})" for key, value in DTYPES.items())
        raise InvalidValueError(f"{name}: unknown dtype {number}; allowed: {allowed}")
    if len(shape) > _MAX_DIMENSIONS:
        raise InvalidValueError(
            f"{name}: shape has {len(shape)} dimensions; at most {_MAX_DIMENSIONS} are allowed"
        )
    if any(length < 0 for length in shape):
        raise InvalidValueError(f"{name}: shape {tuple(shape)} has a negative dimension")
    expected = math.prod(shape) * dtype.itemsize
    if expected != nbytes:
        raise InvalidValueError(
            f"{name}: shape {tuple(shape)} of {dtype.name} takes {expected} bytes, "
            f"but {nbytes} bytes of data came"
        )
    if math.prod(length for length in shape if length) * dtype.itemsize > _MAX_BYTES:
        raise InvalidValueError(f"{name}: shape {tuple(shape)} is too large for an array")
    return dtype


def view_array(
    data: bytes | bytearray | memoryview, shape: Sequence[int], number: int, name: str
) -> Array:
    """Returns the array that a tensor's parts describe, as a view of ``data``.

    The view is writable if ``data`` is, and not necessarily aligned.

    Raises:
        InvalidValueError: The parts do not fit together, or a bool is neither
            0 nor 1.
    """
    dtype = check_shape(shape, memoryview(data).nbytes, number, name)
    if dtype.kind == "b":
        _check_bools(data, name)
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _check_bools(data: bytes | bytearray | memoryview, name: str) -> None:
    """Rejects what numpy would take for neither True nor False."""
    raw = np.frombuffer(data, dtype=np.uint8)
    if raw.size and raw.max() > 1:
        place = int(np.argmax(raw > 1))
        raise InvalidValueError(
            f"{name}: byte {int(raw[place])} at element {place} of a bool tensor; allowed: 0 and 1"
        )
