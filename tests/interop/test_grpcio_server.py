# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Both our clients, and the stubs on their connections, call a server of grpcio's."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import http2_peers
import numpy as np
import pytest
from faces import Face
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamEnded
from h2.settings import SettingCodes, Settings

from praxis_remote import AsyncPolicyClient, PolicyClient, errors
from praxis_remote.schema import PredictRequest
from praxis_remote.serialization import encode_request

from .google import Generated, array_of, serving, tensor_of
from .peers.known_calls import TEXT

STATE = np.arange(5, dtype=np.float32)
ONE = [{"observation.state": STATE}]

CLASS_OF_CODE: dict[str, type[errors.RemoteError]] = {
    "CANCELLED": errors.CallCancelledError,
    "UNKNOWN": errors.RemoteError,
    "INVALID_ARGUMENT": errors.InvalidArgumentError,
    "DEADLINE_EXCEEDED": errors.DeadlineExceededError,
    "NOT_FOUND": errors.RemoteError,
    "ALREADY_EXISTS": errors.RemoteError,
    "PERMISSION_DENIED": errors.RequestRefusedError,
    "RESOURCE_EXHAUSTED": errors.ResourceExhaustedError,
    "FAILED_PRECONDITION": errors.RemoteError,
    "ABORTED": errors.RemoteError,
    "OUT_OF_RANGE": errors.InvalidArgumentError,
    "UNIMPLEMENTED": errors.UnimplementedError,
    "INTERNAL": errors.HandlerError,
    "UNAVAILABLE": errors.UnavailableError,
    "DATA_LOSS": errors.HandlerError,
    "UNAUTHENTICATED": errors.RequestRefusedError,
}


class Servicer:
    """Doubles the state, unless it is told something else.

    Attributes:
        does: Answers a request, or ends it by the context.
        metadata: What came along with each prediction.
        remaining: Until the deadline of each.
        peers: The address that each came from.
        at_once: The largest number of calls that ran at the same time.
    """

    def __init__(self, generated: Generated) -> None:
        self._generated = generated
        self.does: Callable[[Any, Any], Any] = self.double
        self.metadata: list[list[tuple[str, str | bytes]]] = []
        self.remaining: list[float] = []
        self.peers: list[str] = []
        self.began = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self._lock = threading.Lock()
        self._running = 0
        self.at_once = 0

    def double(self, request: Any, _context: Any) -> Any:
        state = array_of(request.observations[0].tensors[0].tensor, self._generated)
        return self.action(2 * state)

    def action(self, array: Any) -> Any:
        tensor = tensor_of(array, self._generated)
        return self._generated.messages.PredictResponse(action=tensor)

    # The names are those of grpcio's servicers.

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        # Not the context itself: as long as it is there, grpcio counts the stream.
        self.metadata.append([(key, value) for key, value in context.invocation_metadata()])
        self.remaining.append(context.time_remaining())
        self.peers.append(context.peer())
        context.add_callback(self.ended.release)
        with self._lock:
            self._running += 1
            self.at_once = max(self.at_once, self._running)
        self.began.release()
        try:
            assert self.go_on.wait(60)
            return self.does(request, context)
        finally:
            with self._lock:
                self._running -= 1

    def Reset(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.reset_ids = list(request.episode_ids)
        return self._generated.messages.ResetResponse(success=True)

    def HealthCheck(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._generated.messages.HealthResponse(ready=True, model_info=TEXT)


def answer(response: Any, _request: Any, _context: Any) -> Any:
    return response


@pytest.fixture
def servicer(generated: Generated) -> Iterator[Servicer]:
    servicer = Servicer(generated)
    yield servicer
    servicer.go_on.set()


@pytest.fixture
def port(generated: Generated, servicer: Servicer) -> Iterator[int]:
    with serving(generated, servicer) as (_, port):
        yield port
        servicer.go_on.set()


def call_method(client: Any, **keywords: Any) -> Any:
    return client.predict_action(ONE, **keywords)


def call_stub(client: Any, **keywords: Any) -> Any:
    request: PredictRequest = encode_request(ONE)
    return client.stub.predict(request, **keywords)


either_way = pytest.mark.parametrize("call", [call_method, call_stub], ids=["method", "stub"])


def doubled(client: Any) -> None:
    """Makes a call that goes well."""
    np.testing.assert_array_equal(client.predict_action(ONE), 2 * STATE)


# ---------------------------------------------------------------- the rpcs


def test_every_rpc_answers(face: Face, servicer: Servicer, port: int) -> None:
    client = face.client(port)
    doubled(client)
    assert client.reset(episode_ids=["a", TEXT]) is True
    assert servicer.reset_ids == ["a", TEXT]
    assert client.health_check() == (True, TEXT)
    assert client.wait_ready() == TEXT
    response = call_stub(client)
    assert response.action.data == (2 * STATE).tobytes()


def test_metadata_and_deadline_reach_the_server(face: Face, servicer: Servicer, port: int) -> None:
    sent = [("robot", "arm-7"), ("robot", "arm-8"), ("map-bin", bytes(range(256)))]
    client = face.client(port, metadata=sent, timeout=50, session_id="left")
    doubled(client)
    received = [item for item in servicer.metadata[0] if item[0] != "user-agent"]
    assert sorted(map(repr, received)) == sorted(map(repr, [*sent, ("praxis-session-id", "left")]))
    call_stub(client, metadata={"robot": "arm-9"}, timeout=20)
    robots = [value for key, value in servicer.metadata[1] if key == "robot"]
    assert robots == ["arm-7", "arm-8", "arm-9"]
    first, second = servicer.remaining
    assert 40 < first <= 50.1
    assert 10 < second <= 20.1


# ---------------------------------------------------------------- status


@either_way
@pytest.mark.parametrize("name", CLASS_OF_CODE)
def test_each_status_arrives_as_its_class(
    face: Face, servicer: Servicer, port: int, call: Any, name: str
) -> None:
    servicer.does = lambda _request, context: context.abort(grpc.StatusCode[name], "because")
    client = face.client(port)
    with pytest.raises(errors.RemoteError) as caught:
        call(client)
    assert type(caught.value) is CLASS_OF_CODE[name]
    assert caught.value.code().name == name
    assert caught.value.code().value == grpc.StatusCode[name].value[0]
    assert caught.value.details() == "because"
    assert caught.value.address == f"127.0.0.1:{port}"


@either_way
@pytest.mark.parametrize(
    "text", ["", "ü 🤖 100% %41 %zz %", "two\nlines\r\n\tand a tab", " ends ", "nul \0 \x7f"]
)
def test_the_text_of_a_status_arrives_as_it_is(
    face: Face, servicer: Servicer, port: int, call: Any, text: str
) -> None:
    servicer.does = lambda _request, context: context.abort(grpc.StatusCode.ABORTED, text)
    with pytest.raises(errors.RemoteError) as caught:
        call(face.client(port))
    assert caught.value.details() == text


def test_an_unforeseen_exception_of_the_server_is_an_error_of_no_class(
    face: Face, servicer: Servicer, port: int
) -> None:
    def fail(_request: Any, _context: Any) -> Any:
        raise RuntimeError("broken")

    servicer.does = fail
    with pytest.raises(errors.RemoteError, match="broken") as caught:
        call_method(face.client(port))
    assert caught.value.code().name == "UNKNOWN"


def test_a_server_without_the_method_is_unimplemented(face: Face, generated: Generated) -> None:
    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with pytest.raises(errors.UnimplementedError):
                call_method(face.client(port))
        finally:
            server.stop(None).wait()


# ---------------------------------------------------------------- size, compression


@either_way
def test_a_response_over_our_limit_costs_only_itself(
    face: Face, servicer: Servicer, port: int, call: Any
) -> None:
    client = face.client(port, max_message_size=100_000)
    doubled(client)
    for size in (200_000, 3_000_000):
        large = servicer.action(np.zeros(size, np.uint8))
        servicer.does = functools.partial(answer, large)
        with pytest.raises(errors.MessageTooLargeError) as caught:
            call(client)
        assert (caught.value.size, caught.value.limit) == (large.ByteSize(), 100_000)
        servicer.does = servicer.double
        doubled(client)
    # All of them went over the same connection.
    assert len(set(servicer.peers)) == 1


def test_a_request_over_the_servers_limit_costs_only_itself(
    face: Face, generated: Generated, servicer: Servicer
) -> None:
    with serving(generated, servicer, max_receive_message_length=100_000) as (_, port):
        client = face.client(port)
        for size in (200_000, 30_000_000):
            with pytest.raises(errors.ResourceExhaustedError):
                client.predict_action([{"a": np.zeros(size, np.uint8)}])
            doubled(client)


def test_large_messages_go_over_in_both_directions(
    face: Face, generated: Generated, servicer: Servicer
) -> None:
    state = np.arange(10_000_000, dtype=np.float32)
    with serving(
        generated, servicer, max_receive_message_length=-1, max_send_message_length=-1
    ) as (_, port):
        action = face.client(port).predict_action([{"observation.state": state}])
    np.testing.assert_array_equal(action, 2 * state)


@either_way
@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_response_is_understood(
    face: Face, generated: Generated, servicer: Servicer, compression: Any, call: Any
) -> None:
    servicer.does = functools.partial(answer, servicer.action(np.zeros(100_000, np.float32)))
    with serving(generated, servicer, compression=compression) as (_, port):
        found = call(face.client(port))
    data = found.tobytes() if isinstance(found, np.ndarray) else found.action.data
    assert data == bytes(400_000)


# ---------------------------------------------------------------- calls that come to no end


@either_way
def test_a_slow_server_is_a_deadline_exceeded_and_is_told_to_stop(
    face: Face, servicer: Servicer, port: int, call: Any
) -> None:
    client = face.client(port)
    doubled(client)
    assert servicer.ended.acquire(timeout=30)
    servicer.go_on.clear()
    with pytest.raises(errors.DeadlineExceededError):
        call(client, timeout=0.2)
    # The servicer's call is over although it has not answered.
    assert servicer.ended.acquire(timeout=30)
    servicer.go_on.set()
    doubled(client)


def test_a_cancelled_task_cancels_the_call_at_the_server(servicer: Servicer, port: int) -> None:
    async def use() -> None:
        async with AsyncPolicyClient("127.0.0.1", port) as client:
            servicer.go_on.clear()
            task = asyncio.create_task(client.predict_action(ONE))
            assert await asyncio.to_thread(servicer.began.acquire, timeout=30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(servicer.ended.acquire, timeout=30)
            servicer.go_on.set()
            await client.predict_action(ONE)

    asyncio.run(use())


def test_a_server_that_stops_gracefully_lets_the_running_call_finish(
    generated: Generated, servicer: Servicer
) -> None:
    with serving(generated, servicer) as (server, port), PolicyClient("127.0.0.1", port) as client:
        servicer.go_on.clear()
        with futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(client.predict_action, ONE)
            assert servicer.began.acquire(timeout=30)
            stopped = server.stop(grace=60)
            # A call that crosses grpcio's GOAWAY is answered with CANCELLED.
            with pytest.raises((errors.UnavailableError, errors.CallCancelledError)):
                client.predict_action(ONE, timeout=30)
            servicer.go_on.set()
            np.testing.assert_array_equal(running.result(), 2 * STATE)
        assert stopped.wait(30)
        with pytest.raises(errors.UnavailableError):
            client.predict_action(ONE, timeout=30)
        with serving(generated, servicer, port):
            doubled(client)


def test_a_server_that_stops_at_once_fails_the_running_call(
    generated: Generated, servicer: Servicer
) -> None:
    with serving(generated, servicer) as (server, port), PolicyClient("127.0.0.1", port) as client:
        servicer.go_on.clear()
        with futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(client.predict_action, ONE, timeout=60)
            assert servicer.began.acquire(timeout=30)
            stopped = server.stop(None)
            with pytest.raises((errors.UnavailableError, errors.CallCancelledError)):
                running.result()
            servicer.go_on.set()
        assert stopped.wait(30)
        with serving(generated, servicer, port):
            doubled(client)


def test_connections_that_the_server_ends_for_their_age_cost_no_call(
    face: Face, generated: Generated, servicer: Servicer
) -> None:
    with serving(generated, servicer, max_connection_age_ms=30) as (_, port):
        client = face.client(port)
        for _ in range(5000):
            doubled(client)
            if len(set(servicer.peers)) > 4:
                return
    pytest.fail("the server never ended a connection")


# ---------------------------------------------------------------- many calls


@pytest.mark.parametrize("limit", [1, 2])
def test_calls_beyond_the_servers_limit_wait_their_turn(
    generated: Generated, servicer: Servicer, limit: int
) -> None:
    states = [STATE + 10 * index for index in range(5)]
    with (
        serving(generated, servicer, max_concurrent_streams=limit) as (_, port),
        PolicyClient("127.0.0.1", port, timeout=60) as client,
        futures.ThreadPoolExecutor(5) as pool,
    ):
        actions = list(
            pool.map(lambda state: client.predict_action([{"observation.state": state}]), states)
        )
        assert len(set(servicer.peers)) == 1
    for state, action in zip(states, actions, strict=True):
        np.testing.assert_array_equal(action, 2 * state)
    assert 1 <= servicer.at_once <= limit


def test_an_async_clients_calls_beyond_the_servers_limit_wait_their_turn(
    generated: Generated, servicer: Servicer
) -> None:
    async def use(port: int) -> list[Any]:
        async with AsyncPolicyClient("127.0.0.1", port, timeout=60) as client:
            calls = [
                client.predict_action([{"observation.state": STATE + index}]) for index in range(5)
            ]
            return list(await asyncio.gather(*calls))

    with serving(generated, servicer, max_concurrent_streams=1) as (_, port):
        actions = asyncio.run(use(port))
    assert [action[0] for action in actions] == [0, 2, 4, 6, 8]
    assert servicer.at_once == 1


def test_a_call_that_waits_its_turn_keeps_its_deadline_and_leaves_the_queue(
    generated: Generated, servicer: Servicer
) -> None:
    async def use(port: int) -> None:
        async with AsyncPolicyClient("127.0.0.1", port, timeout=60) as client:
            servicer.go_on.clear()
            first = asyncio.create_task(client.predict_action(ONE))
            assert await asyncio.to_thread(servicer.began.acquire, timeout=30)
            with pytest.raises(errors.DeadlineExceededError):
                await client.predict_action(ONE, timeout=0.1)
            given_up = asyncio.create_task(client.predict_action(ONE))
            third = asyncio.create_task(client.predict_action(ONE))
            await asyncio.sleep(0)
            given_up.cancel()
            servicer.go_on.set()
            await asyncio.gather(first, third)
            assert given_up.cancelled()

    with serving(generated, servicer, max_concurrent_streams=1) as (_, port):
        asyncio.run(use(port))
    assert len(servicer.peers) == 2


def test_a_call_cancelled_as_its_turn_comes_passes_the_turn_on(
    generated: Generated, servicer: Servicer
) -> None:
    async def use(port: int) -> None:
        async with AsyncPolicyClient("127.0.0.1", port, timeout=60) as client:

            async def call_and_cancel() -> None:
                await client.predict_action(ONE)
                # At this moment the turn is the second call's, which does not know it yet.
                second.cancel()

            servicer.go_on.clear()
            first = asyncio.create_task(call_and_cancel())
            assert await asyncio.to_thread(servicer.began.acquire, timeout=30)
            second = asyncio.create_task(client.predict_action(ONE))
            third = asyncio.create_task(client.predict_action(ONE, timeout=10))
            # Until both wait.
            await asyncio.sleep(0)
            servicer.go_on.set()
            await asyncio.gather(first, third)
            assert second.cancelled()

    with serving(generated, servicer, max_concurrent_streams=1) as (_, port):
        asyncio.run(use(port))
    assert len(servicer.peers) == 2


def respond_reset(peer: http2_peers.Peer, stream_id: int) -> None:
    """Answers a call of `reset` by hand."""
    headers = [(":status", "200"), ("content-type", "application/grpc")]
    peer.h2.send_headers(stream_id, headers)
    peer.h2.send_data(stream_id, http2_peers.framed(b"\x08\x01"))
    peer.h2.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)
    peer.flush()


def test_calls_that_wait_go_out_when_the_server_allows_more() -> None:
    def allow_more(peer: http2_peers.Peer) -> None:
        initial = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
        peer.h2.local_settings = Settings(client=False, initial_values=initial)
        peer.start()
        calls = [peer.wait_for(StreamEnded).stream_id]
        peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 3})
        peer.flush()
        # None of them is answered before all of them are here.
        calls += [peer.wait_for(StreamEnded).stream_id for _ in range(2)]
        for stream_id in calls:
            respond_reset(peer, stream_id)
        peer.wait_closed()

    with (
        http2_peers.RawServer(allow_more, quiet=True) as server,
        PolicyClient("127.0.0.1", server.port, timeout=30) as client,
        futures.ThreadPoolExecutor(3) as pool,
    ):
        assert list(pool.map(lambda _: client.reset(), range(3))) == [True] * 3


def test_a_call_that_a_busy_server_refuses_is_sent_again() -> None:
    """A grpcio server counts a stream for a moment after it has answered on it."""

    def refuse_twice(peer: http2_peers.Peer) -> None:
        for _ in range(2):
            stream_id = peer.wait_for(RequestReceived).stream_id
            peer.wait_for(StreamEnded, stream_id)
            peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            peer.flush()
        respond_reset(peer, peer.wait_for(RequestReceived).stream_id)
        peer.wait_closed()

    with (
        http2_peers.RawServer(refuse_twice) as server,
        PolicyClient("127.0.0.1", server.port, timeout=30) as client,
    ):
        assert client.reset() is True


def test_a_server_that_refuses_for_good_is_unavailable() -> None:
    def refuse(peer: http2_peers.Peer) -> None:
        while True:
            try:
                stream_id = peer.wait_for(StreamEnded).stream_id
            except ConnectionResetError:
                return
            peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            peer.flush()

    with (
        http2_peers.RawServer(refuse) as server,
        PolicyClient("127.0.0.1", server.port, timeout=30) as client,
        pytest.raises(errors.UnavailableError, match="REFUSED_STREAM"),
    ):
        client.reset()


def test_fifty_calls_at_once_each_get_their_own_answer(
    generated: Generated, servicer: Servicer
) -> None:
    async def use(port: int) -> list[Any]:
        async with AsyncPolicyClient("127.0.0.1", port, timeout=60) as client:
            calls = [
                client.predict_action([{"observation.state": STATE + index}]) for index in range(50)
            ]
            return list(await asyncio.gather(*calls))

    with serving(generated, servicer, workers=50) as (_, port):
        actions = asyncio.run(use(port))
    assert [action[0] for action in actions] == [2 * index for index in range(50)]
