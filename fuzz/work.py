# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Work in numbers that are the same in every run: calls, bytes and texts, not time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

from typing_extensions import override


class CountingBytes(bytes):
    """Counts the bytes that are taken out of it."""

    taken = 0

    @override
    def __getitem__(self, place: Any) -> Any:
        result = super().__getitem__(place)
        self.taken += 1 if isinstance(result, int) else len(result)
        return result


class Work(NamedTuple):
    """What something took: calls of functions, bytes read, letters of texts made for them."""

    calls: int
    taken: int
    letters: int
    accepted: bool


def measure(function: Callable[[bytes], object], data: bytes) -> Work:
    """Returns the work of a function that reads bytes, whether it succeeds or raises."""
    buffer = CountingBytes(data)
    calls = letters = 0
    accepted = True
    known: dict[int, str] = {}

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls, letters
        calls += 1
        if event != "call":
            return
        for value in frame.f_locals.values():
            if type(value) is str and id(value) not in known:
                known[id(value)] = value  # so that no other text can get its number
                letters += len(value)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function(buffer)
    except ValueError:
        accepted = False  # an error may cost as much
    finally:
        sys.setprofile(before)
    return Work(calls, buffer.taken, letters, accepted)
