# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What became of the calls of a server, for whoever watches it. No payload is in here."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from .errors import StatusCode, UnsupportedTypeError
from .logs import event
from .timing import ServerTiming

log = logging.getLogger("praxis_remote.server")

# Calls that are remembered: some seconds of the quickest policy.
_RECENT = 4096


UNKNOWN = "unknown"
"""In place of paths that a server does not have, of which callers may make up any number."""


class CallRecord(NamedTuple):
    """A call that has ended.

    Attributes:
        path: ``/package.Service/Method``; `UNKNOWN` for one that the server does not have.
        code: How it ended; CANCELLED where the caller was gone.
        peer: The caller's address; for one without, as on a UNIX socket, the socket's.
        timing: The phases that it reached, in seconds.
        total: Seconds from its first byte to its last.
        ended: When, on the monotonic clock.
        request_bytes: Of its message, as it came.
        response_bytes: Of the response; 0 for none.
        batch_size: Observations that the policy got at once, of this call and of those
            that it was joined with; 0 if it got none.
    """

    path: str
    code: StatusCode
    peer: str
    timing: ServerTiming
    total: float
    ended: float
    request_bytes: int
    response_bytes: int
    batch_size: int = 0


class EndedCall(NamedTuple):
    """A call that has ended, as it is kept: what few look at is worked out when they do.

    Attributes:
        marks: As of `ServerTiming.between`.
    """

    path: str
    code: StatusCode
    peer: str
    marks: Sequence[float]
    ended: float
    request_bytes: int
    response_bytes: int
    batch_size: int = 0

    def record(self) -> CallRecord:
        """Returns it for others."""
        timing, total = ServerTiming.between(self.marks), self.ended - self.marks[0]
        return CallRecord(self.path, self.code, self.peer, timing, total, *self[4:])


class CallObserver(Protocol):
    """What is told of each call that has ended: on the server's thread, so in no time."""

    def call_ended(self, record: CallRecord) -> None:
        """Takes note of a call."""


class Recorder:
    """Keeps count of all calls, and the last ones themselves.

    Args:
        observers: Who else is told. One that fails is logged, and told of the next call.

    Attributes:
        request_bytes: Of all calls.
        response_bytes: Of all calls.
    """

    def __init__(self, observers: Sequence[CallObserver] = ()) -> None:
        self._observers = tuple(observers)
        # By path and the number of the status.
        self._counts: dict[str, list[int]] = {}
        self._recent: deque[EndedCall] = deque(maxlen=_RECENT)
        self.request_bytes = self.response_bytes = 0

    @property
    def counts(self) -> Mapping[tuple[str, StatusCode], int]:
        """How many calls of each path ended in each way."""
        return {
            (path, StatusCode(number)): count
            for path, numbers in list(self._counts.items())
            for number, count in enumerate(numbers)
            if count
        }

    def recent_calls(self) -> list[CallRecord]:
        """Returns the last calls, oldest first. May be called in any thread."""
        while True:
            try:
                calls = list(self._recent)
            except RuntimeError:
                continue  # one was added meanwhile
            return [call.record() for call in calls]

    def add(self, call: EndedCall) -> None:
        """Takes note of a call."""
        numbers = self._counts.get(call.path)
        if numbers is None:
            numbers = self._counts[call.path] = [0] * len(StatusCode)
        numbers[call.code.value] += 1
        self._recent.append(call)
        self.request_bytes += call.request_bytes
        self.response_bytes += call.response_bytes
        if self._observers:
            self._tell(call.record())

    def _tell(self, record: CallRecord) -> None:
        for observer in self._observers:
            try:
                observer.call_ended(record)
            except Exception:  # it shall not cost the call's connection
                log.exception("an observer of calls failed", extra=event("unforeseen"))


def check_observers(observers: Sequence[CallObserver]) -> None:
    """Raises before there is a call of which to tell them.

    Raises:
        UnsupportedTypeError: One of them is none.
    """
    if not isinstance(observers, Sequence):
        raise UnsupportedTypeError(
            f"observers: {type(observers).__name__}; pass a list of objects with call_ended(record)"
        )
    for number, observer in enumerate(observers):
        if not callable(getattr(observer, "call_ended", None)):
            raise UnsupportedTypeError(
                f"observers[{number}]: {type(observer).__name__} has no method call_ended(record)"
            )
