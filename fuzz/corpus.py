# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Cases as files: what was recorded, what once failed, and what fails now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
CRASHES = CORPUS / "crashes"


def read(name: str, folder: Path = CORPUS) -> Iterator[tuple[Path, bytes]]:
    """Yields the cases of a target, in the order of their names."""
    for path in sorted((folder / name).glob("*.case")):
        yield path, path.read_bytes()


def write(name: str, label: str, case: bytes, folder: Path = CORPUS) -> Path:
    """Keeps a case."""
    path = folder / name / f"{label}.case"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case)
    return path


def write_crash(name: str, case: bytes, folder: Path = CRASHES) -> Path:
    """Keeps a case that failed, under a name made from what is in it."""
    return write(name, hashlib.sha256(case).hexdigest()[:16], case, folder)
