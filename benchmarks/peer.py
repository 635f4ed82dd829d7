# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One end of a measured call. Runs in either implementation's environment.

Uses only what the published 0.1.1 has as well, so that both run the same lines.

Usage: peer.py serve
       peer.py call PORT PAYLOAD CALLS
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from praxis_remote import PolicyClient, PolicyServer

LARGE = 64 * 2**20


class TrivialPolicy:
    """Answers at once, so that the transport is all that is measured."""

    action = np.zeros((1, 7), np.float32)

    def predict_action(self, observations: Any, *, policy_kwargs: Any = None) -> Any:  # noqa: ARG002 - the contract's names
        """Returns the same action each time."""
        return self.action

    def reset(self) -> None:
        """Remembers nothing."""

    def model_info(self) -> str:
        """Returns what it is."""
        return "trivial"


def cameras(count: int, height: int, width: int) -> dict[str, Any]:
    """Returns an observation with random images, which no layer can compress."""
    random = np.random.default_rng(0)
    images = {
        f"observation.images.{number}": random.integers(0, 256, (height, width, 3), np.uint8)
        for number in range(count)
    }
    return {**images, "observation.state": np.zeros(32, np.float32)}


PAYLOADS: dict[str, Any] = {
    "state": lambda: [{"observation.state": np.zeros(32, np.float32), "task": "go", "step": 1}],
    "2x224": lambda: [cameras(2, 224, 224)],
    "16x2x224": lambda: [cameras(2, 224, 224)] * 16,
    "60MB": lambda: [cameras(1, 1024, 1024)] * 19,
}


def serve() -> None:
    """Serves until standard input ends."""
    for port in range(52000, 52100):
        try:
            server = PolicyServer(TrivialPolicy(), host="127.0.0.1", port=port)  # type: ignore[arg-type]  # the contract allows a policy without episode_ids
            break
        except (OSError, RuntimeError):
            continue
    server.serve(block=False)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


def call(port: int, payload: str, calls: int) -> None:
    """Writes the milliseconds that each call took, after as many to warm up as make sense."""
    observations = PAYLOADS[payload]()
    client = PolicyClient("127.0.0.1", port, timeout=60)
    times = []
    for number in range(calls + max(3, calls // 10)):
        begin = time.perf_counter()
        client.predict_action(observations)
        if number >= max(3, calls // 10):
            times.append((time.perf_counter() - begin) * 1e3)
    client.close()
    json.dump(times, sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        call(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
