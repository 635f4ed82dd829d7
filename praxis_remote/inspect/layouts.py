# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Which arrays are images, by key, shape and dtype: nothing here looks at a pixel.

No rule can be certain. What was assumed is shown beside the image.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..types import Array

__all__ = ["MAX_SIDE", "Layout", "find_layout"]

MAX_SIDE = 640
"""Of an image with a longer side only every second pixel is kept, or every third, ..."""

_CONVENTION = "observation.images."
_HINTS = ("image", "rgb", "depth", "camera", "pixels", "mask")

_CHANNELS = (1, 3, 4)

# The shortest side of an image: where the key says that it is one, where it hints at it,
# and where it does not. A 4x4 camera pose and a 50x32 chunk of actions are none.
_SHORTEST_NAMED, _SHORTEST_HINTED, _SHORTEST = 1, 8, 16
_SHORTEST_FLAT = {"uint8": 16, "bool": 32, "float32": 64, "float64": 64, "int32": 64}


@dataclass(frozen=True)
class Layout:
    """How an array is taken for an image.

    Attributes:
        name: Its dimensions, H(eight), W(idth), C(hannels): ``HWC``, ``CHW`` or ``HW``.
        height: In pixels, as received.
        width: In pixels, as received.
        channels: 1, 3 or 4.
        frames: The length of a dimension before these; 0 if there is none.
        ambiguous: Whether the shape would allow the other order as well.
    """

    name: str
    height: int
    width: int
    channels: int
    frames: int = 0
    ambiguous: bool = False

    @property
    def step(self) -> int:
        """Which pixels are kept: every so many, in both directions."""
        return -(-max(self.height, self.width) // MAX_SIDE)

    def thin(self, array: Array) -> Array:
        """Returns a view of what is kept: of the last frame every so many pixels."""
        frame = array[-1] if self.frames else array
        rows = columns = slice(None, None, self.step)
        kept: Array = frame[:, rows, columns] if self.name == "CHW" else frame[rows, columns]
        return kept

    def orient(self, kept: Array) -> Array:
        """Returns what was kept as height x width x channels."""
        if self.name == "HW":
            return np.expand_dims(kept, 2)
        return np.moveaxis(kept, 0, 2) if self.name == "CHW" else kept


@functools.lru_cache(maxsize=1024)
def find_layout(key: str, shape: tuple[int, ...], dtype: str) -> Layout | None:
    """Returns how an array is taken for an image; None if it is none."""
    if len(shape) == 4:
        frames, shape = shape[0], shape[1:]
        if not frames:
            return None
    else:
        frames = 0
    orders = [order for order in _orders(shape) if _may_be(order, key, dtype)]
    if not orders:
        return None
    name, height, width, channels = orders[0]
    return Layout(name, height, width, channels, frames, len(orders) > 1)


def _orders(shape: tuple[int, ...]) -> list[tuple[str, int, int, int]]:
    if len(shape) == 2:
        return [("HW", *shape, 1)]
    if len(shape) == 3:
        first, second, third = shape
        return [("HWC", first, second, third), ("CHW", second, third, first)]
    return []


def _may_be(order: tuple[str, int, int, int], key: str, dtype: str) -> bool:
    name, height, width, channels = order
    if key.startswith(_CONVENTION):
        shortest = _SHORTEST_NAMED
    elif dtype not in _SHORTEST_FLAT:
        return False
    elif any(hint in key.lower() for hint in _HINTS):
        shortest = _SHORTEST_HINTED
    else:
        shortest = _SHORTEST_FLAT[dtype] if name == "HW" else _SHORTEST
    return channels in _CHANNELS and min(height, width) >= shortest
