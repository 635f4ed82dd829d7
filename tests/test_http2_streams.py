# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Calls of many messages, made by hand: they last, and cost the server and others nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from http2_peers import RawClient, framed

from praxis_remote import Limits, PolicyClient, PolicyServer, wire
from praxis_remote.errors import StatusCode, UnavailableError
from praxis_remote.health import WATCH
from praxis_remote.reflection import REFLECTION
from praxis_remote.schema.generated_health import (
    HealthCheckResponse,
    HealthCheckResponseServingStatus,
)
from praxis_remote.schema.generated_reflection import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)
from praxis_remote.testing import GatedHandler, RecordingHandler

WAIT = 30.0
Status = HealthCheckResponseServingStatus
EVERYTHING = framed(b"")
"""A request for the health of the server as a whole."""
SERVICES = framed(wire.write_message(ServerReflectionRequest(list_services="*")))


@contextmanager
def served(**limits: Any) -> Iterator[tuple[PolicyServer, RawClient]]:
    with (
        PolicyServer(RecordingHandler(), port=0, limits=Limits(**limits)) as server,
        RawClient(server.port) as peer,
    ):
        yield server, peer


def status_of(event: Any) -> str:
    return {str(key): str(value) for key, value in event.headers}["grpc-status"]


def ends_with(peer: RawClient, stream: int, code: StatusCode) -> str:
    """Waits for a status that comes after messages, and returns its text."""
    trailers = peer.wait_for(TrailersReceived, stream)
    assert status_of(trailers) == str(code.value)
    return str({str(key): str(value) for key, value in trailers.headers}.get("grpc-message", ""))


def refused_with(peer: RawClient, stream: int, code: StatusCode) -> str:
    """Waits for a status without messages, and returns its text."""
    response = peer.wait_for(ResponseReceived, stream)
    assert status_of(response) == str(code.value)
    return str({str(key): str(value) for key, value in response.headers}["grpc-message"])


def watch(peer: RawClient, *extra: tuple[str, str]) -> int:
    stream = peer.request(WATCH, *extra, flush=False)
    peer.data(stream, EVERYTHING)
    return stream


def news(peer: RawClient, stream: int) -> Status:
    data = bytes(peer.wait_for(DataReceived, stream).data)
    return wire.read_message(HealthCheckResponse, data[5:]).status


def answers(peer: RawClient, stream: int, count: int) -> list[ServerReflectionResponse]:
    """Returns so many answers, however their bytes come."""
    data, found = b"", list[ServerReflectionResponse]()
    while len(found) < count:
        data += bytes(peer.wait_for(DataReceived, stream).data)
        while len(data) >= 5 and len(data) >= (end := 5 + int.from_bytes(data[1:5], "big")):
            found.append(wire.read_message(ServerReflectionResponse, data[5:end]))
            data = data[end:]
    assert data == b""
    return found


def test_a_watch_tells_the_status_and_stays() -> None:
    with served() as (server, peer):
        stream = watch(peer)
        assert news(peer, stream) is Status.SERVING
        assert server.status().in_flight == 1
        other = watch(peer)
        assert news(peer, other) is Status.SERVING


def test_questions_are_answered_in_their_order_while_more_may_come() -> None:
    with served() as (_, peer):
        stream = peer.request(REFLECTION[0])
        peer.data(stream, SERVICES, end_stream=False)
        assert answers(peer, stream, 1)[0].original_request.list_services == "*"
        names = ["a", "b", "c"]
        asked = [ServerReflectionRequest(file_by_filename=name) for name in names]
        data = b"".join(framed(wire.write_message(question)) for question in asked)
        for cut in range(len(data)):
            peer.data(stream, data[cut : cut + 1], end_stream=cut == len(data) - 1)
        found = answers(peer, stream, 3)
        assert [answer.original_request.file_by_filename for answer in found] == names
        ends_with(peer, stream, StatusCode.OK)
        peer.wait_for(StreamEnded, stream)


def test_a_stream_that_asks_nothing_ends_well() -> None:
    with served() as (_, peer):
        stream = peer.request(REFLECTION[0], end_stream=True)
        assert status_of(peer.wait_for(ResponseReceived, stream)) == "0"


@pytest.mark.parametrize(
    ("path", "data", "code", "text"),
    [
        (WATCH, b"", StatusCode.INVALID_ARGUMENT, "without a request message"),
        (WATCH, framed(b"\x0a\x05ab"), StatusCode.INVALID_ARGUMENT, "length of 5"),
        (WATCH, framed(b"ab")[:-1], StatusCode.INVALID_ARGUMENT, "ended within a request"),
        (WATCH, framed(b"x" * 4097), StatusCode.RESOURCE_EXHAUSTED, "request of 4097 bytes"),
        (REFLECTION[1], b"\3" + framed(b"")[1:], StatusCode.INVALID_ARGUMENT, "compressed flag 3"),
    ],
)
def test_what_cannot_be_read_ends_the_call_with_a_status_that_says_why(
    path: str, data: bytes, code: StatusCode, text: str
) -> None:
    with served() as (_, peer):
        stream = peer.request(path)
        peer.data(stream, data)
        assert text in refused_with(peer, stream, code)
        assert news(peer, watch(peer)) is Status.SERVING


def test_who_asks_faster_than_it_takes_the_answers_loses_the_call_alone() -> None:
    with served() as (_, peer):
        stream = peer.request(REFLECTION[0])
        peer.data(stream, SERVICES * 2000, end_stream=False)
        text = refused_with(peer, stream, StatusCode.RESOURCE_EXHAUSTED)
        assert "take the answers before asking more" in text
        assert news(peer, watch(peer)) is Status.SERVING


def test_only_so_many_streams_run_on_a_connection_and_each_that_ends_gives_its_place() -> None:
    with served() as (_, peer):
        streams = [watch(peer) for _ in range(16)]
        for stream in streams:
            assert news(peer, stream) is Status.SERVING
        text = refused_with(peer, watch(peer), StatusCode.RESOURCE_EXHAUSTED)
        assert text.startswith("16 streaming")
        peer.h2.reset_stream(streams[3], ErrorCodes.CANCEL)
        peer.flush()
        assert news(peer, watch(peer)) is Status.SERVING
        assert refused_with(peer, watch(peer), StatusCode.RESOURCE_EXHAUSTED)


@pytest.mark.parametrize("messages", [0, 1])
def test_the_deadline_of_a_stream_holds(messages: int) -> None:
    with served() as (_, peer):
        timeout = ("grpc-timeout", "50m")
        if messages:
            stream = watch(peer, timeout)
            assert news(peer, stream) is Status.SERVING
            ends_with(peer, stream, StatusCode.DEADLINE_EXCEEDED)
        else:
            stream = peer.request(WATCH, timeout)
            refused_with(peer, stream, StatusCode.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_a_stream_whose_caller_has_gone_is_forgotten(how: str) -> None:
    ended = threading.Event()

    class Observer:
        code: StatusCode | None = None

        def call_ended(self, record: Any) -> None:
            if record.path == WATCH:
                self.code = record.code
                ended.set()

    observer = Observer()
    with PolicyServer(RecordingHandler(), port=0, observers=[observer]) as server:
        with RawClient(server.port) as peer:
            stream = watch(peer)
            assert news(peer, stream) is Status.SERVING
            if how == "reset":
                peer.h2.reset_stream(stream, ErrorCodes.CANCEL)
                peer.flush()
                assert ended.wait(WAIT)
        assert ended.wait(WAIT)
        assert observer.code is StatusCode.CANCELLED
        assert server.status().in_flight == 0


def test_a_first_request_that_does_not_come_stalls_and_a_watch_that_waits_does_not() -> None:
    with served(stall_seconds=0.05) as (_, peer):
        resting = watch(peer)
        assert news(peer, resting) is Status.SERVING
        stream = peer.request(REFLECTION[0])
        text = refused_with(peer, stream, StatusCode.DEADLINE_EXCEEDED)
        assert text.startswith("nothing of the request")
        asking = peer.request(REFLECTION[0], flush=False)
        peer.data(asking, SERVICES, end_stream=False)
        answers(peer, asking, 1)
        peer.data(asking, SERVICES[:3], end_stream=False)
        assert ends_with(peer, asking, StatusCode.DEADLINE_EXCEEDED).startswith("nothing")
        # It has lasted through two stalls of others.
        ended = [event.stream_id for event in peer.events if isinstance(event, StreamEnded)]
        assert resting not in ended


def without_window(peer: RawClient) -> None:
    peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    peer.flush()
    peer.wait_for(SettingsAcknowledged)


def test_a_watcher_that_takes_nothing_stalls() -> None:
    with served(stall_seconds=0.05) as (_, peer):
        without_window(peer)
        stream = watch(peer)
        peer.wait_for(ResponseReceived, stream)
        assert peer.wait_for(StreamReset, stream).error_code == ErrorCodes.CANCEL


def test_a_message_goes_on_when_the_window_opens() -> None:
    with served() as (_, peer):
        without_window(peer)
        stream = peer.request(REFLECTION[0])
        peer.data(stream, SERVICES)
        peer.wait_for(ResponseReceived, stream)
        peer.h2.increment_flow_control_window(3, stream)
        peer.flush()
        first = bytes(peer.wait_for(DataReceived, stream).data)
        assert len(first) == 3
        peer.h2.increment_flow_control_window(100_000, stream)
        peer.flush()
        data = first + bytes(peer.wait_for(DataReceived, stream).data)
        assert len(data) == 5 + int.from_bytes(data[1:5], "big")
        ends_with(peer, stream, StatusCode.OK)


# ---------------------------------------------------------------- the end of the server


def kinds_until(peer: RawClient, last: type[Event]) -> list[type[Event]]:
    """Returns of which kinds the next events are, and leaves them to be waited for."""
    while last not in (kinds := [type(event) for event in peer.events]):
        peer.events += peer.h2.receive_data(peer.sock.recv(65536))
    return kinds


def test_at_the_end_watchers_are_told_first_and_nothing_waits_for_them() -> None:
    with served() as (server, peer), ThreadPoolExecutor() as pool:
        watching, talking = watch(peer), peer.request(REFLECTION[0])
        assert news(peer, watching) is Status.SERVING
        peer.data(talking, SERVICES, end_stream=False)
        answers(peer, talking, 1)
        silent = peer.request(REFLECTION[0])
        assert news(peer, watch(peer)) is Status.SERVING  # so that all of it has come
        stopped = pool.submit(server.stop, grace=600)
        order = kinds_until(peer, ConnectionTerminated)
        assert order.index(DataReceived) < order.index(ConnectionTerminated)
        assert news(peer, watching) is Status.NOT_SERVING
        for stream in (watching, talking):
            assert "shutting" in ends_with(peer, stream, StatusCode.UNAVAILABLE)
        assert "shutting" in refused_with(peer, silent, StatusCode.UNAVAILABLE)
        peer.close()
        stopped.result(WAIT)


def test_a_watcher_that_takes_nothing_does_not_use_up_the_grace() -> None:
    with served() as (server, peer), ThreadPoolExecutor() as pool:
        without_window(peer)
        peer.wait_for(ResponseReceived, watch(peer))
        # The connection stays open, and its call would as well.
        pool.submit(server.stop, grace=600).result(WAIT)


def test_a_call_that_runs_gets_the_grace_and_watchers_are_told_at_its_begin() -> None:
    policy = GatedHandler()
    with (
        PolicyServer(policy, port=0) as server,
        RawClient(server.port) as peer,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
        ThreadPoolExecutor() as pool,
    ):
        call = pool.submit(client.predict_action, [{"x": np.zeros(1)}])
        policy.wait_begun()
        stream = watch(peer)
        assert news(peer, stream) is Status.SERVING
        stopped = pool.submit(server.stop, grace=600)
        assert news(peer, stream) is Status.NOT_SERVING
        policy.let_end()
        call.result(WAIT)
        peer.close()
        stopped.result(WAIT)


# ---------------------------------------------------------------- other clients


def test_connections_that_only_watch_give_place_to_one_that_calls() -> None:
    with served(connections=1) as (server, peer):
        stream = watch(peer)
        assert news(peer, stream) is Status.SERVING
        with PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client:
            assert client.wait_ready(WAIT) == "RecordingHandler"
        assert "idle" in ends_with(peer, stream, StatusCode.UNAVAILABLE)
        peer.wait_for(ConnectionTerminated)


def test_a_connection_on_which_a_question_is_half_asked_gives_no_place() -> None:
    with served(connections=1) as (server, peer):
        stream = peer.request(REFLECTION[0])
        peer.data(stream, SERVICES, end_stream=False)
        answers(peer, stream, 1)
        peer.data(stream, SERVICES[:3], end_stream=False)
        other = watch(peer)
        assert news(peer, other) is Status.SERVING  # so that the half has come
        with (
            PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
            pytest.raises(UnavailableError),
        ):
            client.health_check(retries=0)
        peer.data(stream, SERVICES[3:], end_stream=False)
        answers(peer, stream, 1)
