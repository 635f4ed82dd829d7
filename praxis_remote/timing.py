# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Where the time of a call went: what the server says of it, and what the client adds.

All times are seconds, but for those in the ``server-timing`` trailer: milliseconds, as the
convention has them. https://www.w3.org/TR/server-timing/
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from .errors import UnsupportedTypeError

SERVER_TIMING = "server-timing"
"""The trailer with which every reply says where its time went."""


class ServerTiming(NamedTuple):
    """The phases of a call on the server, in order; one that was not reached took 0.

    Attributes:
        receive: From the request's headers to its last byte.
        decode: From bytes to arrays.
        queue: Waiting for the policy, which others called before.
        infer: In the policy.
        encode: From the action to bytes.
    """

    receive: float = 0.0
    decode: float = 0.0
    queue: float = 0.0
    infer: float = 0.0
    encode: float = 0.0

    @classmethod
    def between(cls, marks: Sequence[float]) -> ServerTiming:
        """Returns the phases of a call.

        Args:
            marks: When the call began, and when each phase ended of those that it reached.
        """
        return cls(*map(operator.sub, marks[1:], marks))

    @property
    def total(self) -> float:
        """All phases together."""
        return sum(self)


class CallTiming(NamedTuple):
    """Where the time of one call went, as its client saw it.

    Attributes:
        method: The rpc: ``"Predict"``, ``"Reset"``, ``"HealthCheck"`` or ``"GetStatus"``.
        total: From the call to its return, in which all others are contained.
        encode: From observations to bytes.
        network: What is left for connecting, waiting for a turn, tries that were repeated,
            and both ways; with what the server did in it where the server does not say.
        decode: From bytes to the action.
        server: What the server says; None where it says nothing, as 0.1.1 does.
    """

    method: str
    total: float
    encode: float
    network: float
    decode: float
    server: ServerTiming | None

    @classmethod
    def between(
        cls, method: str, begun: float, sent: float, received: float, ended: float, said: str
    ) -> CallTiming:
        """Returns the timing of a call.

        Args:
            method: The rpc.
            begun: When the caller called.
            sent: When the request was encoded.
            received: When the response was there.
            ended: When it was decoded.
            said: The server's trailer, empty if it sent none.
        """
        server = decode_server_timing(said)
        between = received - sent
        network = between if server is None else max(0.0, between - server.total)
        return cls(method, ended - begun, sent - begun, network, ended - received, server)


OnTiming: TypeAlias = Callable[[CallTiming], object]
"""What is told of the timing of each call that went well."""


def check_on_timing(on_timing: OnTiming | None) -> OnTiming | None:
    """Returns what is told, before there is a call of which to tell it.

    Raises:
        UnsupportedTypeError: It cannot be called.
    """
    if on_timing is not None and not callable(on_timing):
        raise UnsupportedTypeError(
            f"on_timing: {type(on_timing).__name__}; pass a function of one CallTiming, or None"
        )
    return on_timing


_TEXT = ", ".join(f"{name};dur=%.3f" for name in ServerTiming._fields)

_ALL_MARKS = len(ServerTiming._fields) + 1

# Of a trailer's text, which is 90 characters of ours. To read more, say a name without end,
# would take a client the square of its length.
_MAX_TEXT = 1024

# A name and its first `dur`, whatever else stands between; values may be quoted.
_ENTRY = re.compile(r'([A-Za-z-]+)\s*;(?:[^,]*;)?\s*dur\s*=\s*"?([0-9.]{1,24})"?\s*(?:;|,|$)')


def encode_server_timing(marks: Sequence[float]) -> str:
    """Returns the trailer's text.

    Args:
        marks: As of `ServerTiming.between`.
    """
    if len(marks) < _ALL_MARKS:
        marks = [*marks, *[marks[-1]] * (_ALL_MARKS - len(marks))]
    begun, received, decoded, started, inferred, encoded = marks
    return _TEXT % (
        (received - begun) * 1e3,
        (decoded - received) * 1e3,
        (started - decoded) * 1e3,
        (inferred - started) * 1e3,
        (encoded - inferred) * 1e3,
    )


def decode_server_timing(text: str) -> ServerTiming | None:
    """Returns what a trailer says of our phases; None if it says nothing of them.

    Whatever else stands there, of a proxy for example, is passed over.
    """
    found: dict[str, float] = {}
    for name, milliseconds in _ENTRY.findall(text[:_MAX_TEXT]):
        if name in ServerTiming._fields:
            with suppress(ValueError):  # several points, or nothing else
                found[name] = float(milliseconds) / 1e3
    return ServerTiming(**found) if found else None
