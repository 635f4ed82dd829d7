# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What to do: whom to call, with what, how often and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .pace import Pace
from .payloads import Payload

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """All of a run that is known before it.

    Attributes:
        client: Arguments of each `PolicyClient`. They must be picklable.
        payload: What each call sends.
        concurrency: How many clients call at once, each on a connection of its own.
        processes: Among how many processes they are dealt, at most one for each client.
        calls: How many calls to make in all; None for as many as the duration allows.
        duration: For how many seconds to begin calls; None until all are made.
        rate: How many calls a second shall begin, whether or not those before have
            ended; None has each client call again when its call has ended.
        warmup: For how many seconds each client calls before what is measured; it calls
            at least once, unless they are 0.
        episodes: Whether each client sends ids of its own.
    """

    client: Mapping[str, Any]
    payload: Payload
    concurrency: int = 1
    processes: int = 1
    calls: int | None = None
    duration: float | None = None
    rate: float | None = None
    warmup: float = 0.0
    episodes: bool = False

    def pace(self, index: int) -> Pace:
        """Returns when a client's calls are due."""
        return Pace(index, self.concurrency, self.calls, self.duration, self.rate)

    def episode_ids(self, index: int) -> list[str] | None:
        """Returns what a client sends as the episode of each observation."""
        if not self.episodes:
            return None
        return [f"bench-{index}-{row}" for row in range(len(self.payload.batch))]

    def shares(self) -> list[range]:
        """Returns the clients of each process."""
        count = min(self.processes, self.concurrency)
        return [range(first, self.concurrency, count) for first in range(count)]
