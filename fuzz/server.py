# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A live server and a hostile client, beside a good one that must not notice."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import struct
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import numpy as np
from hpack import Decoder
from typing_extensions import override

from fuzz import conversation, talk
from fuzz.frames import GOAWAY, HEADERS, RST_STREAM, Frame, parse
from fuzz.messages import general
from fuzz.target import Finding, Target
from fuzz.turns import PATIENCE, drain, end, play, turns, wait_turns
from fuzz.watch import Watch
from praxis_remote import PolicyClient, PolicyServer
from praxis_remote.http2 import ServerCall
from praxis_remote.types import Array, Observation, PolicyKwargValue

_LIMIT = 16 * 2**20
_MAX_COLLECTIONS = 50


class Summing:
    """A policy that keeps nothing, and whose answer tells what it was asked."""

    def predict_action(
        self,
        observations: Sequence[Observation],
        *,
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        episode_ids: Sequence[str] | None = None,
    ) -> Array:
        """Returns a row of how many keys there are and what "x" is for each observation."""
        rows = [[len(item), _number(item.get("x"))] for item in observations]
        return np.array(rows, np.float64)

    def reset(self, episode_ids: Sequence[str] | None = None) -> None:
        """Takes no notice."""

    def model_info(self) -> str:
        """Returns a name."""
        return "Summing"


def _number(value: object) -> float:
    return float(value) if isinstance(value, (bool, int, float)) else -1.0


class _Connections(dict[Any, None]):
    """The open connections, and those that ever were for as long as anything holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: weakref.WeakSet[Any] = weakref.WeakSet()

    @override
    def __setitem__(self, connection: Any, value: None) -> None:
        super().__setitem__(connection, value)
        self.ever.add(connection)


class Server(Target):
    """A server that serves until closed, and its good client."""

    name = "server"

    def __init__(self) -> None:
        self._start()

    @override
    def restart(self) -> None:
        """Leaves everything behind."""
        gc.unfreeze()
        self._watch.close()
        self._good.close()
        self._server.request_stop()
        self._start()

    def _start(self) -> None:
        self._watch = Watch()
        self._server = PolicyServer(Summing(), port=0, max_message_size=_LIMIT)
        self._listener = self._server._listener
        self._connections = self._listener.connections = _Connections()
        self._calls: weakref.WeakSet[ServerCall] = weakref.WeakSet()
        begin = self._listener.begin

        def note(call: ServerCall) -> None:
            self._calls.add(call)
            begin(call)

        self._listener.begin = note  # type: ignore[method-assign]  # only to see who leaks
        self._server.serve(block=False)
        loop = self._server._loop
        assert loop is not None
        self._loop = loop
        self._watch.follow(loop)
        self._good = PolicyClient("127.0.0.1", self._server.port, timeout=60.0)
        self._asked = 0
        self._ask()
        self._usual = set(self._connections)
        self._tasks = self._await(self._all_tasks())
        # What is there already need not be looked through after every case.
        gc.collect()
        gc.freeze()

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(2 * PATIENCE)

    async def _all_tasks(self) -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    def _ask(self) -> None:
        """Has the good client ask something that was never asked before."""
        self._asked += 1
        state = np.full(3, self._asked, np.float32)
        answer = self._good.predict_action([{"x": self._asked, "state": state}, {}])
        if answer.tolist() != [[2.0, float(self._asked)], [0.0, -1.0]]:
            raise Finding(f"the good client got {answer.tolist()}")

    @override
    def make(self, pick: random.Random, pool: Sequence[bytes]) -> bytes:
        """Returns what a hostile client sends."""
        return talk.make(pick, pool, client=True)

    @override
    def check(self, case: bytes) -> str:
        """Has it sent, asks well meanwhile and after, and looks at what is left."""
        steps = conversation.unpack(case).steps
        with socket.create_connection(("127.0.0.1", self._server.port)) as sock:
            sock.settimeout(PATIENCE)
            self._await(until(self._arrived, "the connection arrives"))
            received = self._play(sock, steps)
        self._ask()
        self._await(self._settle())
        self._watch.check()
        self._check_leaks()
        return describe(received)

    def _arrived(self) -> bool:
        return set(self._connections) != self._usual

    def _play(self, sock: socket.socket, steps: Sequence[bytes | None]) -> bytes:
        received = bytearray()
        for number, step in enumerate(steps):
            if number == len(steps) // 2:
                self._ask()
            came, more = play(sock, step, self._loop)
            received += came
            if not more:
                break
        wait_turns(self._loop)
        received += drain(sock)
        self._ask()
        if sum(map(len, filter(None, steps))) % 3:
            return bytes(received) + end(sock)
        # Gone without a word, as a machine that lost its network.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return bytes(received)

    async def _settle(self) -> None:
        listener = self._listener
        await until(lambda: set(self._connections) == self._usual, "the connection ends")
        await until(lambda: not listener._running, "its calls end")
        await until(lambda: not listener._budget.used, "all that was granted is given back")
        await until(lambda: all(block.spare for block in listener.memory._blocks), "memory is free")
        this = asyncio.current_task()
        await until(lambda: asyncio.all_tasks() - self._tasks <= {this}, "its tasks end")

    def _check_leaks(self) -> None:
        for _ in range(_MAX_COLLECTIONS):
            calls, connections = len(self._calls), len(self._connections.ever - self._usual)
            if not (calls or connections):
                return
            # What a thread still works on is freed when it is done.
            gc.collect()
            wait_turns(self._loop)
        raise Finding(f"left behind: {calls} calls, {connections} connections")

    @override
    def pieces(self, case: bytes) -> list[bytes]:
        """Returns the steps."""
        return case.splitlines(keepends=True)

    @override
    def close(self) -> None:
        """Ends server and client."""
        gc.unfreeze()
        self._good.close()
        self._server.stop()
        self._watch.check()
        self._watch.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Waits, with turns of the loop, until something holds.

    Raises:
        Finding: It never does.
    """
    loop = asyncio.get_running_loop()
    patience_ends = loop.time() + PATIENCE
    while not condition():
        if loop.time() > patience_ends:
            raise Finding(f"it never comes that {what}")
        await turns(1)


def describe(received: bytes) -> str:
    """Returns what the other side said, without what is particular to a case."""
    decoder = Decoder()
    # Whatever was allowed to the other side.
    decoder.max_allowed_table_size = 2**32
    words = []
    for frame in parse(received):
        if isinstance(frame, Frame):
            words.append(_describe(frame, decoder))
    # Each once: how often tells little.
    return " ".join(dict.fromkeys(words))


def _describe(frame: Frame, decoder: Decoder) -> str:
    if frame.kind == HEADERS:
        fields = dict(decoder.decode(frame.body, raw=True))
        told = [fields.get(key, b"") for key in (b":status", b"grpc-status", b"grpc-message")]
        return general(b" ".join(told).decode("latin-1"))
    if frame.kind in (GOAWAY, RST_STREAM):
        code = frame.body[4:] if frame.kind == GOAWAY else frame.body
        return f"{frame.kind}:{code.hex()}"
    return str(frame.kind)
