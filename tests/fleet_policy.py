# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The policy of each server behind a proxy: it tells which one it is, or what it was told to."""

from __future__ import annotations

import math
import os
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from praxis_remote import current_request


def called(folder: Path, name: int) -> Path:
    """Returns where a server writes down which calls it begins on."""
    return folder / f"called-{name}"


class Policy:
    def __init__(self, name: int, folder: str) -> None:
        self._name = name
        self._unready = Path(folder, f"unready-{name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._called = os.open(called(Path(folder), name), flags, 0o600)
        self._calls: Counter[str] = Counter()

    def is_ready(self) -> bool:
        return not self._unready.exists()

    def predict_action(self, observations: Any, *, policy_kwargs: Any = None) -> Any:
        observation = observations[0]
        if "call" in observation:
            return np.array([self._name, self._count(observation["call"])])
        if "gate" in observation:
            with socket.create_connection(("127.0.0.1", observation["gate"]), timeout=60) as gate:
                gate.recv(1)
        if "wrong" in observation:
            raise ValueError(observation["wrong"])
        if "broken" in observation:
            raise RuntimeError(observation["broken"])
        if "echo" in observation:
            return observation["echo"]
        remaining = current_request().remaining()
        return np.array([self._name, math.inf if remaining is None else remaining])

    def _count(self, call: str) -> int:
        """Returns how many this is of its session's calls here."""
        session, _ = call.split()
        self._calls[session] += 1
        # Also when killed now, it is known that this call ran.
        os.write(self._called, f"{call}\n".encode())
        return self._calls[session]

    def reset(self, episode_ids: Any = None) -> None: ...

    def model_info(self) -> str:
        return f"server {self._name}"
