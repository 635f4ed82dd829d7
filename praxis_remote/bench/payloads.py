# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What robots of some kinds send, for those who have no observation of their own at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..codec import encode_predict_request
from ..types import Array, ObservationValue, PolicyKwargValue

__all__ = ["PRESETS", "Payload", "preset"]

_STATE_FLOATS = 32
_TASK = "lift the cube and put it into the bowl"


@dataclass(frozen=True)
class Payload:
    """A batch, and what goes with it in every call.

    Attributes:
        name: What people call it.
        batch: One observation for each environment.
        policy_kwargs: For the policy.
    """

    name: str
    batch: Sequence[Mapping[str, ObservationValue]]
    policy_kwargs: Mapping[str, PolicyKwargValue]

    @property
    def request_bytes(self) -> int:
        """The length of the request on the wire, without episodes and frames.

        Raises:
            RemoteError: The batch or the arguments cannot be sent.
        """
        return sum(map(len, encode_predict_request(self.batch, self.policy_kwargs)))


def preset(name: str, count: int = 1) -> list[dict[str, ObservationValue]]:
    """Returns a batch of observations that are all different.

    Each image has memory of its own, as cameras have them, and is random, which no
    layer can compress.

    Args:
        name: One of `PRESETS`.
        count: How many.
    """
    random = np.random.default_rng(0)
    return [PRESETS[name](random) for _ in range(count)]


def _state(random: np.random.Generator) -> dict[str, ObservationValue]:
    return {"observation.state": random.standard_normal(_STATE_FLOATS, np.float32)}


def _two_cameras(random: np.random.Generator) -> dict[str, ObservationValue]:
    return {**_images(random, ("front", "wrist"), (224, 224, 3)), **_state(random)}


def _vla(random: np.random.Generator) -> dict[str, ObservationValue]:
    names = ("front", "left_wrist", "right_wrist")
    return {**_images(random, names, (480, 640, 3)), **_state(random), "task": _TASK}


def _images(
    random: np.random.Generator, names: Sequence[str], shape: tuple[int, ...]
) -> dict[str, Array]:
    return {
        f"observation.images.{name}": random.integers(0, 256, shape, np.uint8) for name in names
    }


PRESETS: dict[str, Callable[[np.random.Generator], dict[str, ObservationValue]]] = {
    "state": _state,
    "two-cameras": _two_cameras,
    "vla": _vla,
}
