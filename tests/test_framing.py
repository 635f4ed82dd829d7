# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.errors import (
    DecodeError,
    InvalidArgumentError,
    MessageTooLargeError,
    UnimplementedError,
)
from praxis_remote.framing import MessageReader, MessageSplitter, MessageWriter


def framed(message: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(message)) + message


def read(data: bytes, limit: int = 1000, encoding: str = "identity") -> bytes:
    reader = MessageReader(limit, "request")
    reader.feed(data)
    return end(reader, encoding)


def end(reader: MessageReader, encoding: str = "identity") -> bytes:
    message = reader.end(encoding)
    assert message is not None
    return bytes(message)


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 50), min_size=1))
def test_chunks_of_any_size_make_up_prefix_and_segments(
    segments: list[bytes], sizes: list[int]
) -> None:
    writer = MessageWriter(segments, 10_000, "request")
    chunks: list[bytes] = []
    while writer.remaining:
        before = writer.remaining
        size = sizes[len(chunks) % len(sizes)]
        chunk = b"".join(writer.take(size))
        assert len(chunk) == min(size, before)
        assert writer.remaining == before - len(chunk)
        chunks.append(chunk)
    assert b"".join(chunks) == framed(b"".join(segments))


def test_a_chunk_within_one_segment_is_a_view_of_it_and_no_copy() -> None:
    array = bytearray(1000)
    writer = MessageWriter([memoryview(array)], 10_000, "request")
    writer.take(5)
    (chunk,) = writer.take(600)
    array[0] = 7
    assert chunk[0] == 7


def test_a_message_over_the_limit_is_not_sent_and_the_error_has_both_numbers() -> None:
    with pytest.raises(
        MessageTooLargeError, match=r"request of 11 bytes .* limit of 10 bytes"
    ) as e:
        MessageWriter([b"12345", b"678901"], 10, "request")
    assert (e.value.size, e.value.limit) == (11, 10)


def test_a_message_at_the_limit_is_sent_and_received() -> None:
    assert MessageWriter([b"1234567890"], 10, "request").remaining == 15
    assert read(framed(b"1234567890"), limit=10) == b"1234567890"


@given(st.binary(max_size=100), st.lists(st.integers(1, 10), min_size=1))
def test_a_message_is_the_same_however_it_is_cut(message: bytes, sizes: list[int]) -> None:
    data = framed(message)
    reader = MessageReader(1000, "request")
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        reader.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    assert end(reader) == message


@given(st.binary(max_size=30), st.data())
def test_a_message_that_is_cut_off_anywhere_is_an_error(
    message: bytes, data: st.DataObject
) -> None:
    whole = framed(message)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(DecodeError, match="ended"):
        read(whole[:cut])


@given(st.binary(max_size=30), st.binary(min_size=1, max_size=30), st.booleans())
def test_bytes_after_the_message_are_an_error(message: bytes, more: bytes, at_once: bool) -> None:
    reader = MessageReader(1000, "request")
    if not at_once:
        reader.feed(framed(message))
    with pytest.raises(DecodeError, match=f"{len(more)} bytes after the request"):
        reader.feed(framed(message) + more if at_once else more)


def test_a_stream_without_a_message_is_told_from_one_with_an_empty_message() -> None:
    assert MessageReader(10, "request").end() is None
    assert read(framed(b"")) == b""


def test_a_declared_length_over_the_limit_is_refused_before_its_memory_is_taken() -> None:
    with pytest.raises(MessageTooLargeError, match="4294967295 bytes") as e:
        read(struct.pack(">BI", 0, 2**32 - 1))
    assert (e.value.size, e.value.limit) == (2**32 - 1, 1000)


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
class TestCompressed:
    def test_it_is_unpacked(self, encoding: str, compress: Callable[[bytes], bytes]) -> None:
        assert read(framed(compress(b"x" * 900), 1), encoding=encoding) == b"x" * 900

    def test_it_may_be_as_long_as_the_limit(
        self, encoding: str, compress: Callable[[bytes], bytes]
    ) -> None:
        assert read(framed(compress(b"x" * 1000), 1), encoding=encoding) == b"x" * 1000

    def test_a_bomb_is_refused(self, encoding: str, compress: Callable[[bytes], bytes]) -> None:
        with pytest.raises(MessageTooLargeError, match="decompressed request"):
            read(framed(compress(b"x" * 100_000), 1), encoding=encoding)

    def test_data_that_is_cut_off_is_an_error(
        self, encoding: str, compress: Callable[[bytes], bytes]
    ) -> None:
        with pytest.raises(DecodeError, match="cut off"):
            read(framed(compress(b"x" * 900)[:-3], 1), encoding=encoding)

    def test_data_of_another_kind_is_an_error(
        self, encoding: str, compress: Callable[[bytes], bytes]
    ) -> None:
        with pytest.raises(DecodeError, match=f"no valid {encoding}"):
            read(framed(compress(b"")[:0] + b"nonsense!", 1), encoding=encoding)

    def test_an_uncompressed_message_may_come_under_the_encoding(
        self, encoding: str, compress: Callable[[bytes], bytes]
    ) -> None:
        message = compress(b"y")
        assert read(framed(message, 0), encoding=encoding) == message


def test_an_unknown_encoding_is_unimplemented_and_the_error_lists_those_that_are() -> None:
    with pytest.raises(UnimplementedError, match=r"'br'.*identity,gzip,deflate"):
        read(framed(b"x", 1), encoding="br")


def test_a_compressed_flag_without_an_encoding_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="names no encoding"):
        read(framed(b"x", 1))


def test_a_flag_that_grpc_does_not_know_is_an_error() -> None:
    with pytest.raises(DecodeError, match="flag 2"):
        read(framed(b"x", 2))


# ---------------------------------------------------------------- streams of messages

MESSAGES = [b"", b"a", b"", b"bc" * 50, b"d"]
STREAM = b"".join(map(framed, MESSAGES))


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7, 104, len(STREAM)])
def test_messages_of_a_stream_are_split_however_they_come(size: int) -> None:
    splitter = MessageSplitter(100, "request")
    found: list[bytes] = []
    for start in range(0, len(STREAM), size):
        found += splitter.feed(STREAM[start : start + size])
    assert found == MESSAGES
    assert not splitter.amid
    splitter.end()


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 104])
def test_a_stream_that_ends_within_a_message_is_an_error(cut: int) -> None:
    splitter = MessageSplitter(100, "request")
    assert list(splitter.feed(STREAM + STREAM[16 : 16 + cut])) == MESSAGES
    assert splitter.amid
    with pytest.raises(DecodeError, match="ended within a request"):
        splitter.end()


def test_a_message_of_a_stream_over_the_limit_is_refused_before_it_is_taken() -> None:
    splitter = MessageSplitter(100, "request")
    with pytest.raises(MessageTooLargeError, match="request of 101 bytes"):
        list(splitter.feed(struct.pack(">BI", 0, 101)))


def test_messages_of_a_stream_are_decompressed_each_within_the_limit() -> None:
    splitter = MessageSplitter(100, "request", "gzip")
    small, bomb = gzip.compress(b"x" * 100), gzip.compress(b"x" * 101)
    assert list(splitter.feed(framed(small, 1) + STREAM[:5])) == [b"x" * 100, b""]
    with pytest.raises(MessageTooLargeError, match="decompressed request"):
        list(splitter.feed(framed(bomb, 1)))


def test_a_flag_that_means_nothing_is_an_error_on_a_stream_as_well() -> None:
    with pytest.raises(DecodeError, match="compressed flag 2"):
        list(MessageSplitter(100, "request").feed(b"\2\0\0\0\0"))
