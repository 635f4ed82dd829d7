# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The policy of `waiting` as openpi serves it, and clients as published."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.payloads import ACTION_FLOATS, Action, Batch
from benchmarks.peers import openpi
from benchmarks.peers.client import Client
from benchmarks.peers.many import Many

PACKAGES = openpi.PACKAGES

__all__ = ["PACKAGES", "connect", "serve"]


class Waiting:
    """A policy that waits. openpi's server calls it on its event loop, one call at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def answer(self, batch: Batch) -> Action:
        """Returns an action for each observation."""
        time.sleep(self._seconds)
        return np.zeros((len(batch), ACTION_FLOATS), np.float32)


def serve(policy: Any, *, unix: bool, seconds: float, options: str = "{}") -> str:  # noqa: ARG001 - what is asked of every peer
    """Serves a policy that waits so long; there are no options."""
    return openpi.serve(Waiting(seconds), unix=unix)


def connect(address: str, clients: int, ramp: float) -> Client:
    """Returns so many clients, each with a thread."""
    return Many([openpi.connect(address) for _ in range(clients)], ramp=ramp)
