# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Tensors whose parts lie: numpy says which of them are arrays."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from oracle import DTYPES, google_class, google_parse, outcome, typed_response
from strategies import bits, block, varint
from typing_extensions import override

from fuzz.messages import general
from fuzz.target import Finding, Target
from praxis_remote import codec
from praxis_remote.schema import PredictResponse

_NAMES = {number: "<" + name for name, number in DTYPES.items()}
_LENGTHS = (0, 0, 1, 1, 2, 3, 255, 2**16, 2**31, 2**32, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_COUNTS = (0, 1, 1, 2, 2, 3, 4, 8, 31, 32, 33, 63, 64, 65, 300, 10**6)
_SIZES = (0, 1, 2, 4, 8, 16, 24, 64 * 1024)


class Tensors(Target):
    """Shapes that overflow, contradict or cost, beside dtypes and data of all kinds."""

    name = "tensors"

    @override
    def make(self, pick: random.Random, pool: Sequence[bytes]) -> bytes:
        """Returns a response whose tensor is made of odd parts."""
        count = pick.choice(_COUNTS[:-1]) if pick.random() < 0.999 else _COUNTS[-1]
        lengths = [
            pick.choice(_LENGTHS if pick.random() < 0.4 else (0, 1, 2))
            for _ in range(min(count, 300))
        ]
        lengths *= max(1, count // 300)
        number = pick.choice((*_NAMES, *_NAMES, 0, 7, 127, 128, 2**31, 2**32 + 1, 2**64 - 1))
        data = (
            pick.randbytes(pick.choice(_SIZES))
            if pick.random() < 0.5
            else bytes(_fitting(lengths, number))
        )
        shape = b"".join(map(varint, lengths))
        parts = [block(1, data), block(2, shape), varint(3 << 3) + varint(number)]
        if pick.random() < 0.3:
            parts[1] = b"".join(varint(2 << 3) + varint(length) for length in lengths)
        if pick.random() < 0.3:
            pick.shuffle(parts)
        if pick.random() < 0.1:
            parts.append(pick.choice(parts))
        return block(1, b"".join(parts))

    @override
    def check(self, case: bytes) -> str:
        """Holds both paths to numpy's verdict and content."""
        theirs = google_parse(PredictResponse, case)
        if theirs is None:
            theirs = google_class("PredictResponse")()
        wanted = judge(theirs)
        for decode in (codec.decode_predict_response, typed_response):
            ours = outcome(decode, bytearray(case), bits)
            if wanted is not None and ours != bits(wanted):
                raise Finding(f"{decode.__name__}: {str(ours)[:300]} is not {str(wanted)[:300]}")
            if wanted is None and ours[0] == "array":
                raise Finding(
                    f"{decode.__name__}: only we make an array of this: {str(ours)[:300]}"
                )
        return "taken" if ours[0] == "array" else general(f"{ours[0].__name__} {ours[1]}")

    @override
    def pieces(self, case: bytes) -> list[bytes]:
        """Returns the bytes one by one."""
        return [case[place : place + 1] for place in range(len(case))]


def _fitting(lengths: Sequence[int], number: int) -> int:
    """Returns how many bytes would fit, if few."""
    size = np.dtype(_NAMES.get(number, "u1")).itemsize
    for length in lengths:
        size *= length
        if size > max(_SIZES):
            return 8
    return size


def judge(response: object) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
    """Returns the array that numpy makes of a response of Google's; None if it is none."""
    tensor = response.action  # type: ignore[attr-defined]  # Google's classes are made at runtime
    name = _NAMES.get(tensor.dtype)
    if name is None or min(tensor.shape, default=0) < 0:
        return None
    if name == "<b1" and tensor.data.strip(b"\0\1"):
        return None
    try:
        # It takes -1 for "what is left", but there is none.
        return np.frombuffer(bytearray(tensor.data), name).reshape(tuple(tensor.shape))
    except (ValueError, OverflowError):
        return None
