# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from praxis_remote.errors import UnsupportedTypeError
from praxis_remote.schema import DType, Tensor
from praxis_remote.wire import read_message, write_message
from praxis_remote.wire.buffers import Malformed, as_buffer


@pytest.mark.parametrize("size", [0, 1, 2, 9, 200])
def test_every_kind_of_buffer_is_read_alike(size: int) -> None:
    data = write_message(Tensor(data=bytes(size), shape=[size], dtype=DType(5)))
    padded = b"ab" + data
    for buffer in (data, bytearray(data), memoryview(data), memoryview(padded)[2:]):
        assert write_message(read_message(Tensor, buffer)) == data
    strided = bytearray(2 * len(data))
    strided[::2] = data
    assert write_message(read_message(Tensor, memoryview(strided)[::2])) == data


def test_what_is_no_buffer_is_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match="not str"):
        read_message(Tensor, "text")  # type: ignore[arg-type]


def test_a_buffer_of_bytes_is_taken_as_it_is() -> None:
    for buffer in (b"ab", bytearray(b"ab"), memoryview(b"ab"), memoryview(b"abc")[1:]):
        assert as_buffer(buffer) is buffer


def test_a_view_of_other_items_becomes_bytes() -> None:
    wide = np.array([[1, 2]], "<u2")
    assert as_buffer(wide.data) == wide.tobytes()
    assert as_buffer(wide.view("u1").data) == wide.tobytes()
    assert as_buffer(memoryview(b"abcd")[::2]) == b"ac"


def test_what_is_malformed_says_what_and_where() -> None:
    error = Malformed("a varint that is cut off", 7)
    assert (error.what, error.offset) == ("a varint that is cut off", 7)
