# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A first request is found however its bytes come, and whatever else comes is nobody's session."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from http2_peers import raw_frame
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.calls import PREDICT, SESSION_ID
from praxis_remote.http2 import FirstRequest

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PREDICT.path),
    (":authority", "here"),
    (SESSION_ID, "robot-7"),
]


def client() -> H2Connection:
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    return connection


def request(*extra: tuple[str, str], requests: int = 1) -> bytes:
    """Returns a client's bytes up to the end of its requests."""
    connection = client()
    connection.ping(b"12345678")
    for number in range(requests):
        session = [(SESSION_ID, f"robot-{7 + number}")]
        connection.send_headers(2 * number + 1, [*HEADERS[:-1], *extra, *session])
        connection.send_data(2 * number + 1, b"payload", end_stream=True)
    return connection.data_to_send()


def read(*pieces: bytes) -> FirstRequest:
    first = FirstRequest()
    for piece in pieces:
        first.feed(piece)
    return first


def test_the_session_of_the_first_request_is_found_byte_by_byte() -> None:
    data = request()
    first = FirstRequest()
    ends = [first.feed(data[i : i + 1]) for i in range(len(data))]
    assert first.session == b"robot-7"
    assert first.path == PREDICT.path.encode()
    assert bytes(first.received) == data
    # Not before the last byte of the headers, before that of the message.
    assert ends.index(True) == len(data) - len(b"payload") - 9 - 1


@given(cuts=st.lists(st.integers(0, 3000)), requests=st.integers(1, 3), padding=st.integers(0, 900))
def test_pieces_and_later_requests_make_no_difference(
    cuts: list[int], requests: int, padding: int
) -> None:
    data = request(("x-long", "é" * padding), requests=requests)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    first = read(*pieces)
    assert first.over
    assert first.session == b"robot-7"
    assert bytes(first.received) == data


def in_frames(block: bytes, first_flags: int, prefix: bytes = b"", suffix: bytes = b"") -> bytes:
    """Returns a block of headers in three frames."""
    parts = [prefix + block[:5] + suffix, block[5:9], block[9:]]
    kinds = [(1, first_flags), (9, 0), (9, 4)]
    return b"".join(
        raw_frame(kind, 1, part, flags) for (kind, flags), part in zip(kinds, parts, strict=True)
    )


@pytest.mark.parametrize(
    ("flags", "prefix", "suffix"),
    [
        (0x0, b"", b""),
        (0x8, b"\x03", b"pad"),
        (0x20, struct.pack(">IB", 0, 1), b""),
        (0x28, b"\x03" + struct.pack(">IB", 0, 1), b"pad"),
    ],
    ids=["plain", "padded", "with priority", "both"],
)
def test_headers_in_several_frames_with_padding_and_priority_are_read(
    flags: int, prefix: bytes, suffix: bytes
) -> None:
    block = bytes(client().encoder.encode(HEADERS))
    first = read(PREFACE + raw_frame(4, 0) + in_frames(block, flags, prefix, suffix))
    assert first.over
    assert first.session == b"robot-7"


def test_a_request_without_a_session_has_none() -> None:
    connection = client()
    connection.send_headers(1, HEADERS[:-1])
    first = read(connection.data_to_send())
    assert first.over
    assert first.session is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02",
        PREFACE + raw_frame(0, 1, b"no headers before"),
        PREFACE + raw_frame(1, 1, b"\x00", 0) + raw_frame(6, 0, b"12345678"),
        PREFACE + raw_frame(1, 1, b"\xff\xff\xff\xff\xff\xff\xff", 4),
        PREFACE + raw_frame(1, 1, b"", 0xC),
        PREFACE + raw_frame(1, 1, b"\xff", 0xC),
        PREFACE + raw_frame(4, 0, bytes(6)) * 6000,
        PREFACE + b"\xff\xff\xff\x01\x04\0\0\0\x01",
    ],
    ids=[
        "HTTP/1",
        "TLS",
        "a message first",
        "a ping amid headers",
        "no compression",
        "no padding",
        "too much padding",
        "settings without end",
        "a frame without end",
    ],
)
def test_what_is_no_request_is_over_and_nobody_s(data: bytes) -> None:
    for first in (read(data), read(*(data[i : i + 7] for i in range(0, len(data), 7)))):
        assert first.over
        assert first.session is None
        assert bytes(first.received) == data


@pytest.mark.parametrize("data", [b"", b"PRI", PREFACE, PREFACE + raw_frame(4, 0), request()[:-90]])
def test_the_beginning_of_a_request_is_waited_on(data: bytes) -> None:
    assert not read(data).over
