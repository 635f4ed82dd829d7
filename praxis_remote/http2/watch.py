# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a peer can be told by: that it is there, and that it takes and sends what it should.

One look every now and then at numbers that grow by themselves, instead of a timer for
each thing that may not happen. Nothing here does I/O; time is an argument.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

__all__ = ["Finding", "Seen", "Silences", "Watch"]

# A grpcio server takes no more pings than these without sending something between,
# unless they are so far apart: https://github.com/grpc/grpc/blob/master/doc/keepalive.md
_PINGS_AT_ONCE, _SECONDS_BETWEEN = 3, 300.0


class Silences(NamedTuple):
    """How long, in seconds, a peer may be silent before something is made of it.

    Attributes:
        ping: During a call, until it is asked whether it is there.
        answer: Until it has answered.
        stall: Without a byte of payload either way while some is due.
        idle: Without a call.
        sparing: Whether ever more pings without a byte of payload come farther apart.
    """

    ping: float
    answer: float
    stall: float = float("inf")
    idle: float = float("inf")
    sparing: bool = False


class Seen(NamedTuple):
    """What a look at a connection sees.

    Attributes:
        busy: Whether it carries calls.
        begun: Calls ever.
        received: Bytes ever, of any kind.
        due: Whether payload is due either way.
        moved: Bytes of payload ever.
        unsent: Whether bytes wait for the socket to take them.
        under_way: Whether the peer's system lacks some of what was sent.
        taken: Bytes ever that arrived there, as far as this system can tell.
    """

    busy: bool
    begun: int
    received: int
    due: bool
    moved: int
    unsent: bool
    under_way: bool
    taken: int


class Finding(enum.Enum):
    """What is to be done about it."""

    NOTHING = enum.auto()
    ASK = enum.auto()
    """Send a ping."""
    GONE = enum.auto()
    """It did not answer the ping."""
    BLOCKED = enum.auto()
    """It takes nothing of what is sent."""
    STALLED = enum.auto()
    """It does not go on with its calls."""
    IDLE = enum.auto()
    """It has not called for long."""


class _Still:
    """Since when something has not changed."""

    def __init__(self, now: float) -> None:
        self._value: Any = None
        self._since = now

    def seconds(self, value: Any, now: float) -> float:
        """Returns for how many seconds the value has been this one."""
        if value != self._value:
            self._value, self._since = value, now
        return now - self._since


class Watch:
    """The looks at one connection.

    Args:
        silences: How long it may be silent.
        now: Seconds on any clock.
    """

    def __init__(self, silences: Silences, now: float) -> None:
        self._silences = silences
        self._silence, self._stall, self._block, self._rest = (_Still(now) for _ in range(4))
        self._asked: float | None = None
        self._seen_asking: Seen | None = None
        self._baseline: Seen | None = None
        self._pings = 0
        self._moved = 0

    def look(self, seen: Seen, now: float) -> Finding:
        """Returns what is to be done about what is seen."""
        limits = self._silences
        # A ping waits behind what is under way, and so does its answer.
        silence = self._silence.seconds(
            (seen.received, seen.taken if seen.under_way else None), now
        )
        stall = self._stall.seconds((seen.moved, seen.due), now)
        block = self._block.seconds((seen.taken, seen.unsent), now)
        rest = self._rest.seconds((seen.begun, seen.busy), now)
        if seen.unsent and block >= limits.stall:
            return Finding.BLOCKED
        if seen.due and stall >= limits.stall:
            return Finding.STALLED
        if not seen.busy:
            return Finding.IDLE if rest >= limits.idle else Finding.NOTHING
        return self._look_for_life(seen, silence, now)

    def _look_for_life(self, seen: Seen, silence: float, now: float) -> Finding:
        if seen.moved != self._moved:
            self._moved, self._pings = seen.moved, 0
        if self._asked is not None:
            if not self._lives(seen):
                late = now - self._asked >= self._silences.answer
                return Finding.GONE if late else Finding.NOTHING
            self._asked = None
        patience = self._silences.ping
        if self._silences.sparing and self._pings >= _PINGS_AT_ONCE:
            patience = max(patience, _SECONDS_BETWEEN)
        if silence < patience:
            return Finding.NOTHING
        self._asked, self._seen_asking = now, seen
        self._baseline = None
        self._pings += 1
        return Finding.ASK

    def _lives(self, seen: Seen) -> bool:
        """Tells whether anything has come, or gone through, since the question."""
        assert self._seen_asking is not None
        if seen.received != self._seen_asking.received:
            return True
        if self._baseline is None:
            # The question itself has gone through meanwhile.
            self._baseline = seen
        before = self._baseline
        return seen.under_way and before.under_way and seen.taken > before.taken
