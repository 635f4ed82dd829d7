# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a server grants its peers: connections, memory, time."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from .errors import InvalidValueError, UnsupportedTypeError

__all__ = ["DEFAULT_MAX_PENDING", "Limits"]

DEFAULT_MAX_PENDING = 1024
"""Calls that may wait for the policy, unless told otherwise."""


@dataclass(frozen=True)
class Limits:
    """What a server grants its peers; what is beyond it costs the peer that asks for it.

    Attributes:
        connections: Open at once. Beyond it a new one takes the place of the one that
            has been idle for longest, or is refused where none is idle.
        connection_bytes: Requests that are arriving, waiting or being worked on, and
            responses that are being sent, on one connection; at least one of each is
            allowed. Messages of up to 4 KiB are not counted.
        total_bytes: The same on all connections together.
        episodes: That the policy may remember, where the server ends them by itself.
            Beyond it the one that was not used for longest ends.
        items: Observations, keys, values and list items of a request, all together. In
            memory each takes some 200 to 700 bytes, however few it takes on the way.
        handshake_seconds: For a new connection to show that it speaks HTTP/2.
        stall_seconds: For which nothing at all may move, while a peer is to send the rest
            of its requests or to take its responses.
        idle_seconds: For which a connection may carry no call; clients connect again by
            themselves.
        keepalive_seconds: Of silence during a call, after which a peer is asked whether
            it is still there.
        keepalive_timeout: Seconds for the answer.

    Raises:
        ValueError: One of them is not positive.
    """

    connections: int = 1024
    connection_bytes: int = 512 * 2**20
    total_bytes: int = 2 * 2**30
    episodes: int = 65_536
    items: int = 200_000
    handshake_seconds: float = 10.0
    stall_seconds: float = 30.0
    idle_seconds: float = 3600.0
    keepalive_seconds: float = 60.0
    keepalive_timeout: float = 20.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type == "int"
            if not (isinstance(value, int if whole else (int, float)) and value > 0):
                what = "a whole number, at least 1" if whole else "seconds, more than 0"
                raise InvalidValueError(f"limits: {field.name}={value!r}; allowed: {what}")

    @property
    def shortest(self) -> float:
        """The shortest time among them."""
        return min(
            (getattr(self, f.name) for f in fields(self) if f.type == "float"), default=math.inf
        )


def check_limits(limits: Limits | None) -> Limits:
    """Returns the limits, or those that hold if nothing was said.

    Raises:
        UnsupportedTypeError: They are something else.
    """
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise UnsupportedTypeError(f"limits: {type(limits).__name__}; pass Limits(...), or None")
    return limits
