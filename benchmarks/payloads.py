# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is sent: batches of observations, and the action that comes back.

Runs in every peer's environment: it imports nothing but numpy.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Observation: TypeAlias = dict[str, Any]
Batch: TypeAlias = list[Observation]
Action: TypeAlias = npt.NDArray[np.float32]

STATE_FLOATS = 32
ACTION_FLOATS = 7

# At most 64 MiB, the limit of a message in both versions.
LARGE_IMAGES = 19


@dataclass(frozen=True)
class Payload:
    """A batch, and the action that answers it."""

    batch: Batch
    action: Action

    @property
    def request_bytes(self) -> int:
        """Bytes of the arrays that go over."""
        return sum(array.nbytes for array in arrays(self.batch))

    @property
    def response_bytes(self) -> int:
        """Bytes of the array that comes back."""
        return self.action.nbytes

    @property
    def bytes(self) -> int:
        """Bytes of all arrays, both ways."""
        return self.request_bytes + self.response_bytes


def arrays(batch: Sequence[Observation]) -> list[npt.NDArray[Any]]:
    """Returns the arrays of a batch."""
    return [
        value
        for observation in batch
        for value in observation.values()
        if isinstance(value, np.ndarray)
    ]


def payload(name: str) -> Payload:
    """Returns the payload of a name in `TITLES`, or of a kind and a number, as in ``keys-200``."""
    if check_name(name) in _FIXED:
        return _FIXED[name]()
    kind, _, number = name.partition("-")
    return _SCALED[kind](int(number))


def check_name(name: str) -> str:
    """Returns the name if it is one of a payload.

    Raises:
        ValueError: It is none.
    """
    kind, _, number = name.partition("-")
    if name in _FIXED or (kind in _SCALED and number.isdecimal()):
        return name
    scaled = ", ".join(f"{kind}-N" for kind in _SCALED)
    raise ValueError(f"{name!r} is no payload; there are {', '.join(_FIXED)}, {scaled}")


def digest(batch: Sequence[Observation]) -> list[str]:
    """Returns what tells two batches apart, whatever they went through."""
    return [
        ", ".join(f"{key}={_digest(value)}" for key, value in sorted(observation.items()))
        for observation in batch
    ]


def _digest(value: object) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    return f"{value.dtype}{value.shape}{zlib.crc32(np.ascontiguousarray(value).data)}"


# ---------------------------------------------------------------- the batches


def _state() -> Observation:
    state = _random().standard_normal(STATE_FLOATS, np.float32)
    return {"observation.state": state, "task": "lift the cube", "step": 1}


def _cameras(count: int, side: int) -> Observation:
    """Returns an observation with random images, which no layer can compress."""
    images = {
        f"observation.images.{number}": _random().integers(0, 256, (side, side, 3), np.uint8)
        for number in range(count)
    }
    return {**images, "observation.state": _random().standard_normal(STATE_FLOATS, np.float32)}


def _answered(batch: Batch, *shape: int) -> Payload:
    """Returns a batch with an action of this shape, by default a small one for each observation."""
    shape = shape or (len(batch), ACTION_FLOATS)
    action = _random().standard_normal(math.prod(shape), np.float32).reshape(shape)
    return Payload(batch, action)


def _flat(size: int) -> Payload:
    return _answered([{"observation.image": _random().integers(0, 256, size, np.uint8)}])


def _keys(count: int) -> Payload:
    state = _random().standard_normal(ACTION_FLOATS, np.float32)
    return _answered([{f"observation.{number}": state for number in range(count)}])


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


_FIXED: dict[str, Callable[[], Payload]] = {
    "state": lambda: _answered([_state()]),
    "2x224": lambda: _answered([_cameras(2, 224)]),
    # Each image in memory of its own, as cameras have them.
    "16x2x224": lambda: _answered([_cameras(2, 224) for _ in range(16)]),
    "60MB": lambda: _answered([_cameras(1, 1024) for _ in range(LARGE_IMAGES)]),
    "actions": lambda: _answered([_state()] * 16, 16, 50, 32),
    "actions-10MB": lambda: _answered([_state()] * 16, 50, 50, 1000),
}

_SCALED: dict[str, Callable[[int], Payload]] = {
    "bytes": _flat,
    "observations": lambda count: _answered([_state()] * count),
    "keys": _keys,
}

TITLES = {
    "state": "state: 32 floats, a text, an int",
    "2x224": "two 224x224x3 cameras, 0.3 MB",
    "16x2x224": "batch of 16 of those, 4.8 MB",
    "60MB": "batch of 19 1024x1024x3, 60 MB",
    "actions": "actions back: 16x50x32, 0.1 MB",
    "actions-10MB": "actions back: 50x50x1000, 10 MB",
}
