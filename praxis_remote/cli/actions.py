# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Actions as a person reads them, on a terminal or from a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..types import Array
from .errors import CommandError

__all__ = ["FORMATS", "write_npy"]


def write_npy(path: Path, action: Array) -> None:
    """Writes an action to exactly the file that is named."""
    try:
        # Opened here, because numpy.save would add a suffix to the name.
        with path.open("wb") as file:
            np.save(file, action, allow_pickle=False)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error


def _as_readable(action: Array) -> str:
    values = np.array2string(action, separator=", ", max_line_width=100)
    return f"shape {action.shape}, dtype {action.dtype.name}\n{values}"


def _as_json(action: Array) -> str:
    return json.dumps(
        {"shape": list(action.shape), "dtype": action.dtype.name, "data": action.tolist()}
    )


FORMATS: dict[str, Callable[[Array], str]] = {"text": _as_readable, "json": _as_json}
