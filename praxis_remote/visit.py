# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A call on the policy's thread: what the policy may learn of it, and what its errors become."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from .context import CurrentRequests, RequestContext
from .errors import HandlerError, InvalidArgumentError, RemoteError
from .http2 import ServerCall
from .logs import Event, event
from .tracing import RequestTrace, may_trace, trace_request

log = logging.getLogger("praxis_remote.server")

T = TypeVar("T")

_TEXTS: dict[Event, str] = {
    "policy_failed": "%s: the policy's %s failed",
    "policy_rejected": "%s: the policy's %s rejected a request",
}


def trace_call(call: ServerCall) -> RequestTrace | None:
    """Returns a call's span; None where the program does not trace it."""
    try:
        return trace_request(call.path, call.peer, call.metadata, call.marks[0])
    except Exception:  # of a span processor; it shall not cost the call
        log.exception("the span of a call could not be made", extra=event("unforeseen"))
        return None


class Visit:
    """A call that a method of the policy is called for.

    Args:
        call: The call.
        method: The method's name.
        rows: Of the policy's batch that are the call's.

    Attributes:
        call: The call.
        context: What the policy may learn of it.
    """

    def __init__(self, call: ServerCall, method: str, rows: range = range(0)) -> None:
        self.call = call
        self.context = RequestContext(call.metadata, call.peer, call.deadline, call.marks, rows)
        self._method = method
        call.trace = trace_call(call) if may_trace() else None

    def begin(self) -> None:
        """Takes note that the policy begins on it."""
        self.call.ran = True
        self.call.mark()

    def span(self) -> AbstractContextManager[None]:
        """Has the spans that the policy makes belong to the call's own."""
        return nullcontext() if self.call.trace is None else self.call.trace.current()

    def run(self, function: Callable[[], T]) -> T:
        """Calls the policy for this call alone, and turns what it raises into a status."""
        self.begin()
        reached = len(self.call.marks)
        with CurrentRequests((self.context,)):
            try:
                if self.call.trace is None:
                    return function()
                with self.span():
                    return function()
            except RemoteError as error:
                at_fault = error.status is InvalidArgumentError.status
                self._log("policy_rejected" if at_fault else "policy_failed")
                raise
            except (TypeError, ValueError) as error:
                self._log("policy_rejected")
                raise InvalidArgumentError(str(error) or type(error).__name__) from error
            except BaseException as error:
                self._log("policy_failed")
                raise HandlerError(str(error) or type(error).__name__) from error
            finally:
                if len(self.call.marks) == reached:
                    self.call.mark()

    def _log(self, name: Event) -> None:
        fields = event(name, peer=self.call.peer, path=self.call.path, method=self._method)
        log.exception(_TEXTS[name], self.call.peer, self._method, extra=fields)
