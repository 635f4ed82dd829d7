# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The standard health service, with which load balancers and probes ask a server.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

from . import wire
from .calls import PREDICT, Deadline
from .errors import InvalidArgumentError, RemoteError, StatusCode
from .framing import Segments
from .http2 import StreamCall
from .readiness import Readiness
from .schema.generated_health import (
    HealthBase,
    HealthCheckRequest,
    HealthCheckResponse,
    HealthCheckResponseServingStatus,
    HealthListRequest,
    HealthListResponse,
)

__all__ = ["CHECK", "LIST", "WATCH", "Health"]

CHECK, LIST, WATCH = HealthBase().__mapping__()

Status = HealthCheckResponseServingStatus

# The server as a whole, and what it is there for.
_SERVICES = ("", PREDICT.path.split("/")[1])


class Health:
    """Tells whether calls may be sent to the policy.

    Args:
        readiness: What is known of that.
    """

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def _status(self, service: str) -> HealthCheckResponse:
        status = Status.SERVING if self._readiness.ready else Status.NOT_SERVING
        known = service in _SERVICES
        return HealthCheckResponse(status=status if known else Status.SERVICE_UNKNOWN)

    async def check(
        self, request: HealthCheckRequest, deadline: Deadline | None
    ) -> HealthCheckResponse:
        """Answers for one service.

        Raises:
            RemoteError: It is not known, or the policy did not answer in time.
        """
        if request.service not in _SERVICES:
            raise RemoteError(
                f"service: {request.service[:200]!r}; this server has "
                + " and ".join(map(repr, _SERVICES)),
                status=StatusCode.NOT_FOUND,
            )
        await self._readiness.ask(deadline)
        return self._status(request.service)

    async def list(self, _: HealthListRequest, deadline: Deadline | None) -> HealthListResponse:
        """Answers for all services."""
        await self._readiness.ask(deadline)
        return HealthListResponse(statuses={name: self._status(name) for name in _SERVICES})

    async def watch(self, call: StreamCall) -> Segments:
        """Answers for one service now, and again whenever it changes, until the server stops."""
        message = await call.receive()
        if message is None:
            raise InvalidArgumentError("the call ended without a request message")
        service = wire.read_message(HealthCheckRequest, message).service
        last = None
        with self._readiness.watching(call.wake):
            while True:
                status = wire.write_message(self._status(service))
                if status != last:
                    await call.reply(status)
                    last = status
                else:
                    call.check_draining()
                    await call.pause()
