# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""grpcio and this package call each other over UNIX sockets."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from faces import Face

from praxis_remote.errors import InvalidArgumentError

from .google import Generated, array_of, channel_to, serving
from .test_grpcio_client import STATE, doubled, doubling, request_for
from .test_grpcio_server import Servicer, call_stub
from .test_grpcio_server import doubled as doubled_for

BIG = np.arange(400_000, dtype=np.float64)  # below the limit of grpcio


@pytest.fixture
def path(socket_folder: Path) -> Path:
    return socket_folder / "policy.sock"


def absolute(path: Path) -> str:
    return f"unix:{path}"


def with_slashes(path: Path) -> str:
    return f"unix://{path}"


def from_here(path: Path) -> str:
    return f"unix:{os.path.relpath(path)}"


every_way = pytest.mark.parametrize("written", [absolute, with_slashes, from_here])


@every_way
def test_grpcio_calls_our_server(generated: Generated, path: Path, written: Any) -> None:
    with doubling(host=f"unix:{path}") as (policy, _), channel_to(written(path)) as channel:
        stub = generated.services.PolicyServiceStub(channel)
        doubled(stub, generated)
        doubled(stub, generated, BIG)
        assert stub.Reset(generated.messages.ResetRequest(episode_ids=["a"])).success
        assert stub.HealthCheck(generated.messages.Empty()).ready
    assert {request.peer for request in policy.requests} == {f"unix:{path}"}


def test_grpcio_s_asyncio_client_calls_our_server(generated: Generated, path: Path) -> None:
    async def use() -> Any:
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            stub = generated.services.PolicyServiceStub(channel)
            return await asyncio.gather(*(stub.Predict(request_for(generated)) for _ in range(20)))

    with doubling(host=f"unix:{path}"):
        for response in asyncio.run(use()):
            np.testing.assert_array_equal(array_of(response.action, generated), 2 * STATE)


@every_way
def test_our_clients_call_grpcio_s_server(
    face: Face, generated: Generated, path: Path, written: Any
) -> None:
    servicer = Servicer(generated)
    with serving(generated, servicer, f"unix:{path}"):
        client = face.client(0, written(path))
        doubled_for(client)
        assert call_stub(client).action.data == (2 * STATE).tobytes()
        big = client.predict_action([{"observation.state": BIG}])
        np.testing.assert_array_equal(big, 2 * BIG)
        assert client.reset(episode_ids=["a"])
        assert client.health_check()[0]
    assert {peer.partition(":")[0] for peer in servicer.peers} == {"unix"}


def test_a_status_of_grpcio_s_comes_with_the_socket_s_address(
    face: Face, generated: Generated, path: Path
) -> None:
    servicer = Servicer(generated)
    servicer.does = lambda _, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "because")
    with serving(generated, servicer, f"unix:{path}"):
        client = face.client(0, f"unix:{path}")
        with pytest.raises(InvalidArgumentError, match="because") as raised:
            client.predict_action([{"observation.state": STATE}])
    assert raised.value.address == f"unix:{path}"
