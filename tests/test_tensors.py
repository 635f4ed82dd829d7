# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import arrays, bits

from praxis_remote.errors import InvalidValueError, UnsupportedTypeError
from praxis_remote.schema import DType
from praxis_remote.tensors import DTYPES, as_wire_array, check_shape, view_array


def test_each_dtype_of_the_schema_has_one_numpy_dtype() -> None:
    names = {f"DTYPE_{dtype.name.upper()}": number for number, dtype in DTYPES.items()}
    assert {item.name: int(item) for item in DType if item} == names
    assert len(set(DTYPES.values())) == len(DTYPES)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(arrays())
def test_any_array_becomes_one_in_wire_form(array: np.ndarray[Any, Any]) -> None:
    wire, number = as_wire_array(array, "a")
    assert wire.flags.c_contiguous
    assert wire.dtype == DTYPES[number]
    assert wire.dtype.str[0] in "<|"
    assert bits(wire) == bits(array)
    assert bits(view_array(bytearray(wire.tobytes()), wire.shape, number, "a")) == bits(array)


@pytest.mark.parametrize("dtype", [dtype.str for dtype in DTYPES.values()])
def test_an_array_in_wire_form_is_passed_on_as_it_is(dtype: str) -> None:
    array = np.zeros((2, 3), dtype)
    assert as_wire_array(array, "a")[0] is array


def test_subclasses_and_what_numpy_takes_become_plain_arrays() -> None:
    class Other(np.ndarray[Any, Any]):
        pass

    class Device:
        def __array__(self, *_: object, **__: object) -> np.ndarray[Any, Any]:
            return np.ones(2, "f4")

    masked = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    for value in (np.zeros(2).view(Other), Device(), [1, 2], (True,), 5.0, masked):
        assert type(as_wire_array(value, "a")[0]) is np.ndarray


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("f2", "float16"),
        ("u2", "uint16"),
        ("i1", "int8"),
        ("c8", "complex64"),
        ("U1", "str"),
        ("S3", "bytes"),
        ("O", "object"),
        ("M8[s]", "datetime64[s]"),
        ("u8", "uint64"),
    ],
)
def test_another_dtype_is_refused_by_key_and_name(dtype: str, name: str) -> None:
    array = np.zeros(2, dtype)
    with pytest.raises(UnsupportedTypeError) as caught:
        as_wire_array(array, "the key")
    assert str(caught.value) == (
        f"the key: dtype {name} (from ndarray) is not supported; "
        "supported: float32, float64, int32, int64, uint8, bool"
    )


def test_a_view_is_writable_if_its_data_is() -> None:
    assert view_array(bytearray(8), [2], DType.DTYPE_FLOAT32, "a").flags.writeable
    assert not view_array(bytes(8), [2], DType.DTYPE_FLOAT32, "a").flags.writeable


def test_the_length_of_data_is_counted_in_bytes() -> None:
    data = np.ones(3, "f4").data
    assert view_array(data, [3], DType.DTYPE_FLOAT32, "a").tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "nbytes", "number", "text"),
    [
        ([], 8, 0, "a: unknown dtype 0; allowed: 1 (float32)"),
        ([], 8, -1, "a: unknown dtype -1; allowed"),
        ([-1], 4, 1, "a: shape (-1,) has a negative dimension"),
        ([-1, -1], 4, 1, "a: shape (-1, -1) has a negative dimension"),
        ([2], 4, 1, "a: shape (2,) of float32 takes 8 bytes, but 4 bytes of data came"),
        ([2**62, 4], 0, 1, f"a: shape ({2**62}, 4) of float32 takes {2**66} bytes, but 0"),
        ([0, 2**61], 0, 2, f"a: shape (0, {2**61}) is too large for an array"),
        ([1] * 65, 4, 1, "a: shape has 65 dimensions; at most "),
    ],
)
def test_parts_that_do_not_fit_are_rejected_by_key(
    shape: list[int], nbytes: int, number: int, text: str
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_shape(shape, nbytes, number, "a")
    assert str(caught.value).startswith(text)


def test_every_shape_that_passes_is_one_that_numpy_takes() -> None:
    most = 32 if np.lib.NumpyVersion(np.__version__) < "2.0.0" else 64
    for shape in ([0, 2**60 - 1], [2**60 - 1, 0], [1] * most, [0] * most, []):
        nbytes = 0 if 0 in shape else 8
        check_shape(shape, nbytes, DType.DTYPE_FLOAT64, "a")
        assert view_array(bytes(nbytes), shape, DType.DTYPE_FLOAT64, "a").shape == tuple(shape)


def test_a_bool_that_is_neither_is_rejected_with_its_place() -> None:
    with pytest.raises(InvalidValueError, match=r"^a: byte 255 at element 1 of a bool tensor"):
        view_array(b"\x01\xff\x02", [3], DType.DTYPE_BOOL, "a")
    assert view_array(b"", [0], DType.DTYPE_BOOL, "a").shape == (0,)
