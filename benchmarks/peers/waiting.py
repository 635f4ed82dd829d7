# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""praxis-remote with a policy that takes its time: waits, as for a GPU, whatever the batch.

This one or 0.1.1: the same lines for both. Clients are threads with a connection each.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from benchmarks.payloads import ACTION_FLOATS, Action
from benchmarks.peers.client import Client
from benchmarks.peers.many import Many
from benchmarks.peers.praxis import PACKAGES, serve_handler
from benchmarks.peers.praxis import connect as connect_one

__all__ = ["PACKAGES", "Handler", "connect", "serve"]


class Handler:
    """Waits, and answers all observations."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waited = 0.0
        self._calls = 0

    def predict_action(self, observations: Any, *, policy_kwargs: Any = None) -> Action:  # noqa: ARG002 - the contract's names
        """Returns an action for each observation."""
        if self._seconds:
            begin = time.perf_counter()
            time.sleep(self._seconds)
            self._waited += time.perf_counter() - begin
            self._calls += 1
        # Stacked, they are one array for each key.
        stacked = isinstance(observations, dict)
        count = len(next(iter(observations.values())) if stacked else observations)
        return np.zeros((count, ACTION_FLOATS), np.float32)

    def reset(self) -> None:
        """Remembers nothing."""

    def model_info(self) -> str:
        """Returns how many seconds its waits took in fact, on average."""
        return f"{self._waited / max(1, self._calls):.7f}"


def serve(policy: Any, *, unix: bool, seconds: float = 0.0, options: str = "{}") -> str:  # noqa: ARG001 - what is asked of every peer
    """Serves a policy that waits so long, with more options for the server as JSON."""
    return serve_handler(Handler(seconds), unix=unix, **json.loads(options))


def connect(address: str, clients: int = 1, step: float = 0.0, ramp: float = 0.0) -> Client:
    """Returns so many clients, in turn for each of the addresses that commas part.

    See `many.Many` for the times.
    """
    addresses = address.split(",")
    return Many([connect_one(addresses[n % len(addresses)]) for n in range(clients)], step, ramp)
