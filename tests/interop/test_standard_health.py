# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The official clients of the health service ask our server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from praxis_remote import PolicyServer, Stage, readiness
from praxis_remote.testing import RecordingHandler

from .google import channel_to

WAIT = 30.0
SERVICE = "praxis_remote.PolicyService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Policy(RecordingHandler):
    """Warms up until it is let go on, and is ready as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.ready = True

    def warmup(self) -> None:
        assert self.go_on.wait(WAIT)

    def is_ready(self) -> bool:
        return self.ready


def request(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@contextmanager
def watching(
    stub: health_pb2_grpc.HealthStub, service: str = ""
) -> Iterator[Iterator[health_pb2.HealthCheckResponse]]:
    call = stub.Watch(request(service), timeout=WAIT)
    try:
        yield call
    finally:
        call.cancel()


@pytest.fixture(params=["tcp", "unix"])
def host(request: pytest.FixtureRequest, socket_folder: Path) -> str:
    return "127.0.0.1" if request.param == "tcp" else f"unix:{socket_folder}/policy.sock"


@contextmanager
def serving(
    policy: RecordingHandler, host: str
) -> Iterator[tuple[PolicyServer, health_pb2_grpc.HealthStub]]:
    options: dict[str, Any] = {} if host.startswith("unix:") else {"port": 0}
    with (
        PolicyServer(policy, host=host, **options) as server,
        channel_to(server.address) as channel,
    ):
        yield server, health_pb2_grpc.HealthStub(channel)


def test_health_follows_the_stages_and_what_the_policy_says(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_ASK_SECONDS", 0.01)
    policy = Policy()
    with serving(policy, host) as (server, stub), watching(stub, SERVICE) as news:
        assert stub.Check(request(), timeout=WAIT).status == NOT_SERVING
        assert next(news).status == NOT_SERVING
        policy.go_on.set()
        assert next(news).status == SERVING
        assert server.stage is Stage.SERVING
        policy.ready = False
        # Nobody but the server itself asks the policy.
        assert next(news).status == NOT_SERVING
        assert stub.Check(request(SERVICE), timeout=WAIT).status == NOT_SERVING
        policy.ready = True
        assert next(news).status == SERVING
        assert stub.Check(request(SERVICE), timeout=WAIT).status == SERVING
        server.request_stop(grace=600)
        assert next(news).status == NOT_SERVING
        with pytest.raises(grpc.RpcError) as raised:
            next(news)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_check_asks_the_policy_and_tells_the_watchers() -> None:
    policy = Policy()
    policy.go_on.set()
    with serving(policy, "127.0.0.1") as (_, stub), watching(stub) as news:
        while next(news).status != SERVING:
            pass
        policy.ready = False
        assert stub.Check(request(), timeout=WAIT).status == NOT_SERVING
        assert next(news).status == NOT_SERVING


def test_services_are_known_by_their_names(host: str) -> None:
    with serving(RecordingHandler(), host) as (_, stub):
        for service in ("", SERVICE):
            assert stub.Check(request(service), timeout=WAIT).status == SERVING
            with watching(stub, service) as news:
                assert next(news).status == SERVING
        with pytest.raises(grpc.RpcError) as raised:
            stub.Check(request("a.B"), timeout=WAIT)
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        with watching(stub, "a.B") as news:
            assert next(news).status == SERVICE_UNKNOWN
        statuses = stub.List(health_pb2.HealthListRequest(), timeout=WAIT).statuses
        assert {name: response.status for name, response in statuses.items()} == {
            "": SERVING,
            SERVICE: SERVING,
        }


def test_a_watch_outlives_many_calls_and_ends_when_its_client_wants() -> None:
    with serving(RecordingHandler(), "127.0.0.1") as (server, stub):
        with watching(stub) as news:
            assert next(news).status == SERVING
            for _ in range(50):
                assert stub.Check(request(), timeout=WAIT).status == SERVING
            assert server.status().in_flight >= 1
        # The end of a call is news for the server alone: another call comes after it.
        while server.status().in_flight:
            stub.Check(request(), timeout=WAIT)
