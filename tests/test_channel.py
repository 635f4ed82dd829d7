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
from praxis_remote.backoff import Backoff
from praxis_remote.calls import HEALTH_CHECK, Deadline
from praxis_remote.channel import Channel
from praxis_remote.errors import CallCancelledError, DeadlineExceededError, UnavailableError
from praxis_remote.http2 import Silences
from praxis_remote.server import PolicyServer
from praxis_remote.testing import RecordingHandler

WAIT = 30.0


def channel_to(port: int, backoff: Backoff | None = None) -> Channel:
    silences = Silences(ping=20.0, answer=20.0)
    return Channel(Address("127.0.0.1", port), 10**6, (), silences, backoff)


def with_long_pauses(port: int) -> Channel:
    """Returns a channel that makes no second attempt by itself while a test lasts."""
    return channel_to(port, Backoff(3600.0, 3600.0, lambda: 0.0))


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


# ---------------------------------------------------------------- pauses between attempts


class Mute:
    """A listening socket that closes whatever connects, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        writer.close()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


def test_a_call_that_cannot_wait_for_the_next_attempt_fails_at_once_and_says_why() -> None:
    async def main() -> None:
        mute = Mute()
        channel = with_long_pauses(await mute.start())
        with pytest.raises(UnavailableError, match="did not answer"):
            await call(channel)
        for _ in range(100):
            with pytest.raises(
                UnavailableError, match=r"did not answer.*next attempt is made in 3.6e\+03 s"
            ) as raised:
                await call(channel)
            assert raised.value.never_ran
        assert mute.count == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await channel.close()
        await mute.stop()

    asyncio.run(main())


def test_calls_that_can_wait_share_the_next_attempt_which_hurry_makes_at_once() -> None:
    async def main() -> None:
        mute = Mute()
        channel = with_long_pauses(await mute.start())
        with pytest.raises(UnavailableError):
            await call(channel)
        waiting = [asyncio.ensure_future(call(channel, 10**5)) for _ in range(5)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert (mute.count, [task.done() for task in waiting]) == (1, [False] * 5)
        channel.hurry()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [UnavailableError] * 5
        assert len({id(result) for result in results}) == 5
        assert mute.count == 2
        await channel.close()
        await mute.stop()

    asyncio.run(main())


def test_the_pauses_grow_with_each_attempt_that_fails_and_a_success_resets_them() -> None:
    class Noting(Backoff):
        def next(self) -> float:
            pauses.append(super().next())
            return 0.0

    async def main() -> None:
        mute = Mute()
        port = await mute.start()
        channel = channel_to(port, Noting(chance=lambda: 0.0))
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await call(channel)
        await mute.stop()
        with PolicyServer(RecordingHandler(), port=port):
            await call(channel)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await call(channel)
        await channel.close()

    pauses: list[float] = []
    asyncio.run(main())
    # The loss of a connection is found by a call or by its attempt, which fails as well.
    assert pauses[:4] == [0.02, 0.04, 0.08, 0.02]
    assert pauses[4] == 0.04


def test_the_first_attempt_after_a_loss_is_made_at_once() -> None:
    async def main() -> None:
        with PolicyServer(RecordingHandler(), port=0) as server:
            channel = with_long_pauses(server.port)
            await call(channel)
        with PolicyServer(RecordingHandler(), port=server.port):
            await call(channel)
        await channel.close()

    asyncio.run(main())


def test_closing_ends_a_pause_and_leaves_nothing_behind() -> None:
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        mute = Mute()
        channel = with_long_pauses(await mute.start())
        with pytest.raises(UnavailableError):
            await call(channel)
        waiting = asyncio.ensure_future(call(channel, 10**5))
        for _ in range(3):
            await asyncio.sleep(0)
        await channel.close()
        with pytest.raises(CallCancelledError) as raised:
            await waiting
        assert raised.value.never_ran
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await mute.stop()
        del channel, waiting, raised
        gc.collect()

    asyncio.run(main())
    assert complaints == []


def test_waiting_until_a_server_is_ready_keeps_its_own_pace() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

    async def main() -> None:
        client = AsyncPolicyClient("127.0.0.1", port, timeout=WAIT)
        client._channel._backoff = Backoff(3600.0, 3600.0, lambda: 0.0)
        with pytest.raises(UnavailableError):
            await client.health_check(retries=0)
        with pytest.raises(DeadlineExceededError, match=r"last: cannot connect(?!.*next attempt)"):
            await client.wait_ready(0.1)
        with PolicyServer(RecordingHandler(), port=port):
            assert await client.wait_ready(WAIT) == "RecordingHandler"
        await client.close()

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
