# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Frames however they are cut: whole, byte by byte, and as Hypothesis likes."""

from __future__ import annotations

import pytest
from http2_peers import raw_frame
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.http2.offence import OffenceError
from praxis_remote.http2.patience import Patience
from praxis_remote.http2.receiving import Receiver

DATA, HEADERS, SETTINGS, CONTINUATION = 0, 1, 4, 9
END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 32
GREETING = raw_frame(SETTINGS, 0)
MAX_FRAME_SIZE = 2**20


class Target:
    """A call that takes payloads, into a place of its own where it has one."""

    def __init__(self, *, has_place: bool) -> None:
        self.content = bytearray()
        self.direct = 0
        self._has_place = has_place
        self._place = bytearray()

    def receive_data(self, data: memoryview) -> None:
        self.content += data

    def receive_into(self, size: int) -> memoryview | None:
        if not self._has_place:
            return None
        self._place = bytearray(size)
        return memoryview(self._place)

    def received_into(self, size: int) -> None:
        self.content += self._place[:size]
        self.direct += size


class Log:
    """A receiver, and what became of what it was given."""

    def __init__(self, *, client_side: bool = True, has_place: bool = True) -> None:
        self.targets = {1: Target(has_place=has_place), 3: Target(has_place=has_place)}
        self.fed = bytearray()
        self.blocks: list[tuple[int, bytes, bool]] = []
        self.completed: list[tuple[int, int, bool]] = []
        self.receiver = Receiver(
            client_side=client_side,
            max_frame_size=MAX_FRAME_SIZE,
            max_block=2**14,
            find=self.targets.get,
            feed=self.fed.extend,
            headers=lambda *frame: self.blocks.append(frame),
            complete=lambda *frame: self.completed.append(frame),
            patience=Patience(),
        )
        self.turns = 0

    def give(self, data: bytes, *sizes: int) -> None:
        position = turn = 0
        while position < len(data):
            place = self.receiver.buffer()
            size = min(len(place), sizes[turn % len(sizes)] if sizes else len(place))
            part = data[position : position + size]
            place[: len(part)] = part
            self.receiver.received(len(part))
            while self.receiver.behind:
                self.turns += 1
                self.receiver.go_on()
            position, turn = position + len(part), turn + 1


frame = st.one_of(
    st.tuples(
        st.just(DATA),
        st.sampled_from([1, 3]),
        st.binary(min_size=1, max_size=300) | st.integers(40_000, 90_000).map(bytes),
        st.sampled_from([0, END_STREAM]),
    ),
    st.tuples(st.just(DATA), st.just(5), st.binary(max_size=50), st.just(0)),
    st.tuples(
        st.just(DATA),
        st.sampled_from([1, 5]),
        st.tuples(st.binary(max_size=50) | st.just(bytes(40_000)), st.integers(0, 255)).map(
            lambda parts: bytes([parts[1]]) + parts[0] + bytes(parts[1])
        ),
        st.sampled_from([PADDED, PADDED | END_STREAM]),
    ),
    st.tuples(
        st.just(0xAB), st.integers(0, 5), st.just(bytes(200_000)), st.sampled_from([0, PADDED])
    ),
    st.tuples(
        st.sampled_from([SETTINGS, 0xAB]),
        st.sampled_from([0, 1]),
        st.binary(max_size=50),
        st.just(END_HEADERS),
    ),
    st.tuples(
        st.just(HEADERS),
        st.sampled_from([1, 3, 5]),
        st.binary(max_size=50) | st.integers(10_000, 16_384).map(bytes),
        st.sampled_from(
            [END_HEADERS, END_HEADERS | END_STREAM, END_HEADERS | PADDED, END_HEADERS | PRIORITY]
        ),
    ),
)


def payload(body: bytes, flags: int) -> bytes:
    """The part of a DATA frame that belongs to a message."""
    return body[1 : len(body) - body[0]] if flags & PADDED else body


def is_block(kind: int, size: int, flags: int) -> bool:
    """Whether a frame is a block of headers that need not take the long way."""
    return kind == HEADERS and not flags & (PADDED | PRIORITY) and size <= 16 * 1024


@given(
    st.lists(frame, max_size=8),
    st.lists(st.integers(1, 5000), min_size=1, max_size=5),
    st.booleans(),
)
def test_payloads_and_other_frames_arrive_whole_however_they_are_cut(
    frames: list[tuple[int, int, bytes, int]], sizes: list[int], has_place: bool
) -> None:
    log = Log(has_place=has_place)
    data = GREETING + b"".join(raw_frame(k, s, body, flags) for k, s, body, flags in frames)
    log.give(data, *sizes)
    data_frames = [f for f in frames if f[0] == DATA]
    for stream_id, target in log.targets.items():
        assert target.content == b"".join(
            payload(f[2], f[3]) for f in data_frames if f[1] == stream_id
        )
    assert log.completed == [(f[1], len(f[2]), bool(f[3] & END_STREAM)) for f in data_frames]
    assert log.receiver.moved == sum(len(payload(f[2], f[3])) for f in data_frames)
    blocks = [f for f in frames if is_block(f[0], len(f[2]), f[3])]
    assert log.blocks == [(f[1], f[2], bool(f[3] & END_STREAM)) for f in blocks]
    others = [f for f in frames if f[0] in (SETTINGS, HEADERS) and f not in blocks]
    assert log.fed == GREETING + b"".join(raw_frame(*f[:3], f[3]) for f in others)


def test_byte_by_byte_is_the_same_as_whole() -> None:
    data = GREETING + raw_frame(HEADERS, 1, b"h", END_HEADERS) + raw_frame(DATA, 1, b"abc", 1)
    whole, slow = Log(), Log()
    whole.give(data)
    slow.give(data, 1)
    assert whole.fed == slow.fed == GREETING
    assert whole.blocks == slow.blocks == [(1, b"h", False)]
    assert whole.completed == slow.completed == [(1, 3, True)]
    assert whole.targets[1].content == slow.targets[1].content == b"abc"


def test_a_large_payload_goes_into_its_place_and_not_through_the_buffer() -> None:
    log = Log()
    log.give(GREETING)
    log.give(raw_frame(DATA, 1, bytes(900_000)))
    assert len(log.targets[1].content) == 900_000
    assert log.targets[1].direct > 700_000


def test_a_clients_preface_is_fed_before_its_frames() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    log = Log(client_side=False)
    log.give(preface + GREETING + raw_frame(DATA, 1, b"x"), 7)
    assert log.fed == preface + GREETING
    assert log.targets[1].content == b"x"


def test_data_amid_a_block_of_headers_is_left_to_the_state_machine() -> None:
    log = Log()
    frames = [
        raw_frame(HEADERS, 1, b"a"),
        raw_frame(DATA, 1, b"x"),
        raw_frame(CONTINUATION, 1, b"b", END_HEADERS),
        raw_frame(DATA, 1, b"y"),
    ]
    log.give(GREETING + b"".join(frames))
    assert log.fed == GREETING + b"".join(frames[:3])
    assert log.targets[1].content == b"y"


def test_a_server_that_greets_with_something_else_is_found_out_at_nine_bytes() -> None:
    with pytest.raises(OffenceError, match=r"first bytes were b'HTTP/1\.1 '"):
        Log().give(b"HTTP/1.1 400 Bad Request\r\n", 1)


@pytest.mark.parametrize("kind", [DATA, HEADERS, 0xAB])
def test_a_frame_over_the_limit_is_refused_at_its_head(kind: int) -> None:
    log = Log()
    log.give(GREETING)
    with pytest.raises(OffenceError, match=r"a frame of 1048577 bytes; allowed: (1048576|16384)"):
        log.give(raw_frame(kind, 1, bytes(MAX_FRAME_SIZE + 1))[:9])


def test_frames_of_kinds_that_nobody_knows_are_dropped_however_large_they_are() -> None:
    log = Log()
    log.give(GREETING + raw_frame(0xAB, 1, bytes(MAX_FRAME_SIZE)) + raw_frame(DATA, 1, b"x"))
    assert log.fed == GREETING
    assert log.targets[1].content == b"x"


@pytest.mark.parametrize("kind", [SETTINGS, CONTINUATION, HEADERS])
def test_no_frame_but_data_may_be_larger_than_headers_are(kind: int) -> None:
    log = Log()
    log.give(GREETING)
    with pytest.raises(OffenceError, match="a frame of 16385 bytes; allowed: 16384"):
        log.give(raw_frame(kind, 1, bytes(16385))[:9])


def test_a_block_of_headers_in_many_frames_is_bounded_before_it_is_there() -> None:
    log = Log()
    log.give(GREETING + raw_frame(HEADERS, 1, bytes(8_000)))
    log.give(raw_frame(CONTINUATION, 1, bytes(8_000)))
    with pytest.raises(OffenceError, match="a block of headers of 16385 bytes; allowed: 16384"):
        log.give(raw_frame(CONTINUATION, 1, bytes(385), END_HEADERS)[:9])


def test_blocks_of_headers_that_end_are_counted_each_for_itself() -> None:
    log = Log()
    for _ in range(4):
        log.give(GREETING + raw_frame(HEADERS, 1, bytes(8_000)))
        log.give(raw_frame(CONTINUATION, 1, bytes(8_000), END_HEADERS))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "padding in an empty frame"),
        (b"\x01", "padding of 2 bytes in a frame of 1"),
        (b"\xffabc", "padding of 256 bytes in a frame of 4"),
    ],
)
def test_padding_that_is_longer_than_its_frame_is_refused(body: bytes, text: str) -> None:
    log = Log()
    log.give(GREETING)
    with pytest.raises(OffenceError, match=text):
        log.give(raw_frame(DATA, 1, body, PADDED))


def test_many_frames_at_once_are_handled_in_turns() -> None:
    log = Log()
    log.give(GREETING + raw_frame(HEADERS, 1, b"h", END_HEADERS) * 1000)
    assert len(log.blocks) == 1000
    assert log.turns == 1000 // 16


def test_crumbs_of_a_message_use_up_patience_and_its_last_one_does_not() -> None:
    log = Log()
    log.give(GREETING + raw_frame(DATA, 1, b"x", END_STREAM) * 1000)
    with pytest.raises(OffenceError, match="too many pings"):
        log.give(raw_frame(DATA, 1, b"x") * 2000)
