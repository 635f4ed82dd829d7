# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""grpcio with Google's generated stubs calls our server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from praxis_remote import PolicyServer, RequestContext, current_request

from .google import Generated, array_of, channel_to, tensor_of
from .peers.known_calls import TEXT, Policy

STATE = np.arange(5, dtype=np.float32)


class Doubler(Policy):
    """A policy that doubles the state, and remembers what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[Any] = []
        self.requests: list[RequestContext] = []

    def predict_action(
        self, observations: Any, *, policy_kwargs: Any = None, episode_ids: Any = None
    ) -> Any:
        state = observations[0]["observation.state"]
        self.requests.append(current_request())
        self.states.append(state)
        self.does = lambda: 2 * state
        return super().predict_action(
            observations, policy_kwargs=policy_kwargs, episode_ids=episode_ids
        )


@contextmanager
def doubling(**options: Any) -> Iterator[tuple[Doubler, PolicyServer]]:
    policy = Doubler()
    with PolicyServer(policy, port=0, **options) as server:
        try:
            yield policy, server
        finally:
            policy.go_on.set()


@pytest.fixture
def policy_and_server() -> Iterator[tuple[Doubler, PolicyServer]]:
    with doubling() as pair:
        yield pair


@pytest.fixture
def policy(policy_and_server: tuple[Doubler, PolicyServer]) -> Doubler:
    return policy_and_server[0]


@pytest.fixture
def channel(policy_and_server: tuple[Doubler, PolicyServer]) -> Iterator[grpc.Channel]:
    with channel_to(policy_and_server[1].port) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel, generated: Generated) -> Any:
    return generated.services.PolicyServiceStub(channel)


def request_for(generated: Generated, state: Any = STATE) -> Any:
    """Returns a request whose answer is the doubled state."""
    messages = generated.messages
    tensor = messages.NamedTensor(key="observation.state", tensor=tensor_of(state, generated))
    return messages.PredictRequest(observations=[messages.Observation(tensors=[tensor])])


def failure(call: Any, *arguments: Any, **keywords: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **keywords)
    return caught.value


def doubled(stub: Any, generated: Generated, state: Any = STATE, **keywords: Any) -> None:
    """Makes a call that goes well."""
    response = stub.Predict(request_for(generated, state), timeout=30, **keywords)
    np.testing.assert_array_equal(array_of(response.action, generated), 2 * state)


# ---------------------------------------------------------------- the rpcs


def test_every_rpc_answers(stub: Any, generated: Generated, policy: Doubler) -> None:
    messages = generated.messages
    doubled(stub, generated)
    assert stub.Reset(messages.ResetRequest(episode_ids=["a", TEXT])).success is True
    assert stub.Reset(messages.ResetRequest()).success is True
    health = stub.HealthCheck(messages.Empty())
    assert (health.ready, health.model_info) == (True, "interop 🤖")
    assert [method for method, _, _ in policy.seen] == ["predict_action", "reset", "reset"]


def test_every_rpc_answers_an_asyncio_client(
    policy_and_server: tuple[Doubler, PolicyServer], generated: Generated
) -> None:
    async def use() -> tuple[Any, Any, Any]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{policy_and_server[1].port}") as channel:
            stub = generated.services.PolicyServiceStub(channel)
            return await asyncio.gather(
                stub.Predict(request_for(generated)),
                stub.Reset(generated.messages.ResetRequest()),
                stub.HealthCheck(generated.messages.Empty()),
            )

    predicted, reset, health = asyncio.run(use())
    np.testing.assert_array_equal(array_of(predicted.action, generated), 2 * STATE)
    assert reset.success
    assert health.ready


def test_a_client_may_wait_for_a_server_that_is_to_come(generated: Generated) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with channel_to(port, initial_reconnect_backoff_ms=100) as channel:
        stub = generated.services.PolicyServiceStub(channel)
        future = stub.Predict.future(request_for(generated), wait_for_ready=True, timeout=30)
        failed = threading.Event()

        def watch(state: grpc.ChannelConnectivity) -> None:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                failed.set()

        channel.subscribe(watch)
        assert failed.wait(30)
        with doubling_at(port):
            assert array_of(future.result().action, generated)[1] == 2


@contextmanager
def doubling_at(port: int) -> Iterator[None]:
    with PolicyServer(Doubler(), port=port):
        yield


# ---------------------------------------------------------------- deadline, metadata, status


def test_a_deadline_reaches_the_policy_and_ends_the_call(
    stub: Any, generated: Generated, policy: Doubler
) -> None:
    policy.go_on.clear()
    error = failure(stub.Predict, request_for(generated), timeout=0.3)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    deadline = policy.requests[0].deadline
    assert deadline is not None
    # It may have been rounded up on the way, and is over by now.
    assert deadline.remaining() < 0.1
    policy.go_on.set()
    doubled(stub, generated)


def test_a_call_without_a_deadline_has_none(
    stub: Any, generated: Generated, policy: Doubler
) -> None:
    stub.Predict(request_for(generated))
    assert policy.requests[0].deadline is None
    assert policy.requests[0].remaining() is None


def test_a_call_whose_deadline_passes_in_the_queue_never_runs(
    stub: Any, generated: Generated, policy: Doubler
) -> None:
    policy.go_on.clear()
    first = stub.Predict.future(request_for(generated))
    assert policy.begun.acquire(timeout=30)
    error = failure(stub.Predict, request_for(generated, STATE + 100), timeout=0.2)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # The server's clock started later. By this answer it knows that nobody waits.
    stub.HealthCheck(generated.messages.Empty(), timeout=30)
    policy.go_on.set()
    first.result()
    doubled(stub, generated, STATE + 7)
    assert [state[0] for state in policy.states] == [0, 7]


def test_metadata_reaches_the_policy(stub: Any, generated: Generated, policy: Doubler) -> None:
    every_byte = bytes(range(256))
    sent = (
        ("robot", "arm-7"),
        ("robot", "arm-8"),
        ("x.y_z-1", " !\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~"),
        ("map-bin", every_byte),
        ("empty-bin", b""),
        ("one-bin", b"\x00"),
    )
    stub.Predict(request_for(generated), metadata=sent)
    request = policy.requests[0]
    assert sorted(map(repr, request.metadata)) == sorted(map(repr, sent))
    assert request.peer.startswith("127.0.0.1:")


@pytest.mark.parametrize(
    "text", ["ü 🤖 100% %41 %zz", "two\nlines\r\n\tand a tab", "nul \0", "\x7f~", "x" * 4000]
)
@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_the_text_of_an_error_arrives_as_it_is(
    stub: Any, generated: Generated, policy: Doubler, kind: type[Exception], text: str
) -> None:
    def fail() -> None:
        raise kind(text)

    policy.does = fail
    error = failure(stub.Reset, generated.messages.ResetRequest())
    expected = "INVALID_ARGUMENT" if kind is ValueError else "INTERNAL"
    assert (error.code().name, error.details()) == (expected, text)


# ---------------------------------------------------------------- compression, size


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("state", [STATE, np.zeros((300, 400), np.float64)], ids=["small", "large"])
def test_a_compressed_call_is_understood(
    policy_and_server: tuple[Doubler, PolicyServer],
    generated: Generated,
    compression: grpc.Compression,
    state: Any,
) -> None:
    port = policy_and_server[1].port
    with channel_to(port, compression=compression) as channel:
        doubled(generated.services.PolicyServiceStub(channel), generated, state)
    with channel_to(port) as channel:
        stub = generated.services.PolicyServiceStub(channel)
        doubled(stub, generated, state, compression=compression)
        doubled(stub, generated, state)


def test_a_compressed_call_that_is_over_the_limit_once_unpacked_is_refused(
    generated: Generated,
) -> None:
    with doubling(max_message_size=100_000) as (policy, server), channel_to(server.port) as channel:
        stub = generated.services.PolicyServiceStub(channel)
        request = request_for(generated, np.zeros(1_000_000, np.uint8))
        error = failure(stub.Predict, request, compression=grpc.Compression.Gzip)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        doubled(stub, generated)
        assert len(policy.requests) == 1


def test_a_request_over_the_limit_costs_only_itself(generated: Generated) -> None:
    with doubling(max_message_size=100_000) as (policy, server), channel_to(server.port) as channel:
        stub = generated.services.PolicyServiceStub(channel)
        doubled(stub, generated)
        for size in (200_000, 20_000_000):
            request = request_for(generated, np.zeros(size, np.uint8))
            error = failure(stub.Predict, request, timeout=30)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert f"{request.ByteSize()} bytes" in error.details()
            assert "100000 bytes" in error.details()
            doubled(stub, generated)
        # All of them came over the same connection.
        assert len({request.peer for request in policy.requests}) == 1


def test_a_response_over_our_limit_costs_only_itself(generated: Generated) -> None:
    with doubling(max_message_size=100_000) as (policy, server), channel_to(server.port) as channel:
        stub = generated.services.PolicyServiceStub(channel)
        # The policy grows it to two times its size.
        request = request_for(generated, np.full(60_000, 200, np.uint8))
        policy_does_more = policy.predict_action

        def predict(*arguments: Any, **keywords: Any) -> Any:
            return policy_does_more(*arguments, **keywords).astype(np.float64)

        policy.predict_action = predict  # type: ignore[method-assign]  # this once
        error = failure(stub.Predict, request, timeout=30)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "100000 bytes" in error.details()
        del policy.predict_action
        doubled(stub, generated)


def test_a_response_over_grpcios_own_limit_costs_only_itself(
    stub: Any, generated: Generated
) -> None:
    large = np.zeros(1_250_000, np.float32)
    error = failure(stub.Predict, request_for(generated, large), timeout=30)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    doubled(stub, generated)


def test_messages_of_many_frames_go_over_when_grpcio_allows_them(
    policy_and_server: tuple[Doubler, PolicyServer], generated: Generated
) -> None:
    state = np.arange(1_250_000, dtype=np.float32)
    port = policy_and_server[1].port
    with channel_to(port, max_receive_message_length=-1) as channel:
        doubled(generated.services.PolicyServiceStub(channel), generated, state)


# ---------------------------------------------------------------- many calls, calls given up


def test_fifty_calls_at_once_on_one_channel_each_get_their_own_answer(
    stub: Any, generated: Generated, policy: Doubler
) -> None:
    policy.go_on.clear()
    states = [STATE + 10 * index for index in range(50)]
    futures = [stub.Predict.future(request_for(generated, state), timeout=60) for state in states]
    policy.go_on.set()
    for state, future in zip(states, futures, strict=True):
        action = array_of(future.result().action, generated)
        np.testing.assert_array_equal(action, 2 * state)
    assert len({request.peer for request in policy.requests}) == 1


def test_more_calls_than_a_connection_carries_wait_their_turn(
    stub: Any, generated: Generated, policy: Doubler
) -> None:
    futures = [stub.Predict.future(request_for(generated), timeout=60) for _ in range(300)]
    for future in futures:
        future.result()
    assert len(policy.states) == 300


def test_large_calls_at_once_do_not_starve_each_other(
    policy_and_server: tuple[Doubler, PolicyServer], generated: Generated
) -> None:
    port = policy_and_server[1].port
    with channel_to(port, max_receive_message_length=-1) as channel:
        stub = generated.services.PolicyServiceStub(channel)
        states = [np.full(2_000_000, index, np.float32) for index in range(8)]
        calls = [stub.Predict.future(request_for(generated, state), timeout=60) for state in states]
        for index, call in enumerate(calls):
            action = array_of(call.result().action, generated)
            assert (action.shape, action[0], action[-1]) == ((2_000_000,), 2 * index, 2 * index)


def test_a_cancelled_call_that_waits_in_the_queue_never_runs(
    stub: Any, generated: Generated, policy: Doubler
) -> None:
    empty = generated.messages.Empty()
    policy.go_on.clear()
    first = stub.Predict.future(request_for(generated))
    assert policy.begun.acquire(timeout=30)
    second = stub.Predict.future(request_for(generated, STATE + 100))
    # Answered while the policy works; what was sent before has arrived by then.
    stub.HealthCheck(empty, timeout=30)
    second.cancel()
    stub.HealthCheck(empty, timeout=30)
    policy.go_on.set()
    first.result()
    doubled(stub, generated, STATE + 7)
    assert [state[0] for state in policy.states] == [0, 7]


def test_a_cancelled_call_that_runs_leaves_the_server_in_order(
    stub: Any, generated: Generated, policy: Doubler
) -> None:
    policy.go_on.clear()
    call = stub.Predict.future(request_for(generated))
    assert policy.begun.acquire(timeout=30)
    call.cancel()
    policy.go_on.set()
    assert call.code() is grpc.StatusCode.CANCELLED
    doubled(stub, generated, STATE + 7)


def test_a_channel_that_closes_takes_its_waiting_calls_along(
    policy_and_server: tuple[Doubler, PolicyServer], generated: Generated
) -> None:
    policy, server = policy_and_server
    policy.go_on.clear()
    with channel_to(server.port) as other:
        patient = generated.services.PolicyServiceStub(other)
        # Another connection than the one that closes: grpcio would share it.
        with channel_to(server.port, use_local_subchannel_pool=1) as channel:
            stub = generated.services.PolicyServiceStub(channel)
            # Kept, because grpcio cancels a call that nobody refers to.
            first = stub.Predict.future(request_for(generated))
            assert policy.begun.acquire(timeout=30)
            second = stub.Predict.future(request_for(generated, STATE + 100))
            stub.HealthCheck(generated.messages.Empty(), timeout=30)
        assert first.code() is second.code() is grpc.StatusCode.CANCELLED
        patient.HealthCheck(generated.messages.Empty(), timeout=30)
        policy.go_on.set()
        doubled(patient, generated, STATE + 7)
    assert [state[0] for state in policy.states] == [0, 7]


# ---------------------------------------------------------------- what is no call of ours


@pytest.mark.parametrize("path", ["/praxis_remote.PolicyService/Nope", "/other/Predict", "/"])
def test_an_unknown_method_is_unimplemented_and_costs_only_itself(
    channel: grpc.Channel, stub: Any, generated: Generated, path: str
) -> None:
    call: Any = channel.unary_unary(path)
    assert failure(call, b"").code() is grpc.StatusCode.UNIMPLEMENTED
    doubled(stub, generated)


@pytest.mark.parametrize("count", [0, 2])
def test_a_stream_of_requests_is_an_error_and_costs_only_itself(
    channel: grpc.Channel, stub: Any, generated: Generated, policy: Doubler, count: int
) -> None:
    call: Any = channel.stream_unary("/praxis_remote.PolicyService/Predict")
    request = request_for(generated).SerializeToString()
    error = failure(call, iter([request] * count), timeout=30)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert policy.states == []
    doubled(stub, generated)
