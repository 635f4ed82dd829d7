# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Arrays as pictures that a browser shows, and what had to be assumed to make them so."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..types import Array
from .layouts import Layout

__all__ = ["Scale", "encode_png", "find_scale"]

Pixels = npt.NDArray[np.uint8]

# NaN and the infinities, where there is colour to spare.
_NO_NUMBER = (255, 0, 255)

_FAST = 1  # the page is for this machine: time counts, size does not


class Scale(NamedTuple):
    """Which value is black, which is white, and the rule that says so."""

    black: float
    white: float
    rule: str


_BYTES = Scale(0, 255, "0 to 255")
_UNIT = Scale(0, 1, "0 to 1")
_SIGNED = Scale(-1, 1, "-1 to 1, as normalized images are")


def find_scale(dtype: str, channels: int, low: float, high: float) -> Scale:
    """Returns how values become brightness.

    Args:
        dtype: Of the array.
        channels: Of the image; one that is no uint8 may be a depth map.
        low: The least of its finite values.
        high: The greatest of them.
    """
    if dtype == "uint8":
        return _BYTES
    if dtype == "bool" or (dtype.startswith("float") and low >= 0 and high <= 1):
        return _UNIT
    if channels > 1 and dtype.startswith("float"):
        if low >= -1 and high <= 1:
            return _SIGNED
        if low >= 0 and high <= 255:
            return _BYTES
    return Scale(low, high, "stretched from min to max")


def encode_png(kept: Array, layout: Layout, scale: Scale, swapped: bool = False) -> bytes:
    """Returns an image as a PNG, in the order of its channels or with red and blue swapped."""
    pixels = _to_pixels(layout.orient(kept), scale)
    if pixels.shape[2] == 3 and swapped:
        pixels = pixels[..., ::-1]
    image = Image.fromarray(
        np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    )
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=_FAST)
    return file.getvalue()


def _to_pixels(values: Array, scale: Scale) -> Pixels:
    # A fourth channel is not shown: where it says "transparent", nothing would be.
    values = values[..., :3]
    if values.dtype == np.uint8:
        received: Pixels = values
        return received
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    span = scale.white - scale.black
    with np.errstate(invalid="ignore", over="ignore"):
        bright = (numbers - scale.black) / span if span else np.zeros_like(numbers)
        pixels: Pixels = np.rint(np.clip(np.where(finite, bright, 0), 0, 1) * 255).astype(np.uint8)
    if finite.all():
        return pixels
    coloured: Pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy()
    coloured[~finite.all(axis=2)] = _NO_NUMBER
    return coloured
