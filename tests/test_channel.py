# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress
from typing import Any

import pytest

from praxis_remote import AsyncPolicyClient
from praxis_remote import channel as channel_module
from praxis_remote.address import Address
from praxis_remote.calls import HEALTH_CHECK, Deadline
from praxis_remote.channel import Channel
from praxis_remote.errors import CallCancelledError, DeadlineExceededError, UnavailableError
from praxis_remote.server import PolicyServer
from praxis_remote.testing import RecordingHandler

WAIT = 30.0


def channel_to(port: int) -> Channel:
    return Channel(Address("127.0.0.1", port), 10**6, ())


async def call(channel: Channel, timeout: float = WAIT) -> Any:
    return await channel.call(HEALTH_CHECK.path, [b""], deadline=Deadline.after(timeout))


class Counting:
    """A listening socket that counts the connections it accepts and says nothing."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]

    def accepted(self) -> int:
        self.sock.setblocking(False)
        count = 0
        try:
            while True:
                self.sock.accept()[0].close()
                count += 1
        except BlockingIOError:
            return count


def test_calls_that_come_while_it_connects_share_the_attempt() -> None:
    silent = Counting()

    async def main() -> None:
        channel = channel_to(silent.port)
        results = await asyncio.gather(
            *(call(channel, 0.2) for _ in range(5)), return_exceptions=True
        )
        assert [type(result) for result in results] == [DeadlineExceededError] * 5
        await channel.close()

    asyncio.run(main())
    assert silent.accepted() == 1
    silent.sock.close()


def test_an_attempt_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # The bound is half a minute at most in earnest; nobody shall wait for it here.
    monkeypatch.setattr(channel_module, "_CONNECT_TIMEOUT", 0.1)
    silent = Counting()

    async def main() -> None:
        channel = channel_to(silent.port)
        with pytest.raises(UnavailableError, match=r"no connection within 0\.1 s"):
            await call(channel)
        with pytest.raises(UnavailableError, match=r"no connection within 0\.1 s"):
            await call(channel)
        await channel.close()

    asyncio.run(main())
    assert silent.accepted() == 2
    silent.sock.close()


def test_one_connection_carries_one_call_after_another() -> None:
    with PolicyServer(RecordingHandler(), port=0) as server:

        async def main() -> None:
            channel = channel_to(server.port)
            for _ in range(10):
                await call(channel)
            assert len(server._listener.connections) == 1
            await channel.close()

        asyncio.run(main())


def test_closing_ends_an_attempt_to_connect_and_the_call_that_waits_for_it() -> None:
    silent = Counting()

    async def main() -> None:
        channel = channel_to(silent.port)
        waiting = asyncio.ensure_future(call(channel))
        await asyncio.sleep(0)
        await channel.close()
        with pytest.raises(CallCancelledError):
            await waiting
        with pytest.raises(CallCancelledError, match="make a new one"):
            await call(channel)

    asyncio.run(main())
    silent.sock.close()


def test_closing_ends_a_call_that_runs() -> None:
    from praxis_remote.calls import PREDICT
    from praxis_remote.testing import GatedHandler

    handler = GatedHandler()
    with PolicyServer(handler, port=0) as server:

        async def main() -> None:
            channel = channel_to(server.port)
            running = asyncio.ensure_future(channel.call(PREDICT.path, [b"\x0a\x00"]))
            await asyncio.to_thread(handler.wait_begun)
            await channel.close()
            with pytest.raises(CallCancelledError, match="closed"):
                await running

        asyncio.run(main())
        handler.let_end()


def test_a_failed_attempt_is_followed_by_a_new_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

    async def main() -> None:
        channel = channel_to(port)
        with pytest.raises(UnavailableError, match="cannot connect"):
            await call(channel)
        with PolicyServer(RecordingHandler(), port=port):
            await call(channel)
        await channel.close()

    asyncio.run(main())


def test_a_client_that_is_closed_while_it_connects_leaves_nothing_to_complain(host: str) -> None:
    complaints: list[dict[str, Any]] = []

    async def close_after(server: PolicyServer, turns: int) -> None:
        client = AsyncPolicyClient(server.host, server.port, timeout=WAIT)
        call = asyncio.ensure_future(client.health_check())
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.close()
        with suppress(CallCancelledError):
            await call

    async def main(server: PolicyServer) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        for turns in range(20):
            await close_after(server, turns)
            gc.collect()

    with PolicyServer(RecordingHandler(), host=host, port=0) as server:
        asyncio.run(main(server))
    assert complaints == []
