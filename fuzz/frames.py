# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""HTTP/2 frames that need not be any, one by one.

Nothing here knows in which order frames may come.
"""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from hpack import Encoder
from http2_peers import framed
from oracle import encoded, joined
from strategies import Request

from fuzz.mutation import mutate
from praxis_remote.calls import HEALTH_CHECK, PREDICT, RESET
from praxis_remote.codec import encode_predict_response
from praxis_remote.schema import HealthResponse, ResetRequest, ResetResponse

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
(
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
) = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x4, 0x8, 0x20
_HEAD = struct.Struct(">BHBBL")

# On the way the largest message is not worth its time.
_MESSAGES: dict[bool, tuple[bytes, ...]] = {
    True: (
        bytes(encoded(Request([{"state": np.zeros(3, "f4"), "task": "lift"}], {"a": [1]}, ["x"]))),
        bytes(encoded(Request([{"image": np.zeros((160, 160, 3), "u1")}], None, None))),
        bytes(ResetRequest(episode_ids=["a"])),
        b"",
        b"\x48\x01",
        b"\x0a\xff",
    ),
    False: (
        bytes(joined(encode_predict_response(np.zeros((1, 7), "f4")))),
        bytes(joined(encode_predict_response(np.zeros((160, 160), "f4")))),
        bytes(HealthResponse(ready=True, model_info="fuzz")),
        bytes(ResetResponse(success=True)),
        b"",
        b"\x0a\xff",
    ),
}

_REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PREDICT.path),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
_RESPONSE = ((":status", "200"), ("content-type", "application/grpc"))
_ODD = (
    (":path", HEALTH_CHECK.path),
    (":path", RESET.path),
    (":path", "/none"),
    (":path", ""),
    (":method", "GET"),
    (":status", "100"),
    (":status", "103"),
    (":status", "500"),
    (":status", "x"),
    (":odd", ""),
    ("content-type", "text/html"),
    ("content-length", "5"),
    ("content-length", "-1"),
    ("content-length", "x"),
    ("content-length", "9" * 5000),
    ("grpc-timeout", "1n"),
    ("grpc-timeout", "0S"),
    ("grpc-timeout", "99999999H"),
    ("grpc-timeout", "\u0661S"),
    ("grpc-timeout", ""),
    ("grpc-encoding", "gzip"),
    ("grpc-encoding", "deflate"),
    ("grpc-encoding", "br"),
    ("grpc-status", "0"),
    ("grpc-status", "4"),
    ("grpc-status", "99"),
    ("grpc-status", "\u0661"),
    ("grpc-status", "9" * 5000),
    ("grpc-message", "%zz%ff%"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("Upper", "Case"),
    ("", ""),
    ("a\r\nb", "c\0d"),
    ("robot", "x" * 3000),
    ("odd-bin", "?"),
    ("odd-bin", "AAE,AAI"),
    ("caf\u00e9", "\u00ff"),
)
_SETTINGS = (0, 1, 2, 3, 4, 5, 6, 8, 9, 0x0A0A, 0xFFFF)
_VALUES = (0, 1, 2, 100, 16383, 16384, 65535, 2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_STREAMS = (0, 1, 1, 1, 2, 3, 3, 5, 7, 2**31 - 1, 2**31, 2**31 + 1)


class Frame(NamedTuple):
    """A frame.

    Attributes:
        excess: What its head says too much of its length.
    """

    kind: int
    flags: int
    stream_id: int
    body: bytes
    excess: int = 0

    def write(self) -> bytes:
        """Returns it as bytes, as it says."""
        size = min(max(0, len(self.body) + self.excess), 2**24 - 1)
        head = _HEAD.pack(size >> 16, size & 0xFFFF, self.kind, self.flags, self.stream_id)
        return head + self.body


def parse(data: bytes) -> list[Frame | bytes]:
    """Returns the frames in data, and a preface or rest as bytes."""
    found: list[Frame | bytes] = []
    position = 0
    if data.startswith(PREFACE):
        found.append(PREFACE)
        position = len(PREFACE)
    while len(data) - position >= _HEAD.size:
        high, low, kind, flags, stream_id = _HEAD.unpack_from(data, position)
        stop = position + _HEAD.size + (high << 16 | low)
        if stop > len(data):
            break
        found.append(Frame(kind, flags, stream_id, data[position + _HEAD.size : stop]))
        position = stop
    return [*found, data[position:]] if position < len(data) else found


class FrameMaker:
    """Makes frames of one connection's end.

    Args:
        pick: Decides everything.
        client: Whether it is the client's end.
    """

    def __init__(self, pick: random.Random, *, client: bool) -> None:
        self._pick = pick
        self._client = client
        self._encoder = Encoder()
        self._kinds: tuple[Callable[[int], list[Frame]], ...] = (
            self.headers,
            self.headers,
            self.headers,
            self.data,
            self.data,
            self._priority,
            self._reset,
            self.settings,
            self._push_promise,
            self._ping,
            self._goaway,
            self._window_update,
            self._continuation,
            self._unknown,
        )

    def some(self) -> list[Frame]:
        """Returns a frame or two of any kind."""
        return self._pick.choice(self._kinds)(self._pick.choice(_STREAMS))

    def call(self, stream_id: int) -> list[Frame]:
        """Returns what one side sends in a call, more or less."""
        frames = [*self.headers(stream_id, end=False), *self.data(stream_id)]
        if not self._client or self._pick.random() < 0.2:
            frames += self._block(stream_id, self._odd((("grpc-status", "0"),), 0.2), END_STREAM)
        return frames

    def headers(self, stream_id: int, end: bool | None = None) -> list[Frame]:
        """Returns a block of headers, in one frame or in several."""
        if self._pick.random() < 0.1:
            return [
                Frame(
                    HEADERS,
                    self._flags(),
                    stream_id,
                    self._pick.randbytes(self._pick.randrange(40)),
                )
            ]
        flags = END_STREAM if (self._pick.random() < 0.3 if end is None else end) else 0
        usual = _REQUEST if self._client else _RESPONSE
        return self._block(stream_id, self._odd(usual, 0.4), flags)

    def _odd(self, usual: Sequence[tuple[str, str]], odd: float) -> list[tuple[str, str]]:
        pairs = list(usual)
        while self._pick.random() < odd:
            pair = self._pick.choice(_ODD)
            there = [place for place, (key, _) in enumerate(pairs) if key == pair[0]]
            if there and self._pick.random() < 0.8:
                pairs[there[0]] = pair
            else:
                pairs.insert(self._pick.randrange(len(pairs) + 1), pair)
            if self._pick.random() < 0.1:
                del pairs[self._pick.randrange(len(pairs))]
        return pairs

    def _block(self, stream_id: int, pairs: Sequence[tuple[str, str]], flags: int) -> list[Frame]:
        coded = [(key.encode("latin-1", "replace"), value.encode("utf-8")) for key, value in pairs]
        block = self._encoder.encode(coded, huffman=self._pick.random() < 0.5)
        if self._pick.random() < 0.1:
            block = mutate(self._pick, block, ())
        if self._pick.random() < 0.85:
            return [self._padded(Frame(HEADERS, flags | END_HEADERS, stream_id, block))]
        cut = self._pick.randrange(len(block) + 1)
        return [
            Frame(HEADERS, flags, stream_id, block[:cut]),
            Frame(CONTINUATION, END_HEADERS, stream_id, block[cut:]),
        ]

    def data(self, stream_id: int) -> list[Frame]:
        """Returns a message, good or not, in one frame or in several."""
        message = self._message()
        if self._pick.random() < 0.7:
            return [
                self._padded(Frame(DATA, self._pick.choice((0, END_STREAM)), stream_id, message))
            ]
        cut = self._pick.randrange(len(message) + 1)
        return [
            Frame(DATA, 0, stream_id, message[:cut]),
            Frame(DATA, END_STREAM, stream_id, message[cut:]),
        ]

    def _message(self) -> bytes:
        message = self._pick.choice(_MESSAGES[self._client])
        if self._pick.random() < 0.2:
            message = mutate(self._pick, message, _MESSAGES[self._client])
        kind = self._pick.random()
        if kind < 0.7:
            return framed(message)
        if kind < 0.8:
            packed = self._pick.choice(
                (gzip.compress(message, mtime=0), zlib.compress(message), message)
            )
            return struct.pack(">BI", 1, len(packed)) + packed
        if kind < 0.9:
            return (
                struct.pack(">BI", self._pick.choice((0, 1, 2, 255)), self._pick.choice(_VALUES))
                + message
            )
        return mutate(self._pick, framed(message), ())

    def _padded(self, frame: Frame) -> Frame:
        if self._pick.random() < 0.15:
            size = self._pick.choice((0, 1, 5, 255))
            body = bytes((size,)) + frame.body + bytes(size if self._pick.random() < 0.8 else 0)
            frame = frame._replace(flags=frame.flags | PADDED, body=body)
        if frame.kind == HEADERS and self._pick.random() < 0.1:
            at = 1 if frame.flags & PADDED else 0
            weight = struct.pack(">LB", self._pick.choice(_STREAMS), self._pick.randrange(256))
            body = frame.body[:at] + weight + frame.body[at:]
            frame = frame._replace(flags=frame.flags | WITH_PRIORITY, body=body)
        return frame

    def settings(self, stream_id: int = 0) -> list[Frame]:
        """Returns settings, greased ones too, or an acknowledgement."""
        stream_id = stream_id if self._pick.random() < 0.1 else 0
        if self._pick.random() < 0.2:
            return [Frame(SETTINGS, 1, stream_id, b"")]
        pairs = [
            (self._pick.choice(_SETTINGS), self._pick.choice(_VALUES))
            for _ in range(self._pick.randrange(4))
        ]
        return [
            Frame(SETTINGS, 0, stream_id, b"".join(struct.pack(">HL", *pair) for pair in pairs))
        ]

    def _priority(self, stream_id: int) -> list[Frame]:
        return [Frame(PRIORITY, 0, stream_id, struct.pack(">LB", self._pick.choice(_STREAMS), 7))]

    def _reset(self, stream_id: int) -> list[Frame]:
        return [Frame(RST_STREAM, 0, stream_id, struct.pack(">L", self._code()))]

    def _push_promise(self, stream_id: int) -> list[Frame]:
        promised = struct.pack(">L", self._pick.choice(_STREAMS))
        return [
            Frame(PUSH_PROMISE, END_HEADERS, stream_id, promised + self._encoder.encode(_REQUEST))
        ]

    def _ping(self, stream_id: int) -> list[Frame]:
        stream_id = stream_id if self._pick.random() < 0.1 else 0
        return [Frame(PING, self._pick.choice((0, 1)), stream_id, bytes(8))] * self._pick.choice(
            (1, 1, 50)
        )

    def _goaway(self, stream_id: int) -> list[Frame]:
        last = self._pick.choice(_STREAMS)
        text = self._pick.choice((b"", b"bye", b"\xff" * 300))
        return [Frame(GOAWAY, 0, 0, struct.pack(">LL", last, self._code()) + text)]

    def _window_update(self, stream_id: int) -> list[Frame]:
        return [Frame(WINDOW_UPDATE, 0, stream_id, struct.pack(">L", self._pick.choice(_VALUES)))]

    def _continuation(self, stream_id: int) -> list[Frame]:
        return [Frame(CONTINUATION, self._flags(), stream_id, self._pick.randbytes(5))]

    def _unknown(self, stream_id: int) -> list[Frame]:
        kind = self._pick.choice((0x0A, 0x0C, 0x10, 0x21, 0xAB, 0xFF))
        return [
            Frame(kind, self._flags(), stream_id, self._pick.randbytes(self._pick.randrange(20)))
        ]

    def _code(self) -> int:
        code: int = self._pick.choice((0, 0, *range(14), 14, 255, 2**32 - 1))
        return code

    def _flags(self) -> int:
        return self._pick.choice((0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF, self._pick.randrange(256)))

    def change(self, frame: Frame) -> Frame:
        """Returns a frame with one thing changed."""
        kind = self._pick.randrange(6)
        if kind == 0:
            return frame._replace(flags=frame.flags ^ 1 << self._pick.randrange(8))
        if kind == 1:
            return frame._replace(stream_id=self._pick.choice(_STREAMS))
        if kind == 2:
            return frame._replace(kind=self._pick.randrange(12))
        if kind == 3:
            return frame._replace(excess=self._pick.choice((-1, 1, 9, 2**14, 2**22, 2**24)))
        return frame._replace(body=mutate(self._pick, frame.body, ()))
