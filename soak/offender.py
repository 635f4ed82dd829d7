# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A peer that means harm: ``python -m soak.offender PORT NAME``, until the end of its input.

It does the same again and again, on a new connection whenever it has lost its own.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count

from praxis_remote.calls import HEALTH_CHECK, PREDICT
from praxis_remote.codec import encode_predict_request

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_END_STREAM, _END_HEADERS = 1, 4
_MB = 2**20
_CHUNK = 2**14


def _frame(kind: int, stream_id: int, body: bytes = b"", flags: int = 0) -> bytes:
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream_id) + body


def _block(path: str, *more: tuple[str, str]) -> bytes:
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        ("content-type", "application/grpc"),
        *more,
    ]
    return b"".join(
        b"\0" + bytes([len(key)]) + key.encode() + bytes([len(value)]) + value.encode()
        for key, value in fields
    )


# Windows as wide as they go, so that answers are not what it waits for.
_GREETING = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + _frame(_SETTINGS, 0, struct.pack(">HI", 4, 2**31 - 1))
    + _frame(_WINDOW_UPDATE, 0, struct.pack(">I", 2**31 - 1 - 65535))
)
_HEALTH, _PREDICT = _block(HEALTH_CHECK.path), _block(PREDICT.path)
_ZIPPED = _block(PREDICT.path, ("grpc-encoding", "gzip"))


def _open(stream_id: int, block: bytes = _PREDICT) -> bytes:
    return _frame(_HEADERS, stream_id, block, _END_HEADERS)


def _framed(message: bytes, *, squeezed: bool = False) -> bytes:
    return bytes([squeezed]) + len(message).to_bytes(4, "big") + message


def _in_frames(stream_id: int, data: bytes) -> bytes:
    parts = [data[place : place + _CHUNK] for place in range(0, len(data), _CHUNK)]
    last = _frame(_DATA, stream_id, parts[-1], _END_STREAM)
    return b"".join(_frame(_DATA, stream_id, part) for part in parts[:-1]) + last


class _Sender:
    """A connection that sends, and reads what comes, whichever is possible."""

    def __init__(self, port: int, greeting: bytes = _GREETING) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 10)
        self._sock.setblocking(False)
        self._received = bytearray()
        self._ended = 0
        self.send(greeting)

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            readable, writable, _ = select.select([self._sock], [self._sock], [], 10)
            if readable:
                self._read()
            if writable:
                with suppress(BlockingIOError):
                    rest = rest[self._sock.send(rest) :]

    def wait_ended(self, streams: int = 1) -> None:
        """Waits until so many streams have ended."""
        while self._ended < streams:
            if not select.select([self._sock], [], [], 60)[0]:
                raise ConnectionError("no answer")
            self._read()
        self._ended -= streams

    def _read(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionError("closed by the server")
        self._received += data
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags = self._received[3], self._received[4]
            self._ended += kind == _RST or (kind == _HEADERS and bool(flags & _END_STREAM))
            del self._received[: 9 + size]

    def sip(self, size: int) -> None:
        """Reads no more than so many bytes."""
        with suppress(BlockingIOError):
            if not self._sock.recv(size):
                raise ConnectionError("closed by the server")

    def close(self) -> None:
        self._sock.close()


def _flood(make: Callable[[int], bytes], begin: bytes = b"") -> Callable[[int], None]:
    """Returns what sends ever more frames at once; `make` gets the number of each."""

    def run(port: int) -> None:
        sender = _Sender(port)
        try:
            sender.send(begin)
            for turn in count(0, 100):
                sender.send(b"".join(map(make, range(turn, turn + 100))))
        finally:
            sender.close()

    return run


def _messages(block: bytes, make: Callable[[], bytes]) -> Callable[[int], None]:
    """Returns what sends one message after the other, each when the last is answered."""
    made: list[bytes] = []

    def run(port: int) -> None:
        if not made:
            made.append(make())
        sender = _Sender(port)
        try:
            for stream_id in count(1, 2):
                sender.send(_open(stream_id, block) + _in_frames(stream_id, made[0]))
                sender.wait_ended()
        finally:
            sender.close()

    return run


def _bomb() -> bytes:
    squeeze = zlib.compressobj(9, wbits=31)
    return _framed(squeeze.compress(bytes(64 * _MB)) + squeeze.flush(), squeezed=True)


def _nothing(port: int) -> None:  # noqa: ARG001 - as all of them
    time.sleep(3600)


def _spin(port: int) -> None:  # noqa: ARG001 - as all of them
    """Uses a processor, to tell what a busy neighbour costs that never calls."""
    while True:
        sum(range(1000))


def _unfinished(port: int) -> None:
    """Sends all but the end of 60 MB, on eight streams, and stays."""
    sender = _Sender(port)
    head = b"\0" + (60 * _MB).to_bytes(4, "big")
    try:
        for stream_id in range(1, 17, 2):
            sender.send(_open(stream_id) + _frame(_DATA, stream_id, head))
            for _ in range(59 * _MB // _CHUNK):
                sender.send(_frame(_DATA, stream_id, bytes(_CHUNK)))
        sender.wait_ended(8)
    finally:
        sender.close()


def _slow_reader(port: int) -> None:
    """Asks for answers of 10 MB, and reads a kilobyte of them now and then."""
    request = b"".join(encode_predict_request([{"ticket": 1}], policy_kwargs={"floats": 1_310_720}))
    sender = _Sender(port)
    try:
        for stream_id in range(1, 41, 2):
            sender.send(_open(stream_id) + _in_frames(stream_id, _framed(request)))
        while True:
            sender.sip(1024)
            time.sleep(0.01)
    finally:
        sender.close()


def _silent(port: int) -> None:
    """Opens a thousand connections that say nothing, until the first of them is closed."""
    senders = []
    try:
        for _ in range(1000):
            senders.append(_Sender(port, b""))
        senders[0].wait_ended()
    finally:
        for sender in senders:
            sender.close()


def _reconnect(port: int) -> None:
    """Greets, calls and leaves, a hundred times at once."""
    senders = [_Sender(port, _GREETING + _open(1)) for _ in range(100)]
    for sender in senders:
        sender.close()


OFFENDERS: dict[str, Callable[[int], None]] = {
    "nothing": _nothing,
    "a busy processor": _spin,
    "pings": _flood(lambda _: _frame(_PING, 0, bytes(8))),
    "settings": _flood(lambda turn: _frame(_SETTINGS, 0, struct.pack(">HI", 1, turn % 4096))),
    "calls that are reset": _flood(
        lambda turn: _open(2 * turn + 1) + _frame(_RST, 2 * turn + 1, struct.pack(">I", 8))
    ),
    "crumbs": _flood(lambda _: _frame(_DATA, 1, b"x"), _open(1) + _frame(_DATA, 1, b"\0\3\0\0\0")),
    "empty data": _flood(lambda _: _frame(_DATA, 1), _open(1)),
    "blocks of headers": _flood(
        lambda turn: _frame(
            _HEADERS,
            2 * turn + 1,
            _block("/no/such", *((f"x-{turn}-{n}", "y" * 100) for n in range(40))),
            _END_HEADERS | _END_STREAM,
        )
    ),
    "60 MB that never end": _unfinished,
    "a slow reader of 10 MB": _slow_reader,
    "1000 silent connections": _silent,
    "100 connections that come and go": _reconnect,
    "gzip bombs": _messages(_ZIPPED, _bomb),
    "60 MB of empty observations": _messages(_PREDICT, lambda: _framed(b"\x0a\0" * (30 * _MB))),
    "60 MB of unknown varints": _messages(_PREDICT, lambda: _framed(b"\x78\1" * (30 * _MB))),
    "60 MB of policy_kwargs": _messages(
        _PREDICT, lambda: _framed(b"\x0a\0" + b"\x12\x05\x0a\x01k\x12\0" * (8 * _MB))
    ),
}


def _again(port: int, run: Callable[[int], None]) -> Iterator[None]:
    while True:
        with suppress(OSError):
            run(port)
        yield


def main(port: int, name: str) -> None:
    """Does harm until the end of the input."""
    thread = threading.Thread(target=lambda: list(_again(port, OFFENDERS[name])), daemon=True)
    thread.start()
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
