# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Peers that mean harm: they lose their connection or their call, and nobody else anything."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from http2_peers import TIMEOUT, Peer, RawClient, RawServer, framed, raw_frame

from praxis_remote import Limits, PolicyClient, PolicyServer, wire
from praxis_remote.calls import HEALTH_CHECK, PREDICT
from praxis_remote.codec import encode_predict_request
from praxis_remote.errors import (
    InvalidArgumentError,
    RemoteError,
    ResourceExhaustedError,
    UnavailableError,
)
from praxis_remote.http2 import ServerCall
from praxis_remote.schema import HealthResponse
from praxis_remote.testing import RecordingHandler

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    2,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
GREETING = PREFACE + raw_frame(SETTINGS, 0)
# A request's headers without hpack's tables: literal fields, none of which are indexed.
BLOCK = b"".join(
    b"\x00" + bytes([len(key)]) + key + bytes([len(value)]) + value
    for key, value in [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", HEALTH_CHECK.path.encode()),
        (b"content-type", b"application/grpc"),
    ]
)
OBSERVATION = {"observation.state": np.arange(4, dtype=np.float32)}


def echo(predict: Any) -> np.ndarray[Any, Any]:
    size = predict.observations[0].get("size", 4)
    return np.zeros(size, np.uint8)


@contextmanager
def served(**limits: Any) -> Iterator[tuple[PolicyServer, PolicyClient]]:
    """A server, and a client that means no harm and gets its answers to the end."""
    with (
        PolicyServer(RecordingHandler(echo), port=0, limits=Limits(**limits)) as server,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) as client,
    ):
        client.health_check()
        yield server, client
        assert client.predict_action([OBSERVATION]).shape == (4,)


def wait_until_gone(server: PolicyServer, client: PolicyClient) -> None:
    """Returns when the server has none left but the client's connection, and no call."""
    listener = server._listener
    while len(listener.connections) > 1 or listener._running:
        client.health_check()
    assert listener._budget.used == 0


def last_words(sock: socket.socket) -> tuple[ErrorCodes | None, str]:
    """Returns code and text of the GOAWAY with which the server closed the connection."""
    sock.settimeout(TIMEOUT)
    received = bytearray()
    with suppress(ConnectionError):
        while data := sock.recv(65536):
            received += data
    words: tuple[ErrorCodes | None, str] = (None, "")
    while len(received) >= 9:
        size, kind = int.from_bytes(received[:3], "big"), received[3]
        body = received[9 : 9 + size]
        if kind == GOAWAY:
            words = ErrorCodes(int.from_bytes(body[4:8], "big")), bytes(body[8:]).decode()
        del received[: 9 + size]
    return words


def open_and_reset(turn: int) -> bytes:
    stream_id = 2 * turn + 1
    return raw_frame(HEADERS, stream_id, BLOCK, END_HEADERS) + raw_frame(
        RST, stream_id, struct.pack(">I", ErrorCodes.CANCEL)
    )


def settings(turn: int) -> bytes:
    return raw_frame(SETTINGS, 0, struct.pack(">HI", 1, turn % 4096))


# Frames that may come, and not in any number.
FLOODS: dict[str, Callable[[int], bytes]] = {
    "pings": lambda turn: raw_frame(PING, 0, bytes(8)),
    "pongs": lambda turn: raw_frame(PING, 0, bytes(8), 1),
    "settings": settings,
    "priorities": lambda turn: raw_frame(PRIORITY, 1, struct.pack(">IB", 3, 0)),
    "window updates": lambda turn: raw_frame(WINDOW_UPDATE, 0, struct.pack(">I", 1)),
    "frames of no known kind": lambda turn: raw_frame(0xAB, turn, b"grease"),
    "calls that are reset": open_and_reset,
    "crumbs of a message": lambda turn: (
        (raw_frame(HEADERS, 1, BLOCK, END_HEADERS) if turn == 0 else b"")
        + raw_frame(DATA, 1, b"\0\0\0\xff\xff\0"[turn : turn + 1])
    ),
    "empty frames of a message": lambda turn: (
        (raw_frame(HEADERS, 1, BLOCK, END_HEADERS) if turn == 0 else b"") + raw_frame(DATA, 1, b"")
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_costs_its_sender_the_connection(flood: str) -> None:
    with (
        served() as (server, client),
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        sock.sendall(GREETING)
        with suppress(ConnectionError):
            for turn in range(100):
                frames = map(FLOODS[flood], range(100 * turn, 100 * turn + 100))
                sock.sendall(b"".join(frames))
                client.health_check()
        code, text = last_words(sock)
        # The system may have thrown the last words away, with all that was still sent.
        assert code in (ErrorCodes.ENHANCE_YOUR_CALM, None)
        assert code is None or "too many pings" in text
        wait_until_gone(server, client)


@pytest.mark.parametrize("flood", ["pings", "settings"])
def test_a_peer_that_sends_and_never_reads_is_cut_off(flood: str) -> None:
    with (
        served() as (server, client),
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(TIMEOUT)
        sock.sendall(GREETING)
        with pytest.raises(ConnectionError):  # noqa: PT012 - whenever it comes
            for turn in range(1_000_000):
                sock.sendall(FLOODS[flood](turn) * 100)
        wait_until_gone(server, client)


# What is against the protocol, or over a limit, at once.
OFFENCES: dict[str, bytes] = {
    "something else": b"GET / HTTP/1.1\r\nHost: robot\r\n\r\n",
    "half a preface and another end": PREFACE[:10] + b"x" * 40,
    "no settings first": PREFACE + raw_frame(PING, 0, bytes(8)) + raw_frame(DATA, 1, b"x"),
    "a frame of 16 MiB": GREETING + b"\xff\xff\xff" + bytes([DATA, 0]) + bytes([0, 0, 0, 1]),
    "settings of 16 KiB and one": GREETING + b"\x00\x40\x01" + bytes([SETTINGS, 0]) + bytes(4),
    "settings that are no multiple of six": GREETING + raw_frame(SETTINGS, 0, bytes(5)),
    "a window of 2^31": GREETING + raw_frame(SETTINGS, 0, struct.pack(">HI", 4, 2**31)),
    "a window that overflows": GREETING + raw_frame(WINDOW_UPDATE, 0, struct.pack(">I", 2**31 - 1)),
    "a window update of nothing": GREETING + raw_frame(WINDOW_UPDATE, 0, bytes(4)),
    "a ping of seven bytes": GREETING + raw_frame(PING, 0, bytes(7)),
    "headers without an end": GREETING
    + raw_frame(HEADERS, 1, BLOCK)
    + raw_frame(CONTINUATION, 1, bytes(10_000)) * 2,
    "very many continuations": GREETING
    + raw_frame(HEADERS, 1, BLOCK)
    + raw_frame(CONTINUATION, 1, b"") * 100,
    "a ping amid headers": GREETING + raw_frame(HEADERS, 1, BLOCK) + raw_frame(PING, 0, bytes(8)),
    "a continuation of nothing": GREETING + raw_frame(CONTINUATION, 1, BLOCK, END_HEADERS),
    "headers of 1 MiB in few bytes": GREETING
    # One field of 4 kB goes into the table, and is then named 250 times.
    + raw_frame(HEADERS, 1, b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 250, END_HEADERS),
    "headers that name what is not there": GREETING
    + raw_frame(HEADERS, 1, b"\xff\xff\xff\x7f", END_HEADERS),
    "a stream of the server's": GREETING + raw_frame(HEADERS, 2, BLOCK, END_HEADERS),
    "a message on no stream": GREETING + raw_frame(DATA, 0, b"x"),
    "a message on a stream that was never opened": GREETING + raw_frame(DATA, 99, b"x"),
    "a push": GREETING + raw_frame(5, 1, struct.pack(">I", 2) + BLOCK, END_HEADERS),
    "a goodbye with an error, and more": GREETING
    + raw_frame(GOAWAY, 0, struct.pack(">II", 0, 1))
    + raw_frame(PING, 0, bytes(8)),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_an_offence_costs_the_connection(offence: str, caplog: pytest.LogCaptureFixture) -> None:
    with (
        served() as (server, client),
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        sock.sendall(OFFENCES[offence])
        code, _ = last_words(sock)
        assert code is not ErrorCodes.NO_ERROR or "goodbye" in offence
        wait_until_gone(server, client)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_settings_that_nobody_knows_are_passed_over_and_not_kept() -> None:
    with (
        served() as (server, _),
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        sock.settimeout(TIMEOUT)
        many = b"".join(struct.pack(">HI", number, 1) for number in range(10, 2_000))
        sock.sendall(GREETING + raw_frame(SETTINGS, 0, many))
        sock.sendall(raw_frame(HEADERS, 1, BLOCK, END_HEADERS))
        sock.sendall(raw_frame(DATA, 1, framed(b""), END_STREAM))
        received = b""
        while b"RecordingHandler" not in received:
            received += sock.recv(65536)
        kept = [len(c.protocol.connection.h2.remote_settings) for c in server._listener.connections]
        assert max(kept) < 20


def test_a_table_for_headers_of_any_size_is_not_filled() -> None:
    with served() as (server, _), RawClient(server.port) as peer:
        peer.h2.update_settings({1: 2**31})
        peer.flush()
        for turn in range(64):
            stream_id = peer.request(f"/no.such/method-{turn:04}" + "x" * 2000)
            peer.wait_for(StreamEnded, stream_id)
        (table,) = (
            connection.protocol.connection.h2.encoder.header_table
            for connection in server._listener.connections
            if connection.protocol.connection.h2.highest_inbound_stream_id > 100
        )
        assert table._current_size <= 4096


@pytest.mark.parametrize("padded", [False, True])
def test_a_call_that_is_one_too_many_is_refused_and_the_others_go_on(padded: bool) -> None:
    flags = END_HEADERS | (PADDED if padded else 0)
    block = (b"\0" if padded else b"") + BLOCK
    with (
        served() as (server, client),
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        sock.settimeout(TIMEOUT)
        sock.sendall(GREETING)
        streams = range(1, 2 * 130, 2)
        sock.sendall(b"".join(raw_frame(HEADERS, number, block, flags) for number in streams))
        client.health_check()
        sock.sendall(b"".join(raw_frame(DATA, n, framed(b""), END_STREAM) for n in streams[:128]))
        received = b""
        while received.count(b"RecordingHandler") < 128:
            received += sock.recv(65536)
        for number in streams[128:]:
            assert raw_frame(RST, number, struct.pack(">I", ErrorCodes.REFUSED_STREAM)) in received
        assert received.count(struct.pack(">BBI", RST, 0, 1)) == 0


# Answers that a call gets which is not one, while its connection goes on.
MISTAKES: dict[str, tuple[bytes, str]] = {
    "trailers before a message": (
        raw_frame(HEADERS, 1, BLOCK, END_HEADERS)
        + raw_frame(HEADERS, 1, b"\x00\x01a\x01b", END_HEADERS | END_STREAM),
        "3",
    ),
    "4 GiB declared": (
        raw_frame(HEADERS, 1, BLOCK, END_HEADERS) + raw_frame(DATA, 1, b"\0\xff\xff\xff\xff"),
        "8",
    ),
    "compressed with nothing": (
        raw_frame(HEADERS, 1, BLOCK, END_HEADERS) + raw_frame(DATA, 1, b"\1\0\0\0\1x", END_STREAM),
        "3",
    ),
    "compressed with something unknown": (
        raw_frame(HEADERS, 1, BLOCK + b"\x00\x0dgrpc-encoding\x02br", END_HEADERS)
        + raw_frame(DATA, 1, b"\1\0\0\0\1x", END_STREAM),
        "12",
    ),
    "two messages": (
        raw_frame(HEADERS, 1, BLOCK, END_HEADERS)
        + raw_frame(DATA, 1, framed(b"") + framed(b""), END_STREAM),
        "3",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_costs_the_call_and_the_connection_goes_on(mistake: str) -> None:
    frames, status = MISTAKES[mistake]
    with served() as (server, _), RawClient(server.port) as peer:
        peer.sock.sendall(frames)
        peer.h2.get_next_available_stream_id()
        peer.h2.send_headers(1, [(":method", "POST"), (":path", "/")])
        peer.h2.clear_outbound_data_buffer()  # sent already, by hand
        headers = dict(peer.wait_for(ResponseReceived, 1).headers)
        assert headers["grpc-status"] == status
        # Not where it would be sent again in vain.
        assert ("praxis-never-ran" in headers) == (status != "8")
        stream_id = peer.request(HEALTH_CHECK.path)
        peer.data(stream_id, framed(b""))
        assert dict(peer.wait_for(TrailersReceived, stream_id).headers)["grpc-status"] == "0"


def test_a_connection_that_never_shows_what_it_speaks_is_closed() -> None:
    with served(handshake_seconds=0.2) as (server, client):
        for begin in (b"", PREFACE[:5], PREFACE, PREFACE + b"\0\0\6\4\0"):
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.sendall(begin)
                _, text = last_words(sock)
                assert text == "no HTTP/2 settings came within 0.2 s"
        wait_until_gone(server, client)


def test_a_request_that_never_ends_is_ended() -> None:
    with served(stall_seconds=0.2) as (server, client), RawClient(server.port) as peer:
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(bytes(1000))[:500], end_stream=False)
        headers = dict(peer.wait_for(ResponseReceived, stream_id).headers)
        assert headers["grpc-status"] == "4"
        assert (
            "nothing of the request moved for 0.2 s, after 495 of 1000" in headers["grpc-message"]
        )
        wait_until_idle(server, client)


def wait_until_idle(server: PolicyServer, client: PolicyClient) -> None:
    while server._listener._running:
        client.health_check()
    assert server._listener._budget.used == 0


def test_a_response_that_is_never_taken_is_ended() -> None:
    request = b"".join(encode_predict_request([{"size": 1_000_000}]))
    with served(stall_seconds=0.2) as (server, client), RawClient(server.port) as peer:
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(request))
        # A window of 64 KiB is all that it ever has.
        assert peer.wait_for(StreamReset, stream_id).error_code is ErrorCodes.CANCEL
        wait_until_idle(server, client)


def test_a_window_of_one_byte_after_the_other_is_not_served_for_long() -> None:
    request = b"".join(encode_predict_request([{"size": 1_000_000}]))
    with served() as (server, client), RawClient(server.port) as peer:
        peer.h2.update_settings({4: 1})
        peer.flush()
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(request))
        with suppress(ConnectionError):
            for _ in range(1000):
                peer.sock.sendall(raw_frame(WINDOW_UPDATE, stream_id, struct.pack(">I", 1)) * 10)
                client.health_check()
        assert last_words(peer.sock)[0] in (ErrorCodes.ENHANCE_YOUR_CALM, None)
        wait_until_gone(server, client)


def test_a_peer_that_stops_reading_loses_its_connection() -> None:
    request = b"".join(encode_predict_request([{"size": 30_000_000}]))
    with served(stall_seconds=0.3) as (server, client), RawClient(server.port) as peer:
        peer.h2.update_settings({4: 2**31 - 1})
        peer.h2.increment_flow_control_window(2**30)
        peer.flush()
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(request))
        wait_until_gone(server, client)


def test_what_one_connection_may_hold_is_bounded() -> None:
    with (
        PolicyServer(
            RecordingHandler(),
            port=0,
            max_message_size=10_000,
            limits=Limits(connection_bytes=25_000),
        ) as server,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) as client,
        RawClient(server.port) as peer,
    ):
        streams = [peer.request(PREDICT.path) for _ in range(3)]
        for stream_id in streams:
            peer.data(stream_id, framed(bytes(10_000))[:100], end_stream=False)
        headers = dict(peer.wait_for(ResponseReceived, streams[2]).headers)
        assert headers["grpc-status"] == "8"
        assert headers["grpc-message"].startswith(
            "messages of 30000 bytes on one connection; allowed: 25000"
        )
        client.health_check()
        # What has ended is free again.
        peer.h2.reset_stream(streams[0])
        peer.flush()
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(bytes(10_000)))
        assert dict(peer.wait_for(ResponseReceived, stream_id).headers)["grpc-status"] == "3"


def test_what_all_connections_hold_together_is_bounded_and_the_slowest_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler = RecordingHandler()
    limits = Limits(connection_bytes=20_000, total_bytes=30_000)
    with (
        PolicyServer(handler, port=0, max_message_size=10_000, limits=limits) as server,
        RawClient(server.port) as slow,
        RawClient(server.port) as other,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) as client,
    ):
        streams = [peer.request(PREDICT.path) for peer in (slow, slow, other)]
        for peer, stream_id, size in zip(
            (slow, slow, other), streams, (9000, 10, 9000), strict=True
        ):
            peer.data(stream_id, framed(bytes(10_000))[:size], end_stream=False)
        wait_for_bytes(server, client, 30_000)
        with pytest.raises(ResourceExhaustedError, match="on all connections; allowed: 30000"):
            client.predict_action([{"x": np.zeros(1000)}])
        # They have been at it for long, by now.
        monkeypatch.setattr("praxis_remote.http2.server_call._SPEED_AFTER", 0.0)
        assert client.predict_action([{"x": np.zeros(1000)}]) is not None
        headers = dict(slow.wait_for(ResponseReceived, streams[1]).headers)
        assert headers["grpc-status"] == "8"
        assert headers["grpc-message"] == "memory is short, and this message moves slowest"


def wait_for_bytes(server: PolicyServer, client: PolicyClient, size: int) -> None:
    while server._listener._budget.used < size:
        client.health_check()


def test_beyond_the_limit_the_idlest_connection_makes_place() -> None:
    with PolicyServer(RecordingHandler(echo), port=0, limits=Limits(connections=3)) as server:
        clients = [PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) for _ in range(6)]
        try:
            for _ in range(3):
                for client in clients:
                    # Each was pushed out since its last call, and does not notice.
                    assert client.predict_action([OBSERVATION]).shape == (4,)
        finally:
            for client in clients:
                client.close()


def test_where_all_connections_are_in_use_a_new_one_is_refused_with_the_reason() -> None:
    with (
        PolicyServer(RecordingHandler(echo), port=0, limits=Limits(connections=2)) as server,
        RawClient(server.port) as one,
        RawClient(server.port) as two,
    ):
        for peer in (one, two):
            peer.request(PREDICT.path)
        while len(server._listener._running) < 2:
            pass  # they are on their way
        with PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) as client:
            with pytest.raises(UnavailableError, match="all 2 connections are in use"):
                client.health_check()
            one.close()
            while True:
                with suppress(UnavailableError):
                    client.health_check()
                    break


def test_a_connection_that_has_not_called_for_long_is_closed_and_made_anew() -> None:
    with (
        PolicyServer(RecordingHandler(echo), port=0, limits=Limits(idle_seconds=0.2)) as server,
        RawClient(server.port) as peer,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) as client,
    ):
        client.health_check()
        goodbye = peer.wait_for(ConnectionTerminated)
        assert goodbye.error_code is ErrorCodes.NO_ERROR
        assert goodbye.additional_data == b"no call for 0.2 s"
        peer.wait_closed()
        assert client.predict_action([OBSERVATION]).shape == (4,)


def test_a_peer_that_answers_no_ping_is_given_up_with_its_calls() -> None:
    limits = Limits(keepalive_seconds=0.1, keepalive_timeout=0.2)
    with (
        PolicyServer(RecordingHandler(echo), port=0, limits=limits) as server,
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        sock.sendall(GREETING + raw_frame(HEADERS, 1, BLOCK, END_HEADERS))
        assert last_words(sock)[1] == "the peer answered no ping within 0.2 s"
        while server._listener._running:
            pass


def test_a_gzip_bomb_is_refused_and_keeps_nobody_waiting() -> None:
    import zlib

    squeeze = zlib.compressobj(wbits=31)
    bomb = squeeze.compress(bytes(100 * 2**20)) + squeeze.flush()
    with served() as (server, client), RawClient(server.port) as peer:
        peer.wait_for(RemoteSettingsChanged)
        stream_id = peer.request(PREDICT.path, ("grpc-encoding", "gzip"))
        peer.data(stream_id, b"\1" + len(bomb).to_bytes(4, "big") + bomb[:60_000], end_stream=False)
        peer.data(stream_id, bomb[60_000:])
        client.health_check()
        headers = dict(peer.wait_for(ResponseReceived, stream_id).headers)
        assert headers["grpc-status"] == "8"


def test_nothing_of_many_cancelled_calls_is_kept() -> None:
    import gc

    with served() as (server, client), RawClient(server.port) as peer:
        peer.wait_for(RemoteSettingsChanged)
        for _turn in range(20):
            for _ in range(20):
                stream_id = peer.request(PREDICT.path)
                peer.data(stream_id, framed(bytes(100_000))[:50_000], end_stream=False)
                peer.h2.reset_stream(stream_id)
                peer.flush()
            client.health_check()
        wait_until_idle(server, client)

        def kept() -> list[ServerCall]:
            gc.collect()
            calls = [found for found in gc.get_objects() if isinstance(found, ServerCall)]
            return [call for call in calls if call._listener is server._listener]

        # The last one's thread may be at its end still.
        assert any(not kept() for _ in range(20))


# ---------------------------------------------------------------- servers that mean harm


def answer_with(frames: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        with suppress(ConnectionError):
            peer.sock.sendall(frames)
        peer.wait_closed()

    return script


RESPONSE = raw_frame(HEADERS, 1, b"\x88" + b"\x00\x0ccontent-type\x10application/grpc", END_HEADERS)
ANSWERS: dict[str, bytes] = {
    **{name: b"".join(map(flood, range(10_000))) for name, flood in FLOODS.items()},
    **{
        name: frames[len(GREETING) :]
        for name, frames in OFFENCES.items()
        if frames.startswith(GREETING)
    },
    # A server's may be larger.
    "settings of 16 KiB and one": b"\x01\x00\x01" + bytes([SETTINGS, 0]) + bytes(4),
    "headers without an end": raw_frame(HEADERS, 1, BLOCK)
    + raw_frame(CONTINUATION, 1, bytes(60_000)) * 2,
    "4 GiB declared": RESPONSE + raw_frame(DATA, 1, b"\0\xff\xff\xff\xff"),
    "compressed with nothing": RESPONSE + raw_frame(DATA, 1, b"\1\0\0\0\1x", END_STREAM),
    "data before headers": raw_frame(DATA, 1, framed(b""), END_STREAM),
    "data after the end": RESPONSE
    + raw_frame(DATA, 1, framed(b""), END_STREAM)
    + raw_frame(DATA, 1, b"x"),
    "two messages": RESPONSE + raw_frame(DATA, 1, framed(b"") + framed(b"")),
    "headers for ever": RESPONSE * 10_000,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_a_server_answers_its_client_gets_a_typed_error(
    answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        RawServer(answer_with(ANSWERS[answer])) as server,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT, retries=0) as client,
        pytest.raises(RemoteError),
    ):
        client.health_check()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_an_honest_server_among_them_is_understood() -> None:
    """The scripts above fail for what they do, and not for how they do it."""
    message = wire.write_message(HealthResponse(ready=True, model_info="honest"))
    frames = (
        RESPONSE
        + raw_frame(DATA, 1, framed(message))
        + raw_frame(HEADERS, 1, b"\x00\x0bgrpc-status\x010", END_HEADERS | END_STREAM)
    )
    with (
        RawServer(answer_with(frames)) as server,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) as client,
    ):
        assert client.health_check() == (True, "honest")
        client.close()


# ---------------------------------------------------------------- messages of very many items


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x0a\x00" * 100,  # observations
        b"\x0a\x00" + b"\x48\x01" * 100,  # fields that nobody knows
        b"\x0a\x00" + b"\x4b" + b"\x08\x01" * 2000 + b"\x4c",  # a group that nobody knows
        b"\x0a\x07\x0a\x05\x0a\x00\x12\x01\x0a" * 60,  # the same, cut off: whichever comes first
    ],
    ids=["observations", "unknown fields", "an unknown group", "broken"],
)
def test_a_request_of_more_items_than_allowed_is_refused(request_bytes: bytes) -> None:
    with served(items=50) as (server, _), RawClient(server.port) as peer:
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(request_bytes))
        headers = dict(peer.wait_for(ResponseReceived, stream_id).headers)
        assert headers["grpc-status"] == "3"


def test_items_are_counted_over_all_of_a_request_and_arrays_are_one() -> None:
    with served(items=1000) as (_, client):
        observation = {"x": np.zeros(100_000), "size": 3}
        assert client.predict_action([observation], policy_kwargs={"a": [1] * 900}).shape == (3,)
        for kwargs in ({"a": [1] * 1100}, {"a": {str(n): n for n in range(1100)}}):
            with pytest.raises(InvalidArgumentError, match="a message of more than 1000 items"):
                client.predict_action([observation], policy_kwargs=kwargs)
        with pytest.raises(InvalidArgumentError, match="a message of more than 1000 items"):
            client.reset(episode_ids=[str(n) for n in range(2000)])


# ---------------------------------------------------------------- honest clients in trouble


def test_an_honest_client_whose_calls_all_fail_keeps_its_connection() -> None:
    """A grpcio client widens its window around each call, whatever comes of it."""
    with served() as (server, _), RawClient(server.port) as peer:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(1500):
            stream_id = peer.request(PREDICT.path)
            peer.data(stream_id, framed(b""))  # an empty batch
            peer.wait_for(StreamEnded, stream_id)
            peer.sock.sendall(raw_frame(WINDOW_UPDATE, 0, struct.pack(">I", 1)))


@pytest.mark.parametrize("number", [3, 40, 100])
def test_calls_that_were_given_up_in_the_same_breath_never_run(number: int) -> None:
    handler = RecordingHandler(echo)
    request = b"".join(encode_predict_request([{"x": np.zeros(100)}]))
    with (
        PolicyServer(handler, port=0) as server,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) as client,
        socket.create_connection(("127.0.0.1", server.port)) as sock,
    ):
        block = BLOCK.replace(
            bytes([len(HEALTH_CHECK.path)]) + HEALTH_CHECK.path.encode(),
            bytes([len(PREDICT.path)]) + PREDICT.path.encode(),
        )
        streams = range(1, 2 * number, 2)
        calls = [
            raw_frame(HEADERS, n, block, END_HEADERS)
            + raw_frame(DATA, n, framed(request), END_STREAM)
            for n in streams
        ]
        resets = [raw_frame(RST, n, struct.pack(">I", ErrorCodes.CANCEL)) for n in streams]
        sock.sendall(GREETING + b"".join(calls + resets))
        listener = server._listener
        while not any(
            c.protocol.made and c.protocol.connection.h2.highest_inbound_stream_id == streams[-1]
            for c in list(listener.connections)
        ):
            client.health_check()
        wait_until_idle(server, client)
        client.predict_action([OBSERVATION])
        assert len(handler.predictions) == 1


def test_nobody_is_ended_for_a_message_that_may_not_be_taken_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("praxis_remote.http2.server_call._SPEED_AFTER", 0.0)
    limits = Limits(connection_bytes=20_000, total_bytes=30_000)
    with (
        PolicyServer(RecordingHandler(), port=0, max_message_size=10_000, limits=limits) as server,
        RawClient(server.port) as greedy,
        RawClient(server.port) as slow,
        PolicyClient("127.0.0.1", server.port, timeout=TIMEOUT) as client,
    ):
        for peer in (greedy, greedy, slow):
            stream_id = peer.request(PREDICT.path)
            peer.data(stream_id, framed(bytes(10_000))[:10], end_stream=False)
        wait_for_bytes(server, client, 30_000)
        stream_id = greedy.request(PREDICT.path)
        greedy.data(stream_id, framed(bytes(10_000))[:10], end_stream=False)
        headers = dict(greedy.wait_for(ResponseReceived, stream_id).headers)
        assert "on one connection" in headers["grpc-message"]
        client.health_check()
        assert server._listener._budget.used == 30_000


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the limit is POSIX's")
def test_a_server_that_runs_out_of_files_serves_on_when_there_are_some_again() -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with served(connections=64) as (server, client):
        used = len(list(Path("/dev/fd").iterdir()))
        peers: list[socket.socket] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 60, limits[1]))
        try:
            with suppress(OSError):
                peers.extend(
                    socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)
                )
            with suppress(RemoteError):
                client.health_check(timeout=1, retries=0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for peer in peers:
                peer.close()
        wait_until_gone(server, client)
