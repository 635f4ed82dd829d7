# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What RFC 9113 says that an endpoint must do, sent and looked at byte by byte.

Each case is a section, what comes, and what must follow. What costs a peer more than that,
or nothing, is in ``test_hostile.py``.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.events import StreamEnded
from hpack import Decoder
from http2_peers import TIMEOUT, Peer, RawServer, framed, raw_frame

from praxis_remote import PolicyClient, PolicyServer, wire
from praxis_remote.calls import HEALTH_CHECK
from praxis_remote.errors import RemoteError
from praxis_remote.schema import HealthResponse
from praxis_remote.testing import RecordingHandler

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Step = bytes | int
"""What to send; or the stream whose end to wait for."""


def block(*fields: tuple[str, str]) -> bytes:
    """Returns fields without hpack's tables, as they are."""
    return b"".join(
        b"\0" + bytes([len(key)]) + key.encode() + bytes([len(value)]) + value.encode()
        for key, value in fields
    )


METHOD, SCHEME, PATH, TYPE = FIELDS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", HEALTH_CHECK.path),
    ("content-type", "application/grpc"),
]
BLOCK = block(*FIELDS)


def u32(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def setting(number: int, value: int) -> bytes:
    return raw_frame(SETTINGS, 0, struct.pack(">HI", number, value))


def headers(stream_id: int = 1, flags: int = END_HEADERS, fields: bytes = BLOCK) -> bytes:
    return raw_frame(HEADERS, stream_id, fields, flags)


def message(stream_id: int = 1, body: bytes = framed(b""), flags: int = END_STREAM) -> bytes:
    return raw_frame(DATA, stream_id, body, flags)


def request(stream_id: int = 1) -> bytes:
    return headers(stream_id) + message(stream_id)


class Wire:
    """A client of bytes: notes what the server does, frame by frame."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._received = bytearray()
        self._decoder = Decoder()
        self.notes: list[str] = []
        self.ended: set[int] = set()
        self.closed = False
        self.sent(PREFACE + raw_frame(SETTINGS, 0))

    def close(self) -> None:
        self._sock.close()

    def sent(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except ConnectionError:
            self.closed = True

    def wait_for(self, stream_id: int) -> None:
        """Reads until a stream has ended, or the connection."""
        while stream_id not in self.ended and not self.closed:
            self._read()

    def wait_for_note(self, note: str) -> None:
        while note not in self.notes and not self.closed:
            self._read()

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536)
        except ConnectionError:
            data = b""
        self.closed = not data
        self._received += data
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags, stream_id = struct.unpack(">BBI", self._received[3:9])
            body = bytes(self._received[9 : 9 + size])
            del self._received[: 9 + size]
            self._note(kind, flags, stream_id, body)

    def _note(self, kind: int, flags: int, stream_id: int, body: bytes) -> None:
        if kind == GOAWAY:
            self.notes.append(f"goaway {_name(body[4:8])}")
        elif kind == RST:
            self.notes.append(f"{stream_id} reset {_name(body)}")
            self.ended.add(stream_id)
        elif kind == HEADERS:
            fields: dict[Any, Any] = dict(self._decoder.decode(body))
            if "grpc-status" in fields:
                self.notes.append(f"{stream_id} status {fields['grpc-status']}")
            elif fields.get(":status", "200") != "200":
                self.notes.append(f"{stream_id} HTTP {fields[':status']}")
        elif kind == DATA:
            self.notes.append(f"{stream_id} data {len(body)}")
        elif kind == PING:
            self.notes.append(f"{'pong' if flags & ACK else 'ping'} {body.decode()}")
        elif kind == SETTINGS and flags & ACK:
            self.notes.append("settings acknowledged")
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream_id)


def _name(code: bytes) -> str:
    return ErrorCodes(int.from_bytes(code, "big")).name


def what_follows(port: int, *steps: Step) -> list[str]:
    """Returns what a server does, until it has answered one more call or has closed."""
    client = Wire(port)
    try:
        for step in steps:
            if isinstance(step, int):
                client.wait_for(step)
            else:
                client.sent(step)
        last = 2**31 - 1
        client.sent(request(last))
        client.wait_for(last)
        notes = [note for note in client.notes if not note.startswith(f"{last} ")]
        # That of its first settings, which each has sent.
        notes.remove("settings acknowledged")
        return notes
    finally:
        client.close()


# What a connection error of a kind, and a stream that is answered, look like.
PROTOCOL = ["goaway PROTOCOL_ERROR"]
FRAME_SIZE = ["goaway FRAME_SIZE_ERROR"]
FLOW_CONTROL = ["goaway FLOW_CONTROL_ERROR"]
OK = ["1 data 25", "1 status 0"]
# A message that is none of the rpc's, or missing.
REJECTED = ["1 status 3"]
RESET_CLOSED = ["1 reset STREAM_CLOSED"]
GIVEN_UP = headers() + raw_frame(RST, 1, u32(ErrorCodes.CANCEL))
TRAILERS = block(("a", "b"))

SERVER: dict[str, tuple[list[Step], list[str]]] = {
    "4.1 a frame of no known kind": ([raw_frame(0xAB, 1, b"x" * 100, 0xFF)], []),
    "4.1 flags that mean nothing": (
        [headers(flags=END_HEADERS | 0xD2) + message(flags=END_STREAM | 0xF6), 1],
        OK,
    ),
    "4.1 the reserved bit of a stream": ([headers(2**31 + 1) + message(2**31 + 1), 1], OK),
    "4.2 data of 2^14 bytes": ([headers() + message(body=framed(bytes(2**14 - 5))), 1], REJECTED),
    "4.2 headers of 2^14 bytes": (
        [headers(fields=BLOCK + block(("x", "y" * 126)) * 124), message(), 1],
        OK,
    ),
    "4.2 data over the limit": ([headers() + b"\x40\0\1\0\0" + u32(1)], FRAME_SIZE),
    "4.2 headers over the limit": ([b"\x40\0\1\1\4" + u32(1)], FRAME_SIZE),
    "4.3 headers of another stream amid": ([headers(1, 0) + headers(3)], PROTOCOL),
    "4.3 a priority amid headers": (
        [headers(1, 0) + raw_frame(PRIORITY, 1, bytes(5))],
        PROTOCOL,
    ),
    "5.1 idle: data": ([message()], PROTOCOL),
    "5.1 idle: reset": ([raw_frame(RST, 1, u32(8))], PROTOCOL),
    "5.1 idle: window update": ([raw_frame(WINDOW_UPDATE, 1, u32(1))], PROTOCOL),
    "5.1 idle: priority": ([raw_frame(PRIORITY, 1, bytes(5)) + request(), 1], OK),
    "5.1 half-closed: headers": ([request() + headers(flags=5)], RESET_CLOSED),
    "5.1 half-closed: continuation": (
        [request() + raw_frame(CONTINUATION, 1, BLOCK, END_HEADERS)],
        PROTOCOL,
    ),
    "5.1 half-closed: window update": (
        [request() + raw_frame(WINDOW_UPDATE, 1, u32(1)), 1],
        OK,
    ),
    "5.1 half-closed: priority": ([request() + raw_frame(PRIORITY, 1, bytes(5)), 1], OK),
    "5.1 half-closed: reset": ([request() + raw_frame(RST, 1, u32(8))], []),
    "5.1 closed by a reset: data": ([GIVEN_UP + message()], RESET_CLOSED),
    "5.1 closed by a reset: headers": ([GIVEN_UP + headers(flags=5)], RESET_CLOSED),
    "5.1 closed by a reset: window update": (
        [GIVEN_UP + raw_frame(WINDOW_UPDATE, 1, u32(1))],
        [],
    ),
    "5.1 closed by a reset: another": ([GIVEN_UP + raw_frame(RST, 1, u32(8))], []),
    "5.1 closed: data": ([request(), 1, message()], [*OK, *RESET_CLOSED]),
    "5.1 closed: headers": ([request(), 1, headers(flags=5)], [*OK, "goaway STREAM_CLOSED"]),
    "5.1 closed: continuation": (
        [request(), 1, raw_frame(CONTINUATION, 1, BLOCK, END_HEADERS)],
        [*OK, *PROTOCOL],
    ),
    "5.1 closed: window update": ([request(), 1, raw_frame(WINDOW_UPDATE, 1, u32(1))], OK),
    "5.1 closed: reset": ([request(), 1, raw_frame(RST, 1, u32(8))], OK),
    "5.1 closed: priority": ([request(), 1, raw_frame(PRIORITY, 1, bytes(5))], OK),
    "5.1.1 an even stream": ([headers(2)], PROTOCOL),
    "5.1.1 a stream below the last one": (
        [headers(5) + raw_frame(RST, 5, u32(8)) + headers(3)],
        PROTOCOL,
    ),
    "5.5 a frame of no known kind amid headers": (
        [headers(1, 0) + raw_frame(0xAB, 1)],
        PROTOCOL,
    ),
    "6.1 data on no stream": ([message(0)], PROTOCOL),
    "6.1 padding": (
        [headers() + message(body=b"\3" + framed(b"") + bytes(3), flags=9), 1],
        OK,
    ),
    "6.1 padding as long as the frame": (
        [headers() + message(body=b"\6" + bytes(5), flags=PADDED)],
        PROTOCOL,
    ),
    "6.2 headers on no stream": ([headers(0)], PROTOCOL),
    "6.2 padding": (
        [headers(flags=END_HEADERS | PADDED, fields=b"\3" + BLOCK + bytes(3)) + message(), 1],
        OK,
    ),
    "6.2 padding longer than the frame": (
        [headers(flags=END_HEADERS | PADDED, fields=b"\xff" + BLOCK)],
        PROTOCOL,
    ),
    "6.2 a priority": (
        [headers(flags=END_HEADERS | HAS_PRIORITY, fields=bytes(5) + BLOCK) + message(), 1],
        OK,
    ),
    "6.3 a priority on no stream": ([raw_frame(PRIORITY, 0, bytes(5))], PROTOCOL),
    "6.3 a priority of four bytes": ([headers() + raw_frame(PRIORITY, 1, bytes(4))], FRAME_SIZE),
    "6.4 a reset on no stream": ([raw_frame(RST, 0, u32(8))], PROTOCOL),
    "6.4 a reset of three bytes": ([headers() + raw_frame(RST, 1, bytes(3))], FRAME_SIZE),
    "6.5 settings on a stream": ([raw_frame(SETTINGS, 1)], PROTOCOL),
    "6.5 settings of five bytes": ([raw_frame(SETTINGS, 0, bytes(5))], FRAME_SIZE),
    "6.5.2 a push of 2": ([setting(2, 2)], PROTOCOL),
    "6.5.2 a window of 2^31": ([setting(4, 2**31)], FLOW_CONTROL),
    "6.5.2 frames of less than 2^14": ([setting(5, 2**14 - 1)], PROTOCOL),
    "6.5.2 frames of 2^24": ([setting(5, 2**24)], PROTOCOL),
    "6.5.2 a setting that nobody knows": ([setting(0xFF, 1)], ["settings acknowledged"]),
    "6.5.3 the last of two values": (
        [raw_frame(SETTINGS, 0, struct.pack(">HIHI", 4, 1, 4, 9999)) + request(), 1],
        ["settings acknowledged", *OK],
    ),
    "6.6 a push by a client": ([raw_frame(PUSH, 1, u32(2) + BLOCK, END_HEADERS)], PROTOCOL),
    "6.7 a ping": ([raw_frame(PING, 0, b"12345678")], ["pong 12345678"]),
    "6.7 an answer to a ping": ([raw_frame(PING, 0, b"12345678", ACK)], []),
    "6.7 a ping on a stream": ([raw_frame(PING, 1, bytes(8))], PROTOCOL),
    "6.7 a ping of seven bytes": ([raw_frame(PING, 0, bytes(7))], FRAME_SIZE),
    "6.8 a goodbye on a stream": ([raw_frame(GOAWAY, 1, u32(0, 0))], PROTOCOL),
    "6.9 a window update of nothing": ([raw_frame(WINDOW_UPDATE, 0, u32(0))], PROTOCOL),
    "6.9 a window update of nothing on a stream": (
        [headers() + raw_frame(WINDOW_UPDATE, 1, u32(0))],
        PROTOCOL,
    ),
    "6.9 a window update of three bytes": ([raw_frame(WINDOW_UPDATE, 0, bytes(3))], FRAME_SIZE),
    "6.9.1 a window over 2^31": (
        [raw_frame(WINDOW_UPDATE, 0, u32(2**31 - 1))],
        FLOW_CONTROL,
    ),
    "6.9.1 a stream's window over 2^31": (
        [headers() + raw_frame(WINDOW_UPDATE, 1, u32(2**31 - 1))],
        ["1 reset FLOW_CONTROL_ERROR"],
    ),
    "6.9.2 a stream's window over 2^31 by settings": (
        [headers() + raw_frame(WINDOW_UPDATE, 1, u32(2**31 - 1 - 65535)) + setting(4, 65536)],
        FLOW_CONTROL,
    ),
    "6.10 several continuations": (
        [
            headers(flags=0, fields=BLOCK[:7])
            + raw_frame(CONTINUATION, 1, BLOCK[7:20])
            + raw_frame(CONTINUATION, 1, BLOCK[20:], END_HEADERS)
            + message(),
            1,
        ],
        OK,
    ),
    "6.10 continuations of a request without a message": (
        [
            headers(flags=END_STREAM, fields=BLOCK[:7])
            + raw_frame(CONTINUATION, 1, BLOCK[7:], END_HEADERS),
            1,
        ],
        REJECTED,
    ),
    "6.10 a continuation on no stream": (
        [headers(flags=0) + raw_frame(CONTINUATION, 0, b"", END_HEADERS)],
        PROTOCOL,
    ),
    "6.10 a continuation of another stream": (
        [headers(flags=0) + raw_frame(CONTINUATION, 3, b"", END_HEADERS)],
        PROTOCOL,
    ),
    "6.10 a continuation after the end": (
        [headers() + raw_frame(CONTINUATION, 1, b"", END_HEADERS)],
        PROTOCOL,
    ),
    "6.10 a continuation after data": (
        [headers() + message(flags=0) + raw_frame(CONTINUATION, 1, b"", END_HEADERS)],
        PROTOCOL,
    ),
    "8.1 trailers": ([headers() + message(flags=0) + headers(flags=5, fields=TRAILERS), 1], OK),
    "8.1 trailers that are not the end": (
        [headers() + message(flags=0) + headers(fields=TRAILERS)],
        PROTOCOL,
    ),
    "8.1.1 a content-length that is right": (
        [headers(fields=BLOCK + block(("content-length", "5"))) + message(), 1],
        OK,
    ),
    "8.1.1 less than the content-length": (
        [headers(fields=BLOCK + block(("content-length", "6"))) + message()],
        PROTOCOL,
    ),
    "8.1.1 more than the content-length": (
        [headers(fields=BLOCK + block(("content-length", "4"))) + message()],
        PROTOCOL,
    ),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with PolicyServer(RecordingHandler(), port=0) as server:
        yield server.port


@pytest.mark.parametrize("case", SERVER)
def test_a_server_does_what_the_protocol_says(case: str, port: int) -> None:
    steps, expected = SERVER[case]
    assert what_follows(port, *steps) == expected


def test_6_9_a_response_goes_as_far_as_its_window_and_on_when_it_grows(port: int) -> None:
    client = Wire(port)
    try:
        client.sent(setting(4, 3) + request())
        client.wait_for_note("1 data 3")
        client.sent(raw_frame(WINDOW_UPDATE, 1, u32(10)))
        client.wait_for_note("1 data 10")
        # Below zero: 13 of now 5 are sent. What makes it 1 lets one byte go.
        client.sent(setting(4, 0) + raw_frame(WINDOW_UPDATE, 1, u32(4)))
        client.wait_for_note("1 data 1")
        client.sent(setting(4, 2**16))
        client.wait_for(1)
        assert [note for note in client.notes if note.startswith("1 ")] == [
            *("1 data 3", "1 data 10", "1 data 1", "1 data 11"),
            "1 status 0",
        ]
    finally:
        client.close()


# ---------------------------------------------------------------- clients

RESPONSE = block((":status", "200"), ("content-type", "application/grpc"))
STATUS = block(("grpc-status", "0"))
HEALTHY = framed(wire.write_message(HealthResponse(ready=True, model_info="honest")))


def answered(stream_id: int = 1) -> bytes:
    return (
        headers(stream_id, fields=RESPONSE)
        + message(stream_id, HEALTHY, 0)
        + headers(stream_id, 5, STATUS)
    )


# What a server sends behind a request instead of an answer, and the client's last word.
CLIENT: dict[str, tuple[bytes, str]] = {
    "4.2 data over the limit": (headers(fields=RESPONSE) + b"\x40\0\1\0\0" + u32(1), FRAME_SIZE[0]),
    "4.3 a ping amid headers": (headers(flags=0) + raw_frame(PING, 0, bytes(8)), PROTOCOL[0]),
    "5.1 idle: data": (message(3), PROTOCOL[0]),
    "5.1 idle: window update": (raw_frame(WINDOW_UPDATE, 3, u32(1)), PROTOCOL[0]),
    "6.1 data on no stream": (message(0), PROTOCOL[0]),
    "6.2 headers on no stream": (headers(0, fields=RESPONSE), PROTOCOL[0]),
    "6.4 a reset on no stream": (raw_frame(RST, 0, u32(8)), PROTOCOL[0]),
    "6.5 settings on a stream": (raw_frame(SETTINGS, 1), PROTOCOL[0]),
    "6.5.2 a push of 2": (setting(2, 2), PROTOCOL[0]),
    "6.5.2 a window of 2^31": (setting(4, 2**31), FLOW_CONTROL[0]),
    "6.5.2 frames of less than 2^14": (setting(5, 2**14 - 1), PROTOCOL[0]),
    "6.6 a push that was forbidden": (
        raw_frame(PUSH, 1, u32(2) + BLOCK, END_HEADERS),
        PROTOCOL[0],
    ),
    "6.7 a ping on a stream": (raw_frame(PING, 1, bytes(8)), PROTOCOL[0]),
    "6.9 a window update of nothing": (raw_frame(WINDOW_UPDATE, 0, u32(0)), PROTOCOL[0]),
    "6.9.1 a window over 2^31": (raw_frame(WINDOW_UPDATE, 0, u32(2**31 - 1)), FLOW_CONTROL[0]),
    "6.10 a continuation of nothing": (
        raw_frame(CONTINUATION, 1, RESPONSE, END_HEADERS),
        PROTOCOL[0],
    ),
}


@pytest.mark.parametrize("case", CLIENT)
def test_a_client_does_what_the_protocol_says(case: str) -> None:
    frames, expected = CLIENT[case]
    notes: list[str] = []

    def script(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        peer.sock.sendall(frames)
        notes.extend(_last_words(peer))

    with (
        RawServer(script) as server,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT, retries=0) as client,
        pytest.raises(RemoteError),
    ):
        client.health_check()
    assert notes == [expected]


def _last_words(peer: Peer) -> list[str]:
    received, notes = bytearray(), []
    while data := peer.sock.recv(65536):
        received += data
    while received:
        size = int.from_bytes(received[:3], "big")
        if received[3] == GOAWAY:
            notes.append(f"goaway {_name(bytes(received[13:17]))}")
        del received[: 9 + size]
    return notes


# What a client must take as if it had not come.
PASSED_OVER: dict[str, bytes] = {
    "4.1 a frame of no known kind": raw_frame(0xAB, 1, b"x" * 100, 0xFF),
    "5.1 a priority": raw_frame(PRIORITY, 1, bytes(5)),
    "6.5.2 a setting that nobody knows": setting(0xFF, 1),
    "6.7 an answer to a ping": raw_frame(PING, 0, bytes(8), ACK),
    "8.1 an interim response": headers(fields=block((":status", "103"))),
}


@pytest.mark.parametrize("case", PASSED_OVER)
def test_a_client_passes_over_what_it_must(case: str) -> None:
    def script(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        peer.sock.sendall(PASSED_OVER[case] + answered())
        peer.wait_closed()

    with (
        RawServer(script) as server,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT, retries=0) as client,
    ):
        assert client.health_check() == (True, "honest")
        client.close()
