# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Both ends against peers that do what no well-behaved stack would, and against themselves."""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from faces import Face
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes, Settings
from http2_peers import Peer, RawClient, RawServer, framed, raw_frame
from hyperframe.frame import GoAwayFrame

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer
from praxis_remote.calls import HEALTH_CHECK, PREDICT
from praxis_remote.errors import (
    BadResponseError,
    CallCancelledError,
    HandlerError,
    InvalidArgumentError,
    RemoteError,
    RequestRefusedError,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
)
from praxis_remote.http2 import Listener, ServerCall
from praxis_remote.schema import HealthResponse
from praxis_remote.testing import GatedHandler, RecordingHandler, connected

WAIT = 30.0
HEALTHY = framed(bytes(HealthResponse(ready=True, model_info="raw")))
HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]


# ---------------------------------------------------------------- a client's connection


def answer(peer: Peer, message: bytes = HEALTHY, trailers: list[tuple[str, str]] = OK) -> None:
    """Takes one request and answers it."""
    stream_id = peer.wait_for(StreamEnded).stream_id
    peer.h2.send_headers(stream_id, HEADERS)
    peer.h2.send_data(stream_id, message)
    peer.h2.send_headers(stream_id, trailers, end_stream=True)
    peer.flush()


def respond_with(*steps: Callable[[Peer, int], None]) -> Callable[[Peer], None]:
    """Makes a script that takes one request, does the steps and waits for the end."""

    def script(peer: Peer) -> None:
        stream_id = peer.wait_for(StreamEnded).stream_id
        for step in steps:
            step(peer, stream_id)
            peer.flush()
        peer.wait_closed()

    return script


def headers(*pairs: tuple[str, str], end: bool = False) -> Callable[[Peer, int], None]:
    return lambda peer, stream_id: peer.h2.send_headers(stream_id, list(pairs), end_stream=end)


def data(content: bytes, end: bool = False) -> Callable[[Peer, int], None]:
    return lambda peer, stream_id: peer.h2.send_data(stream_id, content, end_stream=end)


def check(script: Callable[[Peer], None], **options: Any) -> tuple[bool, str]:
    """Returns what a client makes of a server that follows a script."""
    with (
        RawServer(script) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT, retries=0, **options) as client,
    ):
        return client.health_check()


def test_a_response_in_the_smallest_pieces_is_read() -> None:
    pieces = [data(HEALTHY[n : n + 1]) for n in range(len(HEALTHY))]
    assert check(respond_with(headers(*HEADERS), *pieces, headers(*OK, end=True))) == (True, "raw")


def test_an_empty_data_frame_amid_a_message_is_not_its_end() -> None:
    script = respond_with(
        headers(*HEADERS),
        data(HEALTHY[:3]),
        data(b""),
        data(HEALTHY[3:]),
        data(b""),
        headers(*OK, end=True),
    )
    assert check(script) == (True, "raw")


def test_extension_frames_and_interim_responses_are_passed_over() -> None:
    def unknown_frame(peer: Peer, stream_id: int) -> None:
        for number in (0, stream_id):
            peer.sock.sendall(raw_frame(0xAB, number, b"grease", flags=0xFF))

    def informational(peer: Peer, stream_id: int) -> None:
        peer.h2.send_headers(stream_id, [(":status", "103")])

    script = respond_with(
        unknown_frame, informational, headers(*HEADERS), data(HEALTHY), headers(*OK, end=True)
    )
    assert check(script) == (True, "raw")


@pytest.mark.parametrize(
    ("steps", "kind", "text"),
    [
        ([headers((":status", "503"), end=True)], UnavailableError, "HTTP status 503"),
        (
            [headers((":status", "200"), ("content-type", "text/html"), end=True)],
            RemoteError,
            "'text/html'",
        ),
        ([headers(*HEADERS, end=True)], RemoteError, "without a grpc-status"),
        ([headers(*HEADERS), headers(*OK, end=True)], BadResponseError, "without a message"),
        (
            [headers(*HEADERS, ("grpc-status", "5"), ("grpc-message", "no%20such"), end=True)],
            RemoteError,
            "NOT_FOUND: no such",
        ),
        (
            [headers(*HEADERS), data(HEALTHY[:-1]), headers(*OK, end=True)],
            BadResponseError,
            "ended early",
        ),
        (
            [headers(*HEADERS), data(HEALTHY + b"x")],
            BadResponseError,
            "1 bytes after the response",
        ),
        (
            [headers(*HEADERS), data(framed(b"\x0a\xff\xff")), headers(*OK, end=True)],
            BadResponseError,
            "HealthResponse",
        ),
        (
            [headers(*HEADERS), data(struct.pack(">BI", 0, 2**32 - 1))],
            ResourceExhaustedError,
            "response of 4294967295 bytes",
        ),
        (
            [headers(*HEADERS), data(b"\x01" + HEALTHY[1:]), headers(*OK, end=True)],
            BadResponseError,
            "names no encoding",
        ),
        (
            [
                headers(*HEADERS, ("grpc-encoding", "br")),
                data(b"\x01" + HEALTHY[1:]),
                headers(*OK, end=True),
            ],
            UnimplementedError,
            "'br'",
        ),
    ],
)
def test_a_response_that_is_none_is_an_error_that_says_why(
    steps: list[Callable[[Peer, int], None]], kind: type[RemoteError], text: str
) -> None:
    with pytest.raises(kind, match=text) as raised:
        check(respond_with(*steps))
    assert raised.value.address is not None


def test_a_compressed_response_is_unpacked() -> None:
    packed = gzip.compress(HEALTHY[5:])
    message = struct.pack(">BI", 1, len(packed)) + packed
    script = respond_with(
        headers(*HEADERS, ("grpc-encoding", "gzip")), data(message), headers(*OK, end=True)
    )
    assert check(script) == (True, "raw")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ErrorCodes.CANCEL, CallCancelledError),
        (ErrorCodes.ENHANCE_YOUR_CALM, ResourceExhaustedError),
        (ErrorCodes.INADEQUATE_SECURITY, RequestRefusedError),
        (ErrorCodes.PROTOCOL_ERROR, HandlerError),
        (0xFFFF, HandlerError),
    ],
)
def test_a_reset_is_the_status_that_grpc_gives_it(code: int, kind: type[RemoteError]) -> None:
    def reset(peer: Peer, stream_id: int) -> None:
        peer.h2.reset_stream(stream_id, code)

    with pytest.raises(kind, match="reset the stream"):
        check(respond_with(reset))


def test_a_response_before_the_request_is_sent_ends_the_sending(face: Face) -> None:
    def script(peer: Peer) -> None:
        stream_id = peer.wait_for(RequestReceived).stream_id
        peer.h2.send_headers(
            stream_id, [*HEADERS, ("grpc-status", "8"), ("grpc-message", "full")], end_stream=True
        )
        peer.flush()
        peer.wait_for(StreamReset)
        answer(peer)

    with RawServer(script) as server:
        client = face.client(server.port)
        # Far more than the 64 kB that the server lets it send.
        with pytest.raises(ResourceExhaustedError, match="full"):
            client.predict_action([{"a": np.zeros(10_000_000, np.uint8)}])
        assert client.health_check() == (True, "raw")
        client.close()


def test_a_large_request_goes_through_small_windows(face: Face) -> None:
    received = bytearray()

    def script(peer: Peer) -> None:
        peer.h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 3000}
        )
        peer.start()
        while True:
            event = peer.wait_for(DataReceived)
            received.extend(event.data)
            if event.flow_controlled_length:
                peer.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                peer.flush()
            if event.stream_ended:
                break
        peer.h2.send_headers(event.stream_id, [*HEADERS, ("grpc-status", "0")], end_stream=True)
        peer.flush()
        peer.wait_closed()

    with RawServer(script, quiet=True) as server:
        client = face.client(server.port)
        with pytest.raises(BadResponseError, match="without a message"):
            client.predict_action([{"a": np.arange(200_000, dtype=np.uint8)}])
        client.close()
    assert len(received) > 200_000
    assert struct.unpack(">BI", received[:5]) == (0, len(received) - 5)


def test_calls_over_the_servers_limit_wait_for_their_turn() -> None:
    served = 20

    def script(peer: Peer) -> None:
        peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        peer.flush()
        for _ in range(served):
            assert peer.h2.open_inbound_streams <= 1
            answer(peer)
        peer.wait_closed()

    async def main(port: int) -> list[tuple[bool, str]]:
        async with AsyncPolicyClient("127.0.0.1", port, timeout=WAIT) as client:
            first = await client.health_check()
            return [first, *await asyncio.gather(*(client.health_check() for _ in range(19)))]

    with RawServer(script) as server:
        assert asyncio.run(main(server.port)) == [(True, "raw")] * served


def test_a_call_that_waits_for_its_turn_can_time_out_and_others_go_on() -> None:
    def script(peer: Peer) -> None:
        peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        peer.flush()
        answer(peer)  # after it the limit is known
        release.wait(WAIT)
        answer(peer)
        answer(peer)
        peer.wait_closed()

    async def main(port: int) -> None:
        async with AsyncPolicyClient("127.0.0.1", port, timeout=WAIT) as client:
            await client.health_check()
            first = asyncio.ensure_future(client.health_check())
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                await client.health_check(timeout=0.05)
            cancelled = asyncio.ensure_future(client.health_check())
            await asyncio.sleep(0)
            cancelled.cancel()
            last = asyncio.ensure_future(client.health_check())
            release.set()
            assert await first == (True, "raw")
            assert await last == (True, "raw")

    release = threading.Event()
    with RawServer(script) as server:
        asyncio.run(main(server.port))


def test_a_server_that_goes_away_finishes_what_it_took_and_the_next_call_reconnects(
    face: Face,
) -> None:
    def leave(peer: Peer) -> None:
        stream_id = peer.wait_for(StreamEnded).stream_id
        # By hand: h2 itself sends nothing more after a GOAWAY.
        peer.sock.sendall(GoAwayFrame(0, last_stream_id=stream_id, error_code=0).serialize())
        peer.h2.send_headers(stream_id, HEADERS)
        peer.h2.send_data(stream_id, HEALTHY)
        peer.h2.send_headers(stream_id, OK, end_stream=True)
        peer.flush()
        peer.wait_closed()  # the client leaves when it has its answer

    def stay(peer: Peer) -> None:
        answer(peer)
        peer.wait_closed()

    with RawServer(leave, stay) as server:
        client = face.client(server.port)
        assert client.health_check() == (True, "raw")
        assert client.health_check() == (True, "raw")
        client.close()


def test_calls_that_a_leaving_server_did_not_take_are_unavailable() -> None:
    def script(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        peer.sock.sendall(GoAwayFrame(0, last_stream_id=0, error_code=0).serialize())
        peer.wait_closed()

    with (
        # The second one is asked because the first one did not take the call.
        RawServer(script, script) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT, retries=0) as client,
        pytest.raises(UnavailableError, match="before it took the call"),
    ):
        client.health_check()


def test_a_goaway_with_an_error_fails_the_call_with_its_text() -> None:
    def script(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        frame = GoAwayFrame(
            0, last_stream_id=1, error_code=ErrorCodes.ENHANCE_YOUR_CALM, additional_data=b"calm"
        )
        peer.sock.sendall(frame.serialize())
        peer.wait_closed()

    with pytest.raises(UnavailableError, match=r"ENHANCE_YOUR_CALM.*calm"):
        check(script)


def test_a_server_that_breaks_the_protocol_fails_the_call() -> None:
    def script(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        peer.sock.sendall(raw_frame(0, 0, b"\0"))  # DATA on stream 0
        peer.wait_closed()

    with pytest.raises(UnavailableError, match=r"broke the protocol: .*Stream ID must be non-zero"):
        check(script)


def test_headers_that_are_no_ascii_cost_nothing() -> None:
    script = respond_with(headers(*HEADERS, ("x-name", "é")), data(HEALTHY), headers(*OK, end=True))
    assert check(script) == (True, "raw")


# ---------------------------------------------------------------- a server's connection


def status_of(peer: RawClient, stream_id: int) -> dict[str, str]:
    """Returns the trailers of a call, or its headers if they are all there is."""
    response = dict(peer.wait_for(ResponseReceived, stream_id).headers)
    if "grpc-status" in response or response[":status"] != "200":
        return response
    return dict(peer.wait_for(TrailersReceived, stream_id).headers)


def healthy(peer: RawClient) -> bool:
    stream_id = peer.request(HEALTH_CHECK.path)
    peer.data(stream_id, framed(b""))
    return status_of(peer, stream_id)["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({":method": "GET"}, {":status": "405"}),
        ({":method": ""}, {":status": "405"}),
        ({"content-type": ""}, {":status": "415"}),
        ({"content-type": "application/json"}, {":status": "415"}),
        ({"content-type": "application/grpc+json"}, {":status": "415"}),
        ({":path": "/nobody/knows"}, {"grpc-status": "12"}),
        ({":path": ""}, {"grpc-status": "12"}),
        ({"grpc-timeout": "soon"}, {"grpc-status": "3"}),
        ({"grpc-timeout": "0n"}, {"grpc-status": "4"}),
        ({"content-type": "application/grpc;charset=utf-8"}, {"grpc-status": "0"}),
        ({"content-type": "application/grpc+proto"}, {"grpc-status": "0"}),
        ({"te": ""}, {"grpc-status": "0"}),
        ({"bad-bin": "%%%"}, {"grpc-status": "0"}),
        ({"x-name": "é"}, {"grpc-status": "0"}),
        ({"grpc-timeout": "99999999H"}, {"grpc-status": "0"}),
    ],
)
def test_odd_request_headers_get_an_answer_and_the_connection_goes_on(
    change: dict[str, str], expected: dict[str, str]
) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server, RawClient(server.port) as peer:
        stream_id = peer.request(HEALTH_CHECK.path, *change.items())
        peer.data(stream_id, framed(b""))
        received = status_of(peer, stream_id)
        assert expected.items() <= received.items()
        assert healthy(peer)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", "3", "without a request message"),
        (b"\0\0", "3", "within its prefix"),
        (framed(b"abc")[:-1], "3", "ended early"),
        (framed(b"") + framed(b""), "3", "5 bytes after"),
        (struct.pack(">BI", 0, 2**32 - 1), "8", "4294967295 bytes"),
        (struct.pack(">BI", 7, 0), "3", "flag 7"),
        (framed(b"\x0a\x05\xaa"), "3", ""),
    ],
)
def test_a_request_that_is_none_gets_a_status_and_the_connection_goes_on(
    body: bytes, status: str, text: str
) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server, RawClient(server.port) as peer:
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, body)
        received = status_of(peer, stream_id)
        assert received["grpc-status"] == status
        assert text in received["grpc-message"]
        assert healthy(peer)


def test_a_declared_length_over_the_limit_is_refused_while_the_peer_still_sends() -> None:
    with PolicyServer(RecordingHandler(), port=0) as server, RawClient(server.port) as peer:
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, struct.pack(">BI", 0, 2**32 - 1) + b"x" * 1000, end_stream=False)
        assert status_of(peer, stream_id)["grpc-status"] == "8"
        assert peer.wait_for(StreamReset, stream_id).error_code == ErrorCodes.NO_ERROR
        assert healthy(peer)


def test_a_request_in_the_smallest_pieces_with_empty_frames_and_trailers_is_read() -> None:
    with PolicyServer(RecordingHandler(), port=0) as server, RawClient(server.port) as peer:
        stream_id = peer.request(HEALTH_CHECK.path)
        for byte in framed(b""):
            peer.data(stream_id, bytes([byte]), end_stream=False)
            peer.data(stream_id, b"", end_stream=False)
        peer.h2.send_headers(stream_id, [("x-checksum", "1")], end_stream=True)
        peer.flush()
        assert status_of(peer, stream_id)["grpc-status"] == "0"


def test_extension_frames_are_passed_over() -> None:
    with PolicyServer(RecordingHandler(), port=0) as server, RawClient(server.port) as peer:
        peer.sock.sendall(raw_frame(0xAB, 0, b"grease"))
        peer.h2.prioritize(1)
        peer.flush()
        assert healthy(peer)


def test_a_reset_call_never_runs_and_the_connection_goes_on() -> None:
    handler = GatedHandler()
    with connected(handler, timeout=WAIT) as (server, client), ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.predict_action, [{"a": 1}])
        handler.wait_begun()
        with RawClient(server.port) as peer:
            for delay in (False, True):
                stream_id = peer.request(PREDICT.path)
                peer.h2.send_data(stream_id, framed(b"\x0a\x00"), end_stream=True)
                if delay:
                    peer.flush()
                    assert healthy(peer)  # it is in the queue now
                # Without delay it comes with the request in one piece.
                peer.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
                peer.flush()
            assert healthy(peer)
        handler.let_end(3)
        running.result()
    assert len(handler.predictions) == 1


def test_a_peer_that_takes_nothing_of_a_response_holds_up_nobody_else() -> None:
    handler = RecordingHandler(lambda _: np.zeros(20_000_000, np.uint8))
    with connected(handler, timeout=WAIT) as (server, client), RawClient(server.port) as peer:
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(b"\x0a\x00"))
        peer.wait_for(DataReceived, stream_id)  # and no window is given back
        assert client.predict_action([{}]).shape == (20_000_000,)
        assert healthy(peer)


def test_a_deadline_that_passes_while_sending_cuts_the_response_off() -> None:
    handler = RecordingHandler(lambda _: np.zeros(1_000_000, np.uint8))
    with PolicyServer(handler, port=0) as server, RawClient(server.port) as peer:
        stream_id = peer.request(PREDICT.path, ("grpc-timeout", "200m"))
        peer.data(stream_id, framed(b"\x0a\x00"))
        assert peer.wait_for(StreamReset, stream_id).error_code == ErrorCodes.CANCEL
        assert healthy(peer)


def test_a_leaving_client_still_gets_its_answers() -> None:
    handler = GatedHandler()
    with PolicyServer(handler, port=0) as server, RawClient(server.port) as peer:
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(b"\x0a\x00"))
        handler.wait_begun()
        peer.sock.sendall(GoAwayFrame(0, last_stream_id=0, error_code=0).serialize())
        handler.let_end()
        assert status_of(peer, stream_id)["grpc-status"] == "0"


def test_a_server_that_stops_says_goodbye() -> None:
    with PolicyServer(RecordingHandler(), port=0) as server, RawClient(server.port) as peer:
        assert healthy(peer)
        server.stop()
        assert peer.wait_for(ConnectionTerminated).error_code == ErrorCodes.NO_ERROR
        peer.wait_closed()


class Answers:
    """A service that has no objections."""

    def __init__(self, answer: Callable[[ServerCall], Awaitable[list[bytes]]]) -> None:
        self._answer = answer

    def check(self, call: ServerCall) -> None:
        """Lets every call pass."""

    async def respond(self, call: ServerCall) -> list[bytes]:
        return await self._answer(call)

    def ended(self, call: ServerCall) -> None:
        """Has no interest."""

    def find(self, head: bytes | memoryview) -> int:
        return 0


def test_a_connection_that_comes_while_the_server_stops_ends_as_it_begins() -> None:
    async def main() -> None:
        protocol = Listener(Answers(never), 1000)._connect()
        protocol.close("the server is shutting down")  # accepted, and not made yet
        server = await asyncio.get_running_loop().create_server(lambda: protocol, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with suppress(ConnectionResetError):
            assert b"the server is shutting down" in await reader.read()
        await asyncio.wait_for(protocol.lost.wait(), WAIT)
        writer.close()
        server.close()

    async def never(call: ServerCall) -> list[bytes]:
        raise AssertionError("no call was made")

    asyncio.run(main())


@pytest.mark.parametrize("grace", [0, WAIT])
@pytest.mark.parametrize("turns", range(6))
def test_connections_accepted_just_as_the_server_stops_are_closed(turns: int, grace: float) -> None:
    complaints: list[dict[str, Any]] = []

    async def never(call: ServerCall) -> list[bytes]:
        raise AssertionError("no call was made")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        sock = socket.create_server(("127.0.0.1", 0))
        listener = Listener(Answers(never), 1000)
        await listener.start(sock)
        clients = [socket.create_connection(sock.getsockname()) for _ in range(5)]
        for _ in range(turns):
            await asyncio.sleep(0)
        stopping = asyncio.ensure_future(listener.stop(grace))
        await asyncio.wait({stopping}, timeout=0 if grace == 0 else 0.1)
        for client in clients:
            client.close()
        await asyncio.wait_for(stopping, WAIT)
        assert not listener.connections

    asyncio.run(main())
    gc.collect()  # what is left behind complains at its end, which fails the test
    assert complaints == []


def test_a_client_that_breaks_the_protocol_loses_its_connection_and_no_other() -> None:
    with connected(RecordingHandler(), timeout=WAIT) as (server, client):
        client.health_check()
        with RawClient(server.port) as peer:
            assert healthy(peer)
            peer.sock.sendall(raw_frame(0, 0, b"\0"))  # DATA on stream 0
            peer.wait_closed()
        assert client.health_check()[0]


def test_what_nobody_foresaw_is_an_internal_error_and_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(call: ServerCall) -> list[bytes]:
        call.message()
        raise ZeroDivisionError("oops")

    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        listener = Listener(Answers(fail), 1000)
        await listener.start(sock)
        async with AsyncPolicyClient("127.0.0.1", sock.getsockname()[1], timeout=WAIT) as client:
            with pytest.raises(HandlerError, match="ZeroDivisionError: oops"):
                await client.health_check()
        await listener.stop(0)

    asyncio.run(main())
    assert [r.levelno for r in caplog.records if "not foreseen" in r.getMessage()] == [
        logging.ERROR
    ]


def test_an_invalid_argument_error_is_not_what_a_client_makes_of_a_bad_response() -> None:
    script = respond_with(headers(*HEADERS), data(framed(b"\x08")), headers(*OK, end=True))
    with pytest.raises(BadResponseError) as raised:
        check(script)
    assert not isinstance(raised.value, InvalidArgumentError)
    assert raised.value.code().name == "INTERNAL"
