# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Observations as a person writes them, in an .npz file or as JSON, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..tensors import NUMBERS, SUPPORTED
from ..types import Array, ObservationValue
from .errors import CommandError, UsageError

__all__ = ["read_json", "read_npz"]


def read_npz(path: Path) -> dict[str, ObservationValue]:
    """Returns the one observation whose keys and arrays a file holds.

    Raises:
        CommandError: The file cannot be read as such.
    """
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array without a key")
            return {key: _as_text_if_text(archive[key]) for key in archive.files}
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    # Where a file is damaged, numpy, zipfile and zlib raise nearly anything.
    except Exception as error:
        raise CommandError(
            f"{path} is no .npz file of plain arrays: {error}; "
            "write one with numpy.savez, one array for each key"
        ) from error


def _as_text_if_text(array: Array) -> ObservationValue:
    return str(array) if array.ndim == 0 and array.dtype.kind == "U" else array


def read_json(source: str, option: str = "--json") -> list[dict[str, ObservationValue]]:
    """Returns the observations that JSON, or a file of that name, describes.

    Args:
        source: The JSON, or the file's name.
        option: By which it was given.

    Raises:
        CommandError: It cannot be read, or describes something else.
        UsageError: JSON on the command line is none.
    """
    is_text = source.lstrip().startswith(("{", "["))
    name = option if is_text else source
    try:
        text = source if is_text else Path(source).read_text(encoding="utf-8")
        found = json.loads(text, object_pairs_hook=_without_duplicates)
    except OSError as error:
        raise CommandError(
            f"cannot read {source}: {error.strerror or error}; "
            "JSON given as text begins with { or ["
        ) from error
    except (ValueError, RecursionError) as error:
        kind = UsageError if is_text else CommandError
        raise kind(f"{name} is no JSON that can be read: {error}") from error
    batch = found if isinstance(found, list) else [found]
    return [_as_observation(item, name) for item in batch]


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"an object has one of the keys {', '.join(found)} twice")
    return found


def _as_observation(item: object, name: str) -> dict[str, ObservationValue]:
    if not isinstance(item, dict):
        raise CommandError(
            f"{name}: a {type(item).__name__} is no observation; "
            "an object is one, a list of objects is a batch"
        )
    return {key: _as_observation_value(value, key) for key, value in item.items()}


def _as_observation_value(value: Any, key: str) -> ObservationValue:
    try:
        if isinstance(value, dict):
            return _as_typed_array(value)
        if isinstance(value, list):
            array: Array = np.asarray(value)
            return array
    except (ValueError, TypeError, OverflowError) as error:
        raise CommandError(f"{key}: no array can be made of it: {error}") from error
    if value is None:
        raise CommandError(f"{key}: null is no value; leave the key out")
    plain: ObservationValue = value
    return plain


def _as_typed_array(value: dict[str, Any]) -> Array:
    if set(value) != {"dtype", "data"}:
        raise ValueError('an object must be {"dtype": ..., "data": ...}')
    dtype = next((known for known in NUMBERS if known.name == value["dtype"]), None)
    if dtype is None:
        raise ValueError(f"dtype {value['dtype']!r}; supported: {SUPPORTED}")
    given = np.asarray(value["data"])
    if given.dtype.kind not in "biuf":
        raise ValueError("data is not made of numbers, or of true and false")
    with np.errstate(all="ignore"):
        array: Array = given.astype(dtype)
    # Where the dtype is uint8, numpy makes 44 of 300 and 1 of 1.5.
    if dtype.kind != "f" and not np.array_equal(array, given):
        raise ValueError(f"not every number of data is a {dtype.name}")
    return array
