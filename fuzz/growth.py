# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a megabyte made to hurt costs: work in proportion to the bytes, whatever they are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from google.protobuf.descriptor import Descriptor
from oracle import describe
from typing_extensions import override

from fuzz.fields import lists_in, parse, write
from fuzz.messages import KINDS, Messages, pack, unpack
from fuzz.target import Finding, Target
from fuzz.work import Work, measure
from praxis_remote import codec
from praxis_remote.wire import read_message, write_message

_FEW, _MANY = 32, 128
_MAX_UNIT = 96

# Four times the bytes may cost four times the work, and what caches and buffers add.
_FACTOR, _SLACK = 4.2, 400

# For each byte at most: an empty observation has two, and takes 140 calls to read and write.
_PER_BYTE = {"calls": 120, "taken": 16, "letters": 16}
_ONCE = 4000

# However many bytes come, an event loop does no more than this.
_QUICK_CALLS = 60 * codec.QUICK_ITEMS


def enlarge(unit: bytes, kind: Descriptor, plan: bytes, count: int) -> bytes:
    """Returns a message with one text and the number of one field so many times as large."""
    fields = parse(unit, kind)
    if not fields:
        return unit * count
    long, many = (*plan, 0, 0)[:2]
    found = [
        (inside, place) for inside, _ in lists_in(fields, kind) for place in range(len(inside))
    ]
    inside, place = found[many % len(found)]
    texts = [
        item
        for inner, _ in lists_in(fields, kind)
        for item in inner
        if isinstance(item.content, bytes)
    ]
    if texts:
        text = texts[long % len(texts)]
        assert isinstance(text.content, bytes)
        # Not of the field that is repeated: that would be as many bytes as the product.
        if not any(text is item for inner, _ in lists_in([inside[place]], kind) for item in inner):
            text.content = text.content * count or b"k" * count
    inside[place : place + 1] = [inside[place]] * count
    return write(fields)


def read_and_write(name: str) -> Callable[[bytes], object]:
    """Returns what reads a message and writes it again."""
    return lambda data: write_message(read_message(KINDS[name], data))


def paths(name: str) -> dict[str, Callable[[bytes], object]]:
    """Returns all that reads a message of this name."""
    found: dict[str, Callable[[bytes], object]] = {"wire": read_and_write(name)}
    if name == "PredictRequest":
        found["request"] = codec.decode_predict_request
    if name == "PredictResponse":
        found["response"] = codec.decode_predict_response
    return found


class Growth(Target):
    """A case is a message, and which text in it is to be long and which field many."""

    name = "growth"

    def __init__(self) -> None:
        self._messages = Messages()

    @override
    def make(self, pick: random.Random, pool: Sequence[bytes]) -> bytes:
        """Returns a small message, odd or not, and two numbers."""
        units = [pack(name, data[2:]) for name, data in map(unpack, pool)]
        name, unit = unpack(self._messages.make(pick, units))
        return pack(name, pick.randbytes(2) + unit[:_MAX_UNIT])

    @override
    def check(self, case: bytes) -> str:
        """Holds the work on a large message to so many times that on a small one."""
        name, plan = unpack(case)
        unit, kind = plan[2:], describe(name)
        few, many = (enlarge(unit, kind, plan[:2], count) for count in (_FEW, _MANY))
        told = []
        for label, read in paths(name).items():
            before, after = measure(read, few), measure(read, many)
            check_growth(f"{name} by {label}", before, after, len(many))
            told.append(f"{label} {after.calls // max(1, before.calls)}")
        if name == "PredictRequest":
            self._check_quick(unit)
        return f"{name} {told}"

    def _check_quick(self, unit: bytes) -> None:
        # Past what is read whatever it costs.
        data = unit * (2 * codec.QUICK_BYTES // max(1, len(unit)))
        work = measure(codec.decode_predict_request_quickly, data)
        if work.calls > _QUICK_CALLS:
            raise Finding(f"the quick path took {work.calls} calls")

    @override
    def pieces(self, case: bytes) -> list[bytes]:
        """Returns the bytes one by one, the name whole."""
        return self._messages.pieces(case)


def check_growth(what: str, few: Work, many: Work, size: int) -> None:
    """Raises unless work has grown as its input has, which is fourfold, and is bounded by it.

    Raises:
        Finding: It has grown more, or is more for each byte than any field costs.
    """
    for field in ("calls", "taken", "letters"):
        before, after = getattr(few, field), getattr(many, field)
        # One that is rejected may have been so at its first byte.
        if few.accepted and after > _FACTOR * before + _SLACK:
            raise Finding(f"{what}: {field} grew from {before} to {after} for four times the bytes")
        if after > _PER_BYTE[field] * size + _ONCE:
            raise Finding(f"{what}: {after} {field} for {size} bytes")
