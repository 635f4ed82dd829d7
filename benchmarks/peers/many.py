# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Many clients as one: a thread for each, which all call when there is something to measure."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.payloads import Action, Batch
from benchmarks.peers.client import Client, Limit

# Of a simulator's step: a constant part and an exponential one, which are as long.
STEP_SPREAD = 0.5


class Many(Client):
    """Clients that call at the same time.

    Args:
        clients: All of one kind.
        step: Seconds between an action and the next call, on average.
        ramp: Share of the time in which the queue grows to what it will be; calls that begin
            in it are not told of.
    """

    def __init__(self, clients: Sequence[Client], step: float = 0.0, ramp: float = 0.0) -> None:
        self._clients = clients
        self._ramp = ramp
        self._step = step

    def prepare(self, batch: Batch) -> Any:
        """Returns what `predict` of each takes."""
        return self._clients[0].prepare(batch)

    def predict(self, batch: Any) -> Action:
        """Has all call once, so that all are connected."""
        actions = [client.predict(batch) for client in self._clients]
        return actions[0]

    def measure(self, prepared: Any, limit: Limit) -> list[float]:
        """Returns the seconds of each call; the limit of calls is one for each client."""
        times: list[list[float]] = [[] for _ in self._clients]
        begin, ramp = time.perf_counter(), limit.seconds * self._ramp

        def run(number: int) -> None:
            client, draw = self._clients[number], stepper(number, self._step)
            time.sleep(draw())
            while not limit.reached(len(times[number]), time.perf_counter() - begin):
                before = time.perf_counter()
                client.predict(prepared)
                if before - begin >= ramp:
                    times[number].append(time.perf_counter() - before)
                if self._step:
                    time.sleep(draw())

        threads = [threading.Thread(target=run, args=[number]) for number in range(len(times))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [seconds for each in times for seconds in each]


def stepper(seed: int, mean: float) -> Callable[[], float]:
    """Returns what draws the times of a simulator's steps."""
    if not mean:
        return lambda: 0.0
    varying, source = mean * STEP_SPREAD, random.Random(seed)
    return lambda: mean - varying + source.expovariate(1 / varying)
