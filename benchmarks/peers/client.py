# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a peer's client can do, and the loop that measures it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from benchmarks.payloads import Action, Batch


class Limit(NamedTuple):
    """When to stop measuring: between ``least`` and ``most`` calls, after ``seconds``."""

    least: int
    most: int
    seconds: float

    def reached(self, calls: int, seconds: float) -> bool:
        """Returns whether it is enough."""
        return calls >= self.most or (calls >= self.least and seconds >= self.seconds)


class Client(ABC):
    """A connection to a server. Threads may share it if the peer allows that."""

    @abstractmethod
    def predict(self, batch: Any) -> Action:
        """Calls the policy; takes what `prepare` returned."""

    def prepare(self, batch: Batch) -> Any:
        """Returns what `predict` takes. Is not measured."""
        return batch

    def measure(self, prepared: Any, limit: Limit) -> list[float]:
        """Returns the seconds that each call took."""
        times: list[float] = []
        begin = now = time.perf_counter()
        while not limit.reached(len(times), now - begin):
            before = time.perf_counter()
            self.predict(prepared)
            now = time.perf_counter()
            times.append(now - before)
        return times
