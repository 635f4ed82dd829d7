# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import varint

from praxis_remote.wire.buffers import Malformed
from praxis_remote.wire.varints import (
    read_packed,
    read_size,
    read_tag,
    read_varint,
    signed,
    write_varint,
)

NUMBERS = st.integers(0, 2**64 - 1) | st.sampled_from(
    [number for bits in range(0, 64, 7) for number in (2**bits - 1, 2**bits)]
)


@given(NUMBERS)
def test_every_number_is_written_as_short_as_it_can_be_and_read(number: int) -> None:
    written = write_varint(number)
    assert written == varint(number)
    for before, after in ((b"", b""), (b"\xff\xff", b"\xff\x01")):
        buffer = before + written + after
        end = len(before + written)
        assert read_varint(buffer, len(before), end) == (number, end)
        assert read_varint(buffer, len(before), len(buffer)) == (number, end)


@given(NUMBERS)
def test_every_prefix_of_a_varint_is_cut_off(number: int) -> None:
    written = write_varint(number)
    for size in range(len(written)):
        for buffer in (written[:size], written):
            with pytest.raises(Malformed, match="cut off") as caught:
                read_varint(buffer, 0, size)
            assert caught.value.offset == 0


@pytest.mark.parametrize("limit", [5, 10])
def test_a_varint_may_be_padded_up_to_the_limit(limit: int) -> None:
    assert read_varint(varint(3, limit - 1), 0, limit, limit) == (3, limit)
    with pytest.raises(Malformed, match=f"more than {limit} bytes"):
        read_varint(varint(3, limit), 0, limit + 1, limit)


def test_what_is_beyond_64_bits_is_cut_off() -> None:
    assert read_varint(b"\xff" * 9 + b"\x7f", 0, 10) == (2**64 - 1, 10)


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_numbers_come_back(number: int) -> None:
    assert signed(number % 2**64) == number
    assert signed(number, 32) == (number + 2**31) % 2**32 - 2**31


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 127)), st.booleans())
def test_packed_numbers_come_back(numbers: list[int], small: bool) -> None:
    if small:
        numbers = [abs(number) % 0x80 for number in numbers]
    packed = b"".join(write_varint(number % 2**64) for number in numbers)
    for buffer in (packed, bytearray(packed), memoryview(packed)):
        assert read_packed(buffer, 0, len(packed)) == numbers
    assert read_packed(b"\xff" + packed + b"\xff", 1, 1 + len(packed)) == numbers


def test_packed_numbers_that_are_broken_are_refused() -> None:
    with pytest.raises(Malformed, match="cut off"):
        read_packed(b"\x01\x80", 0, 2)
    with pytest.raises(Malformed, match="more than 10 bytes"):
        read_packed(b"\x80" * 10 + b"\x00", 0, 11)
    assert read_packed(varint(5, 9), 0, 10) == [5]


def test_a_length_reaches_to_the_end_at_most() -> None:
    assert read_size(b"\x03abc", 0, 4) == (1, 4)
    assert read_size(b"\x83\x00abcd", 0, 6) == (2, 5)
    with pytest.raises(Malformed, match="a length of 3 where 2 bytes are left"):
        read_size(b"\x03abc", 0, 3)
    with pytest.raises(Malformed, match="more than 5 bytes"):
        read_size(varint(3, 5) + b"abc", 0, 9)


@pytest.mark.parametrize("number", [1, 15, 16, 2**29 - 1])
def test_a_tag_is_read_with_any_padding(number: int) -> None:
    for padding in range(6 - len(varint(number << 3))):
        written = varint(number << 3 | 2, padding)
        assert read_tag(written, 0, len(written)) == (number << 3 | 2, len(written))
        with pytest.raises(Malformed, match="cut off"):
            read_tag(written, 0, len(written) - 1)


def test_a_field_number_beyond_the_formats_is_refused() -> None:
    with pytest.raises(Malformed, match="field number 536870912") as caught:
        read_tag(b"a" + varint(2**32), 1, 6)
    assert caught.value.offset == 1


def test_packed_numbers_of_fewer_bits_are_cut_to_them() -> None:
    numbers = [1, 2**31, 2**32 + 5, 2**64 - 1]
    packed = b"".join(map(write_varint, numbers))
    assert read_packed(packed, 0, len(packed), 32) == [1, -(2**31), 5, -1]
    assert read_packed(packed, 0, len(packed)) == [1, 2**31, 2**32 + 5, -1]
