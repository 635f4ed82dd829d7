# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Arrays become pictures, and what had to be assumed for that is known."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from praxis_remote.inspect.copies import KeptArray, keep_observation
from praxis_remote.inspect.images import encode_png, find_scale
from praxis_remote.inspect.layouts import MAX_SIDE, find_layout
from praxis_remote.inspect.summaries import flags, summarize

FRONT = "observation.images.front"


@pytest.mark.parametrize(
    ("key", "shape", "dtype", "layout"),
    [
        (FRONT, (224, 224, 3), "uint8", "HWC"),
        (FRONT, (3, 224, 224), "float32", "CHW"),
        (FRONT, (1, 2, 3), "uint8", "HWC"),
        (FRONT, (2, 5), "float32", "HW"),
        (FRONT, (480, 640, 4), "uint8", "HWC"),
        (FRONT, (1, 84, 84), "float64", "CHW"),
        (FRONT, (2, 3, 96, 96), "uint8", "CHW"),
        ("pixels", (64, 64, 3), "uint8", "HWC"),
        ("depth_map", (48, 64), "int32", "HW"),
        ("whatever", (3, 128, 128), "uint8", "CHW"),
        ("whatever", (128, 128), "float32", "HW"),
        (FRONT, (0, 224, 3), "uint8", None),
        (FRONT, (0, 3, 224, 224), "uint8", None),
        (FRONT, (224, 224, 2), "uint8", None),
        (FRONT, (150528,), "uint8", None),
        (FRONT, (), "float32", None),
        ("observation.state", (7,), "float32", None),
        ("camera_pose", (4, 4), "float32", None),
        ("history", (50, 32), "float32", None),
        ("tokens", (300, 300), "int64", None),
    ],
)
def test_what_is_an_image_is_known_from_key_shape_and_dtype(
    key: str, shape: tuple[int, ...], dtype: str, layout: str | None
) -> None:
    found = find_layout(key, shape, dtype)
    assert (found.name if found else None) == layout


def test_a_shape_that_could_be_read_in_two_orders_is_said_to_be() -> None:
    doubtful, clear = (find_layout(FRONT, shape, "uint8") for shape in ((3, 224, 3), (224, 224, 3)))
    assert doubtful is not None
    assert doubtful.ambiguous
    assert clear is not None
    assert not clear.ambiguous


def picture(array: Any, *, swapped: bool = False) -> Any:
    """Returns an image's pixels after the way to the browser."""
    kept = keep_observation({FRONT: array})[0][FRONT]
    assert isinstance(kept, KeptArray)
    assert kept.layout is not None
    assert kept.data is not None
    summary = summarize(kept.data)
    low, high = (summary.low, summary.high) if summary else (0.0, 0.0)
    scale = find_scale(kept.dtype, kept.layout.channels, low, high)
    png = encode_png(kept.data, kept.layout, scale, swapped)
    return np.asarray(Image.open(io.BytesIO(png)))


COLOURS = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)


@pytest.mark.parametrize(
    ("array", "pixels"),
    [
        (COLOURS, COLOURS),
        (COLOURS.transpose(2, 0, 1).copy(), COLOURS),
        (COLOURS.astype(np.float32) / 255, COLOURS),
        (COLOURS.astype(np.float64) / 127.5 - 1, COLOURS),
        (COLOURS.astype(np.float32) + np.float32(2), COLOURS + 2),
        (COLOURS[..., 0].copy(), COLOURS[..., 0]),
        (COLOURS[..., :1].copy(), COLOURS[..., 0]),
        (COLOURS[None].repeat(2, 0) * np.array([[[[0]]], [[[1]]]], np.uint8), COLOURS),
        (np.dstack([COLOURS, np.zeros((6, 5), np.uint8)]), COLOURS),
        (np.array([[False, True]]), np.array([[0, 255]], np.uint8)),
        (np.array([[1, 2, 3]], np.int32), np.array([[0, 128, 255]], np.uint8)),
        (np.array([[0.5, 1.5, 2.5]], np.float32), np.array([[0, 128, 255]], np.uint8)),
        (np.array([[7.0, 7.0]], np.float32), np.array([[0, 0]], np.uint8)),
    ],
    ids=["HWC", "CHW", "unit", "signed", "0 to 255", "HW", "HW1", "frames", "RGBA", "mask", "depth",
         "metres", "flat"],
)  # fmt: skip
def test_the_pixels_are_those_that_were_received(array: Any, pixels: Any) -> None:
    np.testing.assert_array_equal(picture(array), pixels)


def test_swapped_is_red_for_blue() -> None:
    np.testing.assert_array_equal(picture(COLOURS, swapped=True), COLOURS[..., ::-1])
    np.testing.assert_array_equal(picture(COLOURS[..., 0].copy(), swapped=True), COLOURS[..., 0])


def test_what_is_no_number_is_magenta() -> None:
    array = np.array([[0, math.nan, 1, math.inf]], np.float32)
    assert picture(array).tolist() == [[[0] * 3, [255, 0, 255], [255] * 3, [255, 0, 255]]]
    assert picture(np.full((1, 1), math.nan)).tolist() == [[[255, 0, 255]]]


def test_of_a_large_image_every_so_many_pixels_are_kept() -> None:
    array = np.arange(3 * MAX_SIDE * 9, dtype=np.int32).astype(np.uint8).reshape(-1, 3, 3)
    kept = keep_observation({FRONT: array})[0][FRONT]
    assert isinstance(kept, KeptArray)
    assert (kept.shape, kept.step) == (array.shape, 3)
    np.testing.assert_array_equal(picture(array), array[::3, ::3])


def said(array: Any, stale: int = 0) -> str:
    """Returns what is flagged of an image."""
    kept = keep_observation({FRONT: array})[0][FRONT]
    assert isinstance(kept, KeptArray)
    assert kept.data is not None
    return "; ".join(flags(kept, summarize(kept.data), stale))


@pytest.mark.parametrize(
    ("array", "flag"),
    [
        (COLOURS, ""),
        (COLOURS / 255, ""),
        (COLOURS * 0 + 9, "constant image: every value is 9"),
        ((COLOURS > 40).astype(np.uint8), "nothing above 1: was a [0, 1] image cast to uint8?"),
        (COLOURS / 255 / 255, "nothing above 0.0014: divided by 255 twice?"),
        (COLOURS / 50, "values outside [0, 1]: 0 to 1.78"),
        (np.full((2, 2, 3), np.nan), "no finite value"),
        (np.array([[0.1, np.nan, np.inf]]), "2 NaN or infinite"),
        (np.zeros((0, 5, 3), np.uint8), "empty"),
    ],
    ids=range(9),
)
def test_what_looks_like_a_mistake_is_flagged(array: Any, flag: str) -> None:
    assert said(array) == flag


def test_a_stale_image_is_flagged_whatever_else_it_is() -> None:
    assert said(COLOURS * 0, 5) == "stale: the same for 5 steps; constant image: every value is 0"
