# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A process that calls: several clients, a thread for each, and what it tells its parent.

Processes, because threads of one share its interpreter, which a few clients fill.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..client import PolicyClient
from .caller import Caller, Stoppable
from .cpu import CpuUse
from .plan import Plan
from .samples import COLUMNS, Numbers

__all__ = ["Assignment", "Begin", "Done", "News", "Ready", "Stop", "main"]

# How often a parent is told, in seconds.
_TICK = 0.1


@dataclass(frozen=True)
class Assignment:
    """The first that a worker hears: its clients."""

    plan: Plan
    clients: range


@dataclass(frozen=True)
class Ready:
    """Its clients are connected and warm."""


@dataclass(frozen=True)
class Begin:
    """The instant from which calls count."""

    instant: float


@dataclass(frozen=True)
class Stop:
    """No more calls; those that run are cut off."""


@dataclass(frozen=True)
class News:
    """What became of calls since the last time."""

    rows: Numbers
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """The last that a worker says.

    Attributes:
        cut_off: How many calls were.
        not_begun: How many calls were due and found no time.
        ended: When its last call did, in seconds from the beginning.
        called: For how many seconds its clients called, all calls together.
        use: What the process took of the machine while it called.
    """

    cut_off: int
    not_begun: int
    ended: float
    called: float
    use: CpuUse


def main(handle: int) -> None:
    """Works until done, or until the parent is gone."""
    with Connection(handle) as connection:
        assignment: Assignment = connection.recv()
        clock = Stoppable()
        listener = _Listener(connection, clock)
        with _callers(assignment, clock, listener) as callers:
            _work(connection, listener, callers, assignment.plan.warmup)


def _work(
    connection: Connection, listener: _Listener, callers: Sequence[Caller], warmup: float
) -> None:
    with ThreadPoolExecutor(len(callers)) as pool:
        _all_done(pool, callers, lambda caller: caller.warm_up(warmup))
        connection.send(Ready())
        begin = listener.begin()
        before = CpuUse.now()
        running = [pool.submit(caller.run, begin) for caller in callers]
        while not _done_after(running, _TICK):
            connection.send(_news(callers))
        use = CpuUse.now().since(before)
    connection.send(_news(callers))
    connection.send(_done(callers, use))


def _done(callers: Sequence[Caller], use: CpuUse) -> Done:
    return Done(
        cut_off=sum(caller.cut_off for caller in callers),
        not_begun=sum(caller.not_begun for caller in callers),
        ended=max(caller.ended for caller in callers),
        called=sum(caller.called for caller in callers),
        use=use,
    )


def _all_done(
    pool: ThreadPoolExecutor, callers: Sequence[Caller], do: Callable[[Caller], None]
) -> None:
    for future in [pool.submit(do, caller) for caller in callers]:
        future.result()


def _done_after(running: Sequence[Future[None]], seconds: float) -> bool:
    """Waits, and returns whether all have ended; raises what one of them did."""
    done, others = wait(running, seconds)
    for future in done:
        future.result()
    return not others


def _news(callers: Sequence[Caller]) -> News:
    rows = [row for caller in callers for row in _taken(caller.rows)]
    news = News(np.array(rows, np.float64).reshape(-1, len(COLUMNS)))
    for caller in callers:
        for failure in _taken(caller.failures):
            news.failed[failure.status] += 1
            news.examples.setdefault(failure.status, failure.text)
    return news


def _taken(queue: Any) -> Iterator[Any]:
    """Empties a queue to which another thread appends, up to what is there now."""
    return (queue.popleft() for _ in range(len(queue)))


@contextmanager
def _callers(
    assignment: Assignment, clock: Stoppable, listener: _Listener
) -> Iterator[list[Caller]]:
    with ExitStack() as stack:
        callers = []
        for index in assignment.clients:
            client = stack.enter_context(PolicyClient(**assignment.plan.client))
            listener.cut_off.append(client.close)
            callers.append(_caller(assignment.plan, index, client, clock))
        listener.start()
        yield callers


def _caller(plan: Plan, index: int, client: PolicyClient, clock: Stoppable) -> Caller:
    payload, episode_ids = plan.payload, plan.episode_ids(index)
    # A policy that takes no arguments gets none.
    policy_kwargs = payload.policy_kwargs or None
    return Caller(
        lambda: client.predict_action(
            payload.batch, policy_kwargs=policy_kwargs, episode_ids=episode_ids
        ),
        lambda: client.last_timing,
        plan.pace(index),
        clock,
    )


class _Listener:
    """Hears the parent: when to begin, when to stop, and when it is gone."""

    def __init__(self, connection: Connection, clock: Stoppable) -> None:
        self.cut_off: list[Callable[[], None]] = []
        self._connection = connection
        self._clock = clock
        self._instant = 0.0
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self) -> float:
        """Waits for the instant; the clock is stopped where there will be none."""
        self._begun.wait()
        return self._instant

    def _listen(self) -> None:
        try:
            while not isinstance(said := self._connection.recv(), Stop):
                self._instant = said.instant
                self._begun.set()
        except (EOFError, OSError):
            # Nobody is left to tell.
            os._exit(1)
        self._clock.stop()
        self._begun.set()
        for close in self.cut_off:
            close()
