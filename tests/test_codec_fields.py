# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import block, keys, varint

from praxis_remote.codec.fields import (
    UNUSUAL,
    enter,
    expect,
    read_size,
    read_text,
    write_field,
    write_head,
    write_optional,
)

TAG = 1 << 3 | 2


@given(st.integers(0, 127), st.integers(0, 2**64 - 1))
def test_a_head_is_a_tag_and_a_varint(tag: int, number: int) -> None:
    assert write_head(tag, number) == varint(tag) + varint(number)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
def test_a_field_is_written_read_whole_and_no_further(size: int) -> None:
    written = write_field(TAG, bytes(size))
    assert written == block(1, bytes(size))
    assert write_optional(TAG, bytes(size)) == (written if size else b"")
    for tail in (b"", b"\x01"):
        assert read_size(written + tail, 1, len(written)) == (len(written) - size, len(written))
    assert enter(written, 0, len(written), TAG) == len(written) - size
    for end in range(1, min(len(written), 10)):
        with pytest.raises(UNUSUAL):
            read_size(written[:end], 1, end)


@given(keys)
def test_a_text_may_be_left_out(text: str) -> None:
    written = write_optional(TAG, text.encode())
    for tail in (b"", b"\x12", b"\x12\x01a"):
        buffer = written + tail
        assert read_text(buffer, 0, len(buffer), TAG) == (text, len(written))


def test_text_that_is_not_utf8_is_unusual() -> None:
    with pytest.raises(UNUSUAL):
        read_text(block(1, b"\xff"), 0, 3, TAG)


@pytest.mark.parametrize(
    "content", [b"", b"\x0a", b"\x12\x01a", b"\x0a\x01", b"\x0a\x00\x48\x01", b"\x0a\x01ab"]
)
def test_a_message_goes_on_until_the_end_or_is_unusual(content: bytes) -> None:
    with pytest.raises(UNUSUAL):
        enter(content, 0, len(content), TAG)


@pytest.mark.parametrize("size", [b"\x80", b"\x80" * 5 + b"\x00", b"\xff\xff\xff\xff\x0f"])
def test_a_size_that_is_none_is_unusual(size: bytes) -> None:
    with pytest.raises(UNUSUAL):
        read_size(b"\x0a" + size, 1, 1 + len(size))


def test_what_is_expected_may_go_on() -> None:
    expect(True)
    with pytest.raises(UNUSUAL):
        expect(False)
