# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The figures of a run, as programs read them: numbers, text, None, and never NaN."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..version import __version__
from .cpu import CpuUse, cores
from .load import Recording
from .percentiles import percentiles
from .plan import Plan
from .samples import PHASES, Numbers

__all__ = ["SCHEMA", "Asked", "ClientLoad", "Failed", "Latency", "Summary", "summarize"]

SCHEMA = 1
"""Rises when a field changes its meaning or goes away."""

# Above this share of a core an interpreter has no more to give, whoever waits for it.
_FULL = 0.85

# Above this share of the time of calls, what they measure is the wait for a core.
_STARVED = 0.1


@dataclass(frozen=True)
class Latency:
    """How long something took, in milliseconds: percentiles by nearest rank, and the mean."""

    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float
    mean: float

    @classmethod
    def of(cls, seconds: Numbers) -> Latency | None:
        """Returns the figures of some times; None if there are none."""
        if not len(seconds):
            return None
        ms = seconds * 1e3
        return cls(max=float(ms.max()), mean=float(ms.mean()), **percentiles(ms))


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Attributes:
        payload: Its name.
        observations: How many each call sends.
        request_bytes: The length of the request's message.
        loop: ``"closed"`` if each client calls when its call before has ended, ``"open"``
            if calls are due at a rate.
        latency_from: From when latency counts: ``"call"`` or ``"due time"``.
        concurrency: How many clients.
        processes: How many processes they shared.
        calls: How many calls; None for no limit.
        duration_s: For how many seconds; None for no limit.
        rate: Calls a second; None in a closed loop.
        warmup_s: For how many seconds each client called before.
        episodes: Whether clients sent ids.
    """

    payload: str
    observations: int
    request_bytes: int
    loop: str
    latency_from: str
    concurrency: int
    processes: int
    calls: int | None
    duration_s: float | None
    rate: float | None
    warmup_s: float
    episodes: bool


@dataclass(frozen=True)
class Failed:
    """Calls that ended with one status.

    Attributes:
        count: How many.
        example: What the first of them said.
    """

    count: int
    example: str


@dataclass(frozen=True)
class ClientLoad:
    """How busy those who called were.

    Attributes:
        busiest: The share of one core that the busiest process took; its threads share one
            interpreter, so that much above 1 is out of reach.
        cores: How many cores all processes took together.
        available: How many there are.
        starved: Of the time of calls, the share that the clients could have run and had
            no core; None where the system does not say.
        was_the_limit: Whether the figures are rather the client's than the server's.
    """

    busiest: float
    cores: float
    available: int
    starved: float | None
    was_the_limit: bool

    @classmethod
    def of(cls, uses: Sequence[CpuUse], called: float, available: int) -> ClientLoad:
        """Returns how busy clients were.

        Args:
            uses: What each of their processes took.
            called: Seconds of all calls together.
            available: How many cores there are.
        """
        shares = [use.cpu / use.wall if use.wall else 0.0 for use in uses]
        busiest, together = max(shares, default=0.0), sum(shares)
        waits = [use.waited for use in uses if use.waited is not None]
        starved = sum(waits) / called if waits and called else None
        full = busiest >= _FULL or together >= _FULL * available
        limit = full or (starved or 0.0) >= _STARVED
        return cls(busiest, together, available, starved, limit)


@dataclass(frozen=True)
class Summary:
    """A run, whole.

    Attributes:
        schema: See `SCHEMA`.
        version: Of praxis-remote.
        python: Of the clients.
        address: Who was called.
        policy: What it says of itself.
        asked: What was asked for.
        calls: How many went well; all figures but ``failed`` are of these.
        failed: The others, by the name of their status.
        cut_off: How many were cut off because the run was stopped.
        not_begun: In an open loop: how many calls were due before the duration was over,
            and had not begun by then. They are in no other figure.
        stopped: Whether it was stopped before its end.
        seconds: From the beginning to the end of the last call.
        calls_per_s: How many went well each second.
        request_mb_per_s: Megabytes (10^6 bytes) of their requests each second.
        response_mb_per_s: The same of their actions.
        latency_ms: Of whole calls; None if none went well.
        phases_ms: Of each part of a call; None where nobody told, as servers before 0.2 do
            not of theirs (it is in ``network`` then).
        late_ms: In an open loop: from when calls were due until they began.
        behind: In an open loop: the share of calls whose client was still busy when not
            only they but the ones after them were due.
        client: How busy the clients were.
    """

    schema: int
    version: str
    python: str
    address: str
    policy: str
    asked: Asked
    calls: int
    failed: dict[str, Failed]
    cut_off: int
    not_begun: int
    stopped: bool
    seconds: float
    calls_per_s: float
    request_mb_per_s: float
    response_mb_per_s: float
    latency_ms: Latency | None
    phases_ms: dict[str, Latency | None]
    late_ms: Latency | None
    behind: float | None
    client: ClientLoad

    def as_dict(self) -> dict[str, Any]:
        """Returns what `json.dumps` takes."""
        return asdict(self)


def summarize(plan: Plan, found: Recording, address: str, policy: str) -> Summary:
    """Returns the figures of what was recorded.

    Args:
        plan: What was to be done.
        found: What was recorded.
        address: Who was called.
        policy: What it says of itself.
    """
    samples, asked = found.samples, _asked(plan)
    per_second = samples.count / found.seconds if found.seconds else 0.0
    late = samples.column("late")
    period = None if plan.rate is None else plan.concurrency / plan.rate
    return Summary(
        schema=SCHEMA,
        version=__version__,
        python=platform.python_version(),
        address=address,
        policy=policy,
        asked=asked,
        calls=samples.count,
        failed={
            status: Failed(count, found.examples[status])
            for status, count in found.failed.most_common()
        },
        cut_off=found.cut_off,
        not_begun=found.not_begun,
        stopped=found.stopped,
        seconds=found.seconds,
        calls_per_s=per_second,
        request_mb_per_s=per_second * asked.request_bytes / 1e6,
        response_mb_per_s=samples.response_bytes / found.seconds / 1e6 if found.seconds else 0.0,
        latency_ms=_exact(found),
        phases_ms={name: Latency.of(_told(samples.column(name))) for name in PHASES},
        late_ms=None if period is None else Latency.of(late),
        behind=None if period is None or not len(late) else float((late > period).mean()),
        client=_client_load(found),
    )


def _asked(plan: Plan) -> Asked:
    return Asked(
        payload=plan.payload.name,
        observations=len(plan.payload.batch),
        request_bytes=plan.payload.request_bytes,
        loop="closed" if plan.rate is None else "open",
        latency_from="call" if plan.rate is None else "due time",
        concurrency=plan.concurrency,
        processes=len(plan.shares()),
        calls=plan.calls,
        duration_s=plan.duration,
        rate=plan.rate,
        warmup_s=plan.warmup,
        episodes=plan.episodes,
    )


def _client_load(found: Recording) -> ClientLoad:
    called = sum(worker.called for worker in found.workers)
    return ClientLoad.of([worker.use for worker in found.workers], called, cores())


def _exact(found: Recording) -> Latency | None:
    """Returns the latency, with mean and most of all calls where only some were kept."""
    samples = found.samples
    latency = Latency.of(samples.column("latency"))
    if latency is None:
        return None
    mean, most = samples.latency_sum / samples.count, samples.latency_max
    return Latency(**{**asdict(latency), "mean": mean * 1e3, "max": most * 1e3})


def _told(values: Numbers) -> Numbers:
    told: Numbers = values[~np.isnan(values)]
    return told
