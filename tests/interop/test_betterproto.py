# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Another betterproto project: the generated classes on plain grpclib, at either end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpclib
import numpy as np
import pytest
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.server import Server

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer, current_request, errors
from praxis_remote.schema import (
    Empty,
    HealthResponse,
    PolicyServiceBase,
    PolicyServiceStub,
    PredictRequest,
    PredictResponse,
    ResetRequest,
    ResetResponse,
)
from praxis_remote.serialization import (
    decode_numpy_array,
    decode_request,
    encode_numpy_array,
    encode_request,
)

from .peers.known_calls import ACTIONS, CALLS, TEXT, Policy, describe

T = TypeVar("T")

STATE = np.arange(5, dtype=np.float32)
ONE = [{"observation.state": STATE}]


# ---------------------------------------------------------------- their client, our server


class CuriousPolicy(Policy):
    """A policy that keeps what came along with a request."""

    def predict_action(self, *arguments: Any, **keywords: Any) -> Any:
        self.request = current_request()
        return super().predict_action(*arguments, **keywords)


@pytest.fixture
def policy() -> Iterator[CuriousPolicy]:
    policy = CuriousPolicy()
    yield policy
    policy.go_on.set()


@pytest.fixture
def server(policy: CuriousPolicy) -> Iterator[PolicyServer]:
    with PolicyServer(policy, port=0) as server:
        yield server
        policy.go_on.set()


def with_stub(
    server: PolicyServer, use: Callable[[PolicyServiceStub], Coroutine[Any, Any, T]]
) -> T:
    """Runs a coroutine with the generated stub on a channel of grpclib's."""

    async def run() -> T:
        async with Channel("127.0.0.1", server.port) as channel:
            return await use(PolicyServiceStub(channel))

    return asyncio.run(run())


# What the typed path makes of these is what it is tested for elsewhere; the others are
# slow to build as objects.
SMALL_CALLS = [name for name in CALLS if "40 MB" not in name and "in one another" not in name]


@pytest.mark.parametrize("call", SMALL_CALLS)
def test_our_server_reads_a_plain_stubs_request_as_our_clients(
    server: PolicyServer, policy: Policy, call: str
) -> None:
    arguments = CALLS[call]()
    with PolicyClient("127.0.0.1", server.port) as client:
        action = client.predict_action(**arguments)
    response = with_stub(server, lambda stub: stub.predict(encode_request(**arguments)))
    assert describe(decode_numpy_array(response.action)) == describe(action)
    by_client, by_stub = policy.seen
    assert by_stub == by_client


@pytest.mark.parametrize("action", ["array: bool", "array: int64, extremes", "5 MB"])
def test_a_plain_stub_reads_our_servers_response(
    server: PolicyServer, policy: Policy, action: str
) -> None:
    policy.does = ACTIONS[action]
    response = with_stub(server, lambda stub: stub.predict(encode_request(ONE)))
    assert describe(decode_numpy_array(response.action)) == describe(ACTIONS[action]())


def test_the_other_rpcs_answer_a_plain_stub(server: PolicyServer, policy: Policy) -> None:
    async def use(stub: PolicyServiceStub) -> tuple[ResetResponse, ResetResponse, HealthResponse]:
        return (
            await stub.reset(ResetRequest(episode_ids=["a", TEXT])),
            await stub.reset(ResetRequest()),
            await stub.health_check(Empty()),
        )

    some, everything, health = with_stub(server, use)
    assert some.success is everything.success is True
    assert (health.ready, health.model_info) == (True, "interop 🤖")
    ids = [keywords["items"][0][1] for _, _, keywords in policy.seen]
    assert ids == [describe(("a", TEXT)), describe(None)]


def test_a_plain_stubs_metadata_and_deadline_reach_the_policy(
    server: PolicyServer, policy: CuriousPolicy
) -> None:
    metadata: dict[str, str | bytes] = {"robot": "arm-7", "map-bin": bytes(range(256))}
    with_stub(server, lambda stub: stub.predict(encode_request(ONE), metadata=metadata, timeout=30))
    assert dict(policy.request.metadata) == metadata
    remaining = policy.request.remaining()
    assert remaining is not None
    assert 20 < remaining <= 30


@pytest.mark.parametrize(
    ("action", "status"),
    [("raises TypeError", Status.INVALID_ARGUMENT), ("raises RuntimeError", Status.INTERNAL)],
)
def test_a_plain_stub_learns_why_the_policy_failed(
    server: PolicyServer, policy: Policy, action: str, status: Status
) -> None:
    policy.does = ACTIONS[action]
    with pytest.raises(grpclib.GRPCError) as caught:
        with_stub(server, lambda stub: stub.predict(encode_request(ONE)))
    assert caught.value.status is status
    assert caught.value.message is not None
    assert caught.value.message.endswith(": ü\n100%")


def test_a_plain_stubs_deadline_ends_the_call(server: PolicyServer, policy: Policy) -> None:
    policy.go_on.clear()
    # Whoever is first: the stub itself, or our server.
    with pytest.raises((asyncio.TimeoutError, grpclib.GRPCError)) as caught:
        with_stub(server, lambda stub: stub.predict(encode_request(ONE), timeout=0.2))
    if isinstance(caught.value, grpclib.GRPCError):
        assert caught.value.status is Status.DEADLINE_EXCEEDED
    policy.go_on.set()
    with_stub(server, lambda stub: stub.predict(encode_request(ONE)))


def test_plain_stubs_may_call_at_once(server: PolicyServer, policy: Policy) -> None:
    async def use(stub: PolicyServiceStub) -> None:
        request = encode_request([{"a": np.zeros(100_000, np.float32)}])
        await asyncio.gather(*(stub.predict(request) for _ in range(20)))

    with_stub(server, use)
    assert len(policy.seen) == 20


# ---------------------------------------------------------------- our clients, their server


class Service(PolicyServiceBase):
    """A service as any betterproto project would write it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.error: grpclib.GRPCError | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def predict(self, predict_request: PredictRequest) -> PredictResponse:
        observations, policy_kwargs, episode_ids = decode_request(predict_request)
        self.seen.append(describe([observations, policy_kwargs, episode_ids]))
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return PredictResponse(action=encode_numpy_array(2 * STATE))

    async def reset(self, reset_request: ResetRequest) -> ResetResponse:
        self.seen.append(reset_request.episode_ids)
        return ResetResponse(success=True)

    async def health_check(self, empty: Empty) -> HealthResponse:
        return HealthResponse(ready=True, model_info=TEXT)


@asynccontextmanager
async def plain_server(**options: Any) -> AsyncIterator[tuple[Service, AsyncPolicyClient]]:
    """Serves the service with grpclib, and connects our client to it."""
    service = Service()
    server = Server([service])
    await server.start("127.0.0.1", 0)
    sockets = server._server.sockets  # type: ignore[union-attr]  # grpclib has no public way
    port = sockets[0].getsockname()[1]
    try:
        async with AsyncPolicyClient("127.0.0.1", port, **options) as client:
            yield service, client
    finally:
        server.close()


@pytest.mark.parametrize("call", SMALL_CALLS)
def test_a_plain_service_reads_what_our_client_sends(call: str) -> None:
    arguments = CALLS[call]()

    async def use() -> None:
        async with plain_server() as (service, client):
            np.testing.assert_array_equal(await client.predict_action(**arguments), 2 * STATE)
            # The stub sends what the typed path writes.
            await client.stub.predict(encode_request(**arguments))
            by_client, by_stub = service.seen
            assert by_client == by_stub
            expected = decode_request(encode_request(**arguments))
            assert by_client == describe(list(expected))

    asyncio.run(use())


def test_the_other_rpcs_of_a_plain_service_answer_our_client() -> None:
    async def use() -> None:
        async with plain_server() as (service, client):
            assert await client.reset(episode_ids=["a", TEXT]) is True
            assert await client.reset() is True
            assert service.seen == [["a", TEXT], []]
            assert await client.health_check() == (True, TEXT)

    asyncio.run(use())


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_each_status_of_a_plain_service_arrives(status: Status) -> None:
    async def use() -> None:
        async with plain_server() as (service, client):
            service.error = grpclib.GRPCError(status, TEXT)
            with pytest.raises(errors.RemoteError) as caught:
                await client.predict_action(ONE)
            assert (caught.value.code(), caught.value.details()) == (status, TEXT)

    asyncio.run(use())


def test_our_client_gives_up_on_a_plain_service_that_is_late() -> None:
    async def use() -> None:
        async with plain_server() as (service, client):
            service.go_on.clear()
            with pytest.raises(errors.DeadlineExceededError):
                await client.predict_action(ONE, timeout=0.2)
            service.go_on.set()
            await client.predict_action(ONE)

    asyncio.run(use())


def test_our_client_may_call_a_plain_service_at_once() -> None:
    async def use() -> None:
        async with plain_server() as (service, client):
            batch = [{"a": np.zeros(100_000, np.float32)}]
            await asyncio.gather(*(client.predict_action(batch) for _ in range(20)))
            assert len(service.seen) == 20

    asyncio.run(use())
