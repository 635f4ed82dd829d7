# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Call a robot policy on another machine: observations go over, an action comes back."""

from __future__ import annotations

from . import errors
from .async_client import AsyncPolicyClient
from .batching import StackedObservations
from .client import PolicyClient
from .context import RequestContext, current_request, current_requests
from .errors import RemoteError
from .limits import Limits
from .protocol import BatchedPolicyHandler, PolicyHandler
from .records import CallObserver, CallRecord
from .serialization import build_observation
from .server import PolicyServer
from .stage import Stage
from .status import ServerStatus
from .timing import CallTiming, ServerTiming
from .tls import ClientTLS, ServerTLS
from .types import Observation, ObservationValue, PolicyKwargValue
from .version import __version__

__all__ = [
    "AsyncPolicyClient",
    "BatchedPolicyHandler",
    "CallObserver",
    "CallRecord",
    "CallTiming",
    "ClientTLS",
    "Limits",
    "Observation",
    "ObservationValue",
    "PolicyClient",
    "PolicyHandler",
    "PolicyKwargValue",
    "PolicyServer",
    "RemoteError",
    "RequestContext",
    "ServerStatus",
    "ServerTLS",
    "ServerTiming",
    "StackedObservations",
    "Stage",
    "__version__",
    "build_observation",
    "current_request",
    "current_requests",
    "errors",
]
