# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What clients do: how often, with what, and how it may end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Batch = list[dict[str, Any]]

ANSWERED, WRONG, CANCELLED = "answered", "wrong answer", "cancelled"
LATE, REJECTED = "DeadlineExceededError", "InvalidArgumentError"


class Kind(NamedTuple):
    """One thing that a client does.

    Attributes:
        weight: How often, among all.
        outcomes: How it may end.
        make: Returns a batch, with arrays of its own; None where there is none to send.
        floats: How large the answer shall be; 0 for two numbers for each observation.
        timeouts: Seconds, from and to, of a timeout that may pass.
        alone: Whether a process does only one at a time: it takes much memory.
    """

    weight: int
    outcomes: frozenset[str]
    make: Callable[[], Batch] | None = None
    floats: int = 0
    timeouts: tuple[float, float] | None = None
    alone: bool = False


def _state() -> Batch:
    return [{"observation.state": np.arange(32, dtype=np.float32), "task": "lift the cube"}]


def _cameras(count: int) -> Batch:
    return [
        {f"observation.images.{n}": np.ones((224, 224, 3), np.uint8) for n in range(2)}
        for _ in range(count)
    ]


def _large() -> Batch:
    return [{"observation.images.0": np.ones((1024, 1024, 3), np.uint8)} for _ in range(19)]


_ANSWERED = frozenset({ANSWERED})

KINDS: dict[str, Kind] = {
    "state": Kind(600, _ANSWERED, _state),
    "cameras": Kind(150, _ANSWERED, lambda: _cameras(1)),
    "4.8 MB": Kind(6, _ANSWERED, lambda: _cameras(16), alone=True),
    "60 MB": Kind(1, _ANSWERED, _large, alone=True),
    "answer of 1 MB": Kind(6, _ANSWERED, _state, floats=131_072),
    "reset": Kind(40, _ANSWERED),
    "health": Kind(60, _ANSWERED),
    "fault of the policy": Kind(20, frozenset({REJECTED}), lambda: [{"fault": True}]),
    "short timeout": Kind(
        40, frozenset({ANSWERED, LATE}), lambda: _cameras(1), timeouts=(0.0005, 0.02)
    ),
    "short timeout, 4.8 MB": Kind(
        6, frozenset({ANSWERED, LATE}), lambda: _cameras(16), timeouts=(0.0005, 0.02), alone=True
    ),
    "cancelled": Kind(
        40, frozenset({ANSWERED, CANCELLED}), lambda: _cameras(1), timeouts=(0.0, 0.01)
    ),
    "leave and come back": Kind(20, _ANSWERED, _state),
}


def draw(chance: random.Random) -> str:
    """Returns the name of a kind."""
    (name,) = chance.choices(list(KINDS), [kind.weight for kind in KINDS.values()])
    return name


def stamp(batch: Batch, chance: random.Random) -> None:
    """Makes a batch one that nobody else sends."""
    for observation in batch:
        observation["ticket"] = chance.getrandbits(40)
        for value in observation.values():
            if isinstance(value, np.ndarray):
                value.reshape(-1)[0] = chance.randrange(256)
