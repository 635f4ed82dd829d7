# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Runs a soak: one server, processes full of clients, and a look at the server each second."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import NamedTuple

from praxis_remote import PolicyClient

from .process import Process
from .tally import Tally
from .verdict import LEFT, slope

Look = Mapping[str, int]
Show = Callable[[float, Tally, Look], None]

# How long the server may take to let go of what nobody uses any more.
_PATIENCE = 60.0


class Plan(NamedTuple):
    """What is to be run.

    Attributes:
        seconds: For how long.
        connections: At once, over all processes.
        processes: Of clients.
        pause: Seconds between the calls of a client, on average.
        kill: Seconds after which a process of clients is killed, and another one begins.
        seed: Of all choices.
    """

    seconds: float
    connections: int
    processes: int
    pause: float
    kill: float
    seed: int


class Soak(NamedTuple):
    """What came out.

    Attributes:
        tally: How all calls ended, but for the last second of killed processes.
        before: What the idle server had at the start.
        after: What it had when all clients had left.
        most: The most of everything.
        growth: Of its memory, in kB a minute; None where it took too short to tell.
        killed: How many processes of clients.
    """

    tally: Tally
    before: Look
    after: Look
    most: Look
    growth: float | None
    killed: int


class _Clients:
    """The processes of clients."""

    def __init__(self, plan: Plan, port: int, stack: ExitStack) -> None:
        self._plan, self._port, self._stack = plan, port, stack
        self._seed = plan.seed
        self._chance = random.Random(plan.seed)
        share, more = divmod(plan.connections, plan.processes)
        self._sizes = [share + (number < more) for number in range(plan.processes)]
        self._all = [self._start(size) for size in self._sizes]

    def _start(self, size: int) -> Process:
        self._seed += 1
        # One in eight is a blocking client.
        words = (self._port, size, size // 8, self._seed, self._plan.pause)
        return self._stack.enter_context(Process("client", *words))

    def count(self, tally: Tally) -> None:
        for process in self._all:
            tally.merge(Tally.read(process.ask()))

    def kill_one(self) -> None:
        place = self._chance.randrange(len(self._all))
        self._all[place].kill()
        self._all[place].close()
        self._all[place] = self._start(self._sizes[place])

    def leave(self, tally: Tally) -> None:
        for process in self._all:
            process.leave()
        for process in self._all:
            tally.merge(Tally.read(process.read()))
            process.close()


def soak(plan: Plan, show: Show) -> Soak:
    """Runs a soak.

    Args:
        plan: What to run.
        show: Is told each second how far it is.
    """
    tally, killed = Tally(), 0
    samples: list[tuple[float, float]] = []
    most: dict[str, int] = {}
    with ExitStack() as stack:
        server = stack.enter_context(Process("server"))
        port = server.read()
        _warm(port)
        before = _settle(server, None)
        clients = _Clients(plan, port, stack)
        begin = time.monotonic()
        next_kill = plan.kill
        while (now := time.monotonic() - begin) < plan.seconds:
            time.sleep(min(1.0, plan.seconds - now))
            clients.count(tally)
            look = server.ask("look")
            # What the pool keeps of large messages comes and goes.
            samples.append((time.monotonic() - begin, look["rss"] - look["pool"]))
            most = {name: max(value, most.get(name, 0)) for name, value in look.items()}
            show(now, tally, look)
            if now >= next_kill:
                clients.kill_one()
                killed, next_kill = killed + 1, next_kill + plan.kill
        clients.leave(tally)
        after = _settle(server, before)
    growth = slope(samples)
    growth = None if growth is None else growth * 60 / 1024
    return Soak(tally, before, after, most, growth, killed)


def _warm(port: int) -> None:
    """Has the server import and make what it makes once."""
    with PolicyClient("127.0.0.1", port, timeout=_PATIENCE) as client:
        client.wait_ready(_PATIENCE)
        client.predict_action([{"ticket": 1}])


def _settle(server: Process, before: Look | None) -> Look:
    """Returns what the server has once it has let go of what it will."""
    end = time.monotonic() + _PATIENCE
    while True:
        look: Look = server.ask("deep")
        gone = not (look["connections"] or look["pool"]) and (
            before is None or all(look[name] <= before[name] for name in LEFT)
        )
        if gone or time.monotonic() > end:
            return look
        time.sleep(0.2)
