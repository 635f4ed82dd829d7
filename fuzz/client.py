# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Our client and a hostile server, which then behaves: the client's next call must go well."""

from __future__ import annotations

import asyncio
import random
import select
import socket
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from h2.events import StreamEnded
from http2_peers import Peer, framed
from typing_extensions import override

from fuzz import conversation, talk
from fuzz.messages import general
from fuzz.target import Finding, Target
from fuzz.turns import PATIENCE, drain, end, play, wait_turns
from fuzz.watch import Watch
from praxis_remote import AsyncPolicyClient
from praxis_remote.errors import DeadlineExceededError, RemoteError
from praxis_remote.schema import HealthResponse

_GOOD = framed(bytes(HealthResponse(ready=True, model_info="good")))


def _health(client: AsyncPolicyClient) -> Coroutine[Any, Any, object]:
    return client.health_check()


def _predict(client: AsyncPolicyClient) -> Coroutine[Any, Any, object]:
    state = np.zeros(200_000, np.uint8)  # more than a peer takes that never reads
    return client.predict_action([{"state": state, "task": "lift"}])


def _reset(client: AsyncPolicyClient) -> Coroutine[Any, Any, object]:
    return client.reset(episode_ids=["a"])


_CALLS: dict[bytes, tuple[Callable[[AsyncPolicyClient], Coroutine[Any, Any, object]], type]] = {
    b"health": (_health, tuple),
    b"predict": (_predict, np.ndarray),
    b"reset": (_reset, bool),
}


class Client(Target):
    """A port that is hostile to one call of a client, and good to the next."""

    name = "client"

    def __init__(self) -> None:
        self._start()

    @override
    def restart(self) -> None:
        """Leaves everything behind."""
        self._watch.close()
        self._listener.close()
        self._server.shutdown(wait=False)
        self._loop.close()
        self._start()

    def _start(self) -> None:
        self._watch = Watch()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self._port: int = self._listener.getsockname()[1]
        self._server = ThreadPoolExecutor(1, "hostile-server")
        self._loop = asyncio.new_event_loop()
        self._watch.follow(self._loop)
        self._files = self._count_files()

    def _count_files(self) -> int:
        files = self._loop._selector.get_map()  # type: ignore[attr-defined]  # asyncio's own
        return len(files)

    @override
    def make(self, pick: random.Random, pool: Sequence[bytes]) -> bytes:
        """Returns what a hostile server sends."""
        return talk.make(pick, pool, client=False)

    @override
    def check(self, case: bytes) -> str:
        """Has a call answered so, and another one well, and looks at what is left."""
        told = self._loop.run_until_complete(self._check(conversation.unpack(case)))
        if self._count_files() != self._files:
            raise Finding(f"{self._count_files() - self._files} sockets are left in the loop")
        self._watch.check()
        return told

    async def _check(self, talked: conversation.Conversation) -> str:
        client = AsyncPolicyClient("127.0.0.1", self._port, timeout=PATIENCE, retries=0)
        call, kind = _CALLS[talked.call]
        ear, button = socket.socketpair()
        playing = self._server.submit(self._hostile, talked.steps, ear)
        try:
            told = await self._outcome(call(client), kind)
            button.close()
            await asyncio.wrap_future(playing)
            good = self._server.submit(self._answer)
            if await client.health_check() != (True, "good"):
                raise Finding("a good answer was not understood")
            await client.close()
            await asyncio.wrap_future(good)
        finally:
            button.close()
            await client.close()
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            raise Finding(f"tasks are left: {left}")
        return f"{talked.call.decode()} {told}"

    async def _outcome(self, call: Coroutine[Any, Any, object], kind: type) -> str:
        try:
            result = await call
        except DeadlineExceededError as error:
            if "timeout passed" in error.details():
                raise Finding(f"the call hung: {error}") from error
            return general(f"{error}")
        except RemoteError as error:
            if error.address is None:
                raise Finding(f"an error that does not say whose: {error!r}") from error
            return general(f"{type(error).__name__} {error}")
        except asyncio.CancelledError as error:
            raise Finding("the call was cancelled") from error
        if not isinstance(result, kind):
            raise Finding(f"the call returned {result!r}")
        return "returned"

    def _hostile(self, steps: Sequence[bytes | None], call_ended: socket.socket) -> None:
        """Plays the same on each connection, until the call that meets it has ended."""
        with call_ended:
            while self._listener in select.select([self._listener, call_ended], [], [])[0]:
                self._play(steps)

    def _play(self, steps: Sequence[bytes | None]) -> None:
        with self._listener.accept()[0] as sock:
            sock.settimeout(PATIENCE)
            for step in steps:
                if not play(sock, step, self._loop)[1]:
                    break
            wait_turns(self._loop)
            drain(sock)
            end(sock)

    def _answer(self) -> None:
        peer = Peer(self._listener.accept()[0], client=False)
        try:
            peer.start()
            stream_id = peer.wait_for(StreamEnded).stream_id
            headers = [(":status", "200"), ("content-type", "application/grpc")]
            peer.h2.send_headers(stream_id, headers)
            peer.h2.send_data(stream_id, _GOOD)
            peer.h2.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)
            peer.flush()
            peer.wait_closed()
        finally:
            peer.close()

    @override
    def pieces(self, case: bytes) -> list[bytes]:
        """Returns the steps."""
        return case.splitlines(keepends=True)

    @override
    def close(self) -> None:
        """Ends server and loop."""
        self._server.shutdown()
        self._listener.close()
        self._loop.close()
        self._watch.check()
        self._watch.close()
