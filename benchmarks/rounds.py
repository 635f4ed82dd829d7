# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Measures pairs in turn, several times.

A round starts every pair anew, in processes of its own, and goes through the
payloads; each payload is measured with one pair after the other before the next one
comes. So a machine that is slow for a while is slow for all pairs alike, and what
differs from process to process (memory layout, hash seeds) is averaged over rounds.
Each round begins with another pair, so that none always follows the same neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.pairs import PAIRS, Pair, Running
from benchmarks.payloads import payload
from benchmarks.peers.client import Limit

Progress = Callable[[str], None]

# Of the calls and of the time, what is spent before anything is measured.
_WARM_SHARE = 5


@dataclass(frozen=True)
class Sample:
    """What one round measured of one pair and payload.

    Attributes:
        times: Seconds of each call.
        client_cpu: Seconds of CPU for each call.
        server_cpu: Seconds of CPU for each call.
        client_peak: Bytes.
        server_peak: Bytes.
    """

    round: int
    pair: str
    payload: str
    times: tuple[float, ...]
    client_cpu: float
    server_cpu: float
    client_peak: int
    server_peak: int


@dataclass(frozen=True)
class Study:
    """Payloads that are measured with the same pairs, for the same time."""

    name: str
    pairs: tuple[str, ...]
    payloads: tuple[str, ...]
    limit: Limit


def measure(
    studies: Sequence[Study],
    rounds: int,
    progress: Progress,
    pairs: Mapping[str, Pair] = PAIRS,
) -> list[Sample]:
    """Returns a sample for each round, pair and payload."""
    samples = []
    names = list(dict.fromkeys(pair for study in studies for pair in study.pairs))
    for number in range(rounds):
        with ExitStack() as stack:
            running = {name: stack.enter_context(Running(pairs[name])) for name in names}
            for name, study in _steps(studies):
                progress(f"round {number + 1} of {rounds}: {name}")
                for pair in _rotated(study.pairs, number):
                    if not number:
                        running[pair].check(name)
                    sample = measure_one(running[pair], name, study.limit)
                    samples.append(Sample(number, pair, name, **sample))
    return samples


def _steps(studies: Sequence[Study]) -> list[tuple[str, Study]]:
    """Returns all payloads, small ones first: they shall not pay for what large ones leave."""
    steps = [(name, study) for study in studies for name in study.payloads]
    return sorted(steps, key=lambda step: payload(step[0]).bytes)


def measure_one(running: Running, name: str, limit: Limit) -> dict[str, Any]:
    """Returns a sample's figures."""
    client, server = running.client, running.server
    server.ask("answer", name=name)
    client.ask("measure", name=name, **_warm(limit)._asdict())
    for process in (client, server):
        process.ask("reset_peak")
    before = server.ask("usage")["cpu"]
    measured = client.ask("measure", name=name, **limit._asdict())
    usage = server.ask("usage")
    calls = len(measured["times"])
    return {
        "times": tuple(measured["times"]),
        "client_cpu": measured["cpu"] / calls,
        "server_cpu": (usage["cpu"] - before) / calls,
        "client_peak": client.ask("usage")["peak"],
        "server_peak": usage["peak"],
    }


def _warm(limit: Limit) -> Limit:
    return Limit(1, -(-limit.most // _WARM_SHARE), limit.seconds / _WARM_SHARE)


def _rotated(names: Sequence[str], number: int) -> list[str]:
    start = number % len(names)
    return [*names[start:], *names[:start]]
