# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The async client on a loop that is not asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest
from authority import Authority
from http2_peers import Peer, RawServer

from praxis_remote import AsyncPolicyClient, PolicyServer
from praxis_remote.testing import GatedHandler, RecordingHandler

uvloop = pytest.importorskip("uvloop")

WAIT = 30.0
SIZE = 20_000_000


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine on uvloop; what the loop complains of fails the test."""
    complaints: list[dict[str, Any]] = []
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(lambda _, told: complaints.append(told))
    try:
        loop.run_until_complete(asyncio.wait_for(main, WAIT))
    finally:
        loop.close()
    assert complaints == []


def test_calls_are_answered_at_once_and_the_connection_is_closed(host: str) -> None:
    async def main(server: PolicyServer) -> None:
        async with AsyncPolicyClient(server.host, server.port) as client:
            assert (await client.health_check())[0]
            actions = await asyncio.gather(*(client.predict_action([{"x": n}]) for n in range(50)))
            assert [action.shape for action in actions] == [(1, 1)] * 50

    with PolicyServer(RecordingHandler(), host=host, port=0) as server:
        run(main(server))


def test_large_messages_arrive_whole_both_ways(host: str) -> None:
    image = np.arange(SIZE, dtype=np.uint32).astype(np.uint8)

    async def main(server: PolicyServer) -> None:
        async with AsyncPolicyClient(server.host, server.port) as client:
            for _ in range(3):
                assert np.array_equal(await client.predict_action([{"image": image}]), image)

    handler = RecordingHandler(lambda prediction: np.asarray(prediction.observations[0]["image"]))
    with PolicyServer(handler, host=host, port=0) as server:
        run(main(server))


def test_a_cancelled_call_leaves_the_connection_to_others(host: str) -> None:
    handler = GatedHandler()

    async def main(server: PolicyServer) -> None:
        async with AsyncPolicyClient(server.host, server.port) as client:
            call = asyncio.ensure_future(client.predict_action([{"x": 1}]))
            await asyncio.get_running_loop().run_in_executor(None, handler.wait_begun)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            handler.let_end(2)
            assert (await client.predict_action([{"x": 2}])).shape == (1, 1)

    with PolicyServer(handler, host=host, port=0) as server:
        run(main(server))


def test_a_server_that_stops_is_told_from_one_that_is_there(host: str) -> None:
    async def main(server: PolicyServer) -> None:
        client = AsyncPolicyClient(server.host, server.port)
        assert (await client.health_check())[0]
        await asyncio.get_running_loop().run_in_executor(None, server.stop)
        with pytest.raises(ConnectionError):
            await client.health_check(timeout=WAIT)
        await client.close()

    with PolicyServer(RecordingHandler(), host=host, port=0) as server:
        run(main(server))


def test_calls_over_tls_are_answered_and_told_when_the_server_has_gone(
    authority: Authority,
) -> None:
    image = np.arange(SIZE, dtype=np.uint32).astype(np.uint8)

    async def main(server: PolicyServer) -> None:
        tls = authority.client()
        async with AsyncPolicyClient(server.host, server.port, tls=tls) as client:
            for size in (SIZE, 1):
                action = await client.predict_action([{"image": image[:size]}])
                assert np.array_equal(action, image[:size])
            await asyncio.gather(*(client.predict_action([{"image": image[:n]}]) for n in range(9)))
            await asyncio.get_running_loop().run_in_executor(None, server.stop)
            with pytest.raises(ConnectionError):
                await client.health_check(timeout=WAIT)
        async with AsyncPolicyClient(server.host, server.port) as client:
            with pytest.raises(ConnectionError):
                await client.health_check(timeout=WAIT)

    handler = RecordingHandler(lambda prediction: np.asarray(prediction.observations[0]["image"]))
    with PolicyServer(handler, port=0, tls=authority.server()) as server:
        run(main(server))


def test_a_certificate_that_is_not_trusted_is_told_of(
    authority: Authority, stranger: Authority
) -> None:
    async def main(server: PolicyServer) -> None:
        async with AsyncPolicyClient(server.host, server.port, tls=stranger.client()) as client:
            with pytest.raises(ConnectionError, match="not trusted"):
                await client.health_check(timeout=WAIT)

    with PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server:
        run(main(server))


def test_a_server_on_uvloop_speaks_tls(authority: Authority) -> None:
    image = np.arange(SIZE, dtype=np.uint32).astype(np.uint8)
    handler = RecordingHandler(lambda prediction: np.asarray(prediction.observations[0]["image"]))

    async def main() -> None:
        server = PolicyServer(handler, port=0, tls=authority.server())
        serving = asyncio.ensure_future(server.serve_async())
        tls = authority.client()
        async with AsyncPolicyClient(server.host, server.port, tls=tls) as client:
            assert np.array_equal(await client.predict_action([{"image": image}]), image)
        server.request_stop()
        await serving

    run(main())


def test_a_server_that_is_none_is_told_by_what_it_sends() -> None:
    def answer(peer: Peer) -> None:
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.wait_closed()

    async def main() -> None:
        async with AsyncPolicyClient("127.0.0.1", server.port) as client:
            with pytest.raises(ConnectionError, match=r"its first bytes were b'HTTP/1.1 '"):
                await client.predict_action([{"x": 1}], timeout=WAIT)

    with RawServer(answer, quiet=True) as server:
        run(main())
