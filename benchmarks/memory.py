# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a large call takes of memory, while it runs and when it is over."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.pairs import PAIRS, Pair, Running
from benchmarks.payloads import payload
from benchmarks.peers.client import Limit
from benchmarks.rounds import Progress

_ONCE = Limit(least=1, most=1, seconds=0)

SMALL, LARGE = "state", "60MB"
SIDES = ("client", "server")


def measure(
    pairs: Sequence[str], rounds: int, progress: Progress, large: str = LARGE
) -> list[dict[str, Any]]:
    """Returns peak and remainder of both sides, as shares of the message.

    Fresh processes each time, after a small call, so that connections and imports do
    not count. The client's batch was there before as well.
    """
    found = []
    for name in pairs:
        progress(f"memory: {name}")
        runs = [run(PAIRS[name], large) for _ in range(rounds)]
        shares = {key: _median([each[key] for each in runs]) for key in runs[0]}
        found.append({"pair": name, "payload": large, **shares})
    return found


def run(pair: Pair, large: str) -> dict[str, float | None]:
    """Returns the shares of one call."""
    size = payload(large).bytes
    with Running(pair) as running:
        processes = dict(zip(SIDES, (running.client, running.server), strict=True))
        running.server.ask("answer", name=SMALL)
        running.client.ask("check", name=SMALL)
        running.server.ask("answer", name=large)
        running.client.ask("prepare", name=large)
        for process in processes.values():
            process.ask("reset_peak")
        before = {side: process.ask("usage") for side, process in processes.items()}
        running.client.ask("measure", name=large, **_ONCE._asdict())
        after = {side: process.ask("usage") for side, process in processes.items()}
    shares: dict[str, float | None] = {}
    for side in SIDES:
        shares[f"{side}_peak"] = (after[side]["peak"] - before[side]["peak"]) / size
        remains = None
        if before[side]["resident"] is not None:
            remains = (after[side]["resident"] - before[side]["resident"]) / size
        shares[f"{side}_remains"] = remains
    return shares


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
