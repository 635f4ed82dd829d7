# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a server does at the moment, and has done."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from .episodes import Reason
from .errors import StatusCode
from .stage import Stage


class ServerStatus(NamedTuple):
    """A server at one moment.

    Attributes:
        stage: How far it has come, from STARTING to DRAINING.
        uptime: Seconds since it was made.
        connections: That are open.
        in_flight: Calls that have begun and not ended.
        waiting: Of these, how many wait for the policy.
        held_bytes: Of the messages of calls in flight, and of memory that clients share.
        request_bytes: Of all messages that were received.
        response_bytes: Of all messages that were sent.
        counts: How many calls of each path ended with each status.
        episodes: That the policy may remember, where the server ends them by itself.
        ended_episodes: How many it has ended, for each reason.
    """

    stage: Stage
    uptime: float
    connections: int
    in_flight: int
    waiting: int
    held_bytes: int
    request_bytes: int
    response_bytes: int
    counts: Mapping[tuple[str, StatusCode], int]
    episodes: int = 0
    ended_episodes: Mapping[Reason, int] = MappingProxyType({})
