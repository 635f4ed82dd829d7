# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Messages: Google's verdict and meaning on whatever bytes, on every path that reads them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import betterproto
from oracle import (
    MESSAGES,
    check_like_protobuf,
    describe,
    from_google,
    google_parse,
    got,
    outcome,
    typed_decode,
    typed_response,
)
from strategies import WireMaker, bits
from typing_extensions import override

from fuzz.fields import Surgeon
from fuzz.mutation import mutate
from fuzz.target import Finding, Target
from praxis_remote import codec
from praxis_remote.errors import DecodeError
from praxis_remote.schema import PredictRequest, PredictResponse
from praxis_remote.wire import read_message

KINDS = {cls.__name__: cls for cls in MESSAGES}

# What is of the case, and not of the kind of error.
_PARTICULARS = re.compile(r"[0-9]+|'.*'|\".*\"|\(.*\)|\[.*\]")
_MAX_SIZE = 64 * 1024


def pack(name: str, data: bytes) -> bytes:
    """Returns a case: which message, and the bytes that claim to be one."""
    return name.encode() + b"\n" + data


def unpack(case: bytes) -> tuple[str, bytes]:
    """Returns the message's name and the bytes. What names none is a request."""
    name, _, data = case.partition(b"\n")
    known = name.decode("latin-1")
    return (known, data) if known in KINDS else ("PredictRequest", data)


class Messages(Target):
    """Every message of the schema."""

    name = "messages"

    @override
    def make(self, pick: random.Random, pool: Sequence[bytes]) -> bytes:
        """Changes a case of the pool one to four times, or makes one of nothing."""
        if not pool or pick.random() < 0.15:
            name = pick.choice(list(KINDS))
            return pack(
                name,
                WireMaker(pick.getrandbits(48), odd=pick.choice((0.01, 0.15))).message(
                    describe(name)
                ),
            )
        donors = [unpack(pick.choice(pool)) for _ in range(2)]
        surgeon = Surgeon(pick, [(describe(donor), data) for donor, data in donors])
        name, data = unpack(pick.choice(pool))
        for _ in range(pick.choice((1, 1, 2, 4))):
            if pick.random() < 0.75:
                data = surgeon.change(data, describe(name))
            else:
                data = mutate(pick, data, [donor for _, donor in donors])
        return pack(name, data[:_MAX_SIZE])

    @override
    def check(self, case: bytes) -> str:
        """Holds every path to protobuf's verdict and to one another's meaning."""
        name, data = unpack(case)
        accepted = check_like_protobuf(KINDS[name], data)
        meaning = check_request(data) if name == "PredictRequest" else ""
        if name == "PredictResponse":
            meaning = check_response(data)
        return f"{name} {meaning or accepted or refusal(KINDS[name], data)}"

    @override
    def pieces(self, case: bytes) -> list[bytes]:
        """Returns the bytes one by one, the name whole."""
        name, line, data = case.partition(b"\n") if b"\n" in case else (b"", b"", case)
        pieces = [data[place : place + 1] for place in range(len(data))]
        return [name + line, *pieces] if line else pieces


def refusal(cls: type[betterproto.Message], data: bytes) -> str:
    """Returns why bytes are no message, without what is particular to them."""
    try:
        read_message(cls, data)
    except DecodeError as error:
        return general(str(error))
    return ""


def general(text: str) -> str:
    """Returns an error's text without what is particular to a case."""
    return _PARTICULARS.sub("#", text)[:200]


def check_request(data: bytes) -> str:
    """Holds the paths that read a request to one another, and to protobuf."""
    slow = outcome(typed_decode, data, got)
    direct = outcome(codec.decode_predict_request, bytearray(data), got)
    _same("direct path", direct, slow)
    quick = outcome(_quickly, bytearray(data), lambda call: call and got(call))
    if quick is not None:
        _same("quick path", quick, slow)
    elif len(data) <= codec.QUICK_BYTES:
        raise Finding("a short request was left to another thread")
    check_place(codec.find_data_in_request, data)
    if not isinstance(slow[0], list):
        return general(f"{slow[0].__name__} {slow[1]}")
    _same("meaning", slow, got(from_google(google_parse(PredictRequest, data))))
    return "taken" if quick else "taken slowly"


def _quickly(data: bytearray) -> codec.PredictCall | None:
    return codec.decode_predict_request_quickly(data)


def check_response(data: bytes) -> str:
    """Holds the paths that read a response to one another."""
    slow = outcome(typed_response, data, bits)
    _same("direct path", outcome(codec.decode_predict_response, bytearray(data), bits), slow)
    check_place(codec.find_data_in_response, data)
    if slow[0] == "array":
        if google_parse(PredictResponse, data) is None:
            raise Finding("protobuf rejects this response")
        return "taken"
    return general(f"{slow[0].__name__} {slow[1]}")


def check_place(find: object, data: bytes) -> None:
    """Holds a guess at a place to being a number, from any part of a message."""
    assert callable(find)
    for size in {0, 1, len(data) // 2, len(data)}:
        place = find(memoryview(data)[:size])
        if not isinstance(place, int) or place < 0:
            raise Finding(f"the place {place!r} is none")


def _same(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise Finding(f"{what}: {str(ours)[:300]} is not {str(theirs)[:300]}")
