# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a policy can learn of the request that it is working on, if it wants to."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from .calls import Deadline, Metadata
from .timing import ServerTiming


@dataclass(frozen=True)
class RequestContext:
    """The request that a policy's method was called for.

    Attributes:
        metadata: Pairs that the caller sent along; keys ending in ``-bin`` hold bytes.
        peer: The caller's address; for one without, as on a UNIX socket, the socket's.
        deadline: When the caller gives up; None if it waits for ever.
        marks: When the call began, and when each phase ended that is over.
        rows: Which observations of the policy's batch are the request's.
    """

    metadata: Metadata
    peer: str
    deadline: Deadline | None = None
    marks: Sequence[float] = ()
    rows: range = range(0)

    @property
    def timing(self) -> ServerTiming:
        """How long the phases took that are over: the call was received, decoded, queued."""
        return ServerTiming.between(self.marks)

    def remaining(self) -> float | None:
        """Returns the seconds until the caller gives up, at least 0; None if never."""
        return None if self.deadline is None else max(0.0, self.deadline.remaining())


_current: ContextVar[Sequence[RequestContext]] = ContextVar("praxis_remote_requests")


def current_request() -> RequestContext:
    """Returns the request that the calling policy method works on.

    Raises:
        LookupError: There is none: this is not called from within
            ``predict_action`` or ``reset`` of a policy that is being served. Or there are
            several, which were joined: see `current_requests`.
    """
    requests = current_requests()
    if len(requests) > 1:
        raise LookupError(
            f"current_request(): {len(requests)} requests were joined (max_batch_size); "
            "current_requests() returns them all, each with the rows of the batch that are its"
        )
    return requests[0]


def current_requests() -> Sequence[RequestContext]:
    """Returns the requests that the calling policy method works on: several if joined.

    Raises:
        LookupError: There is none, as for `current_request`.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError(
            "current_request() and current_requests() work only inside predict_action and reset "
            "of a served policy, on the thread that the server calls them from"
        ) from None


class CurrentRequests:
    """Makes these the current requests for the time of a with block."""

    def __init__(self, contexts: Sequence[RequestContext]) -> None:
        self._contexts = contexts

    def __enter__(self) -> None:
        self._token = _current.set(self._contexts)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
