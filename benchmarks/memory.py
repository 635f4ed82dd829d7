# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What large calls take of memory: one while it runs and when it is over, and several."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.pairs import PAIRS, Pair, Running
from benchmarks.payloads import payload
from benchmarks.peers.client import Limit
from benchmarks.rounds import Progress

_ONCE, _AGAIN = Limit(least=1, most=1, seconds=0), Limit(least=9, most=9, seconds=0)

SMALL, LARGE = "state", "60MB"
SIDES = ("client", "server")

# Memory that is kept for the next call is given back by then.
SETTLE_SECONDS = 3.0


def measure(
    pairs: Sequence[str], rounds: int, progress: Progress, large: str = LARGE
) -> list[dict[str, Any]]:
    """Returns the peaks of both sides after one call and after ten, and what then remains.

    All are shares of the message. A peak of ten that is higher than that of one tells
    that messages are kept for longer than their calls.

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
    """Returns the shares of one call, of nine more, and of none."""
    with Running(pair) as running:
        running.server.ask("answer", name=SMALL)
        running.client.ask("check", name=SMALL)
        running.server.ask("answer", name=large)
        running.client.ask("prepare", name=large)
        before = _usage(running)
        for process in (running.client, running.server):
            process.ask("reset_peak")
        running.client.ask("measure", name=large, **_ONCE._asdict())
        after = _usage(running)
        running.client.ask("measure", name=large, **_AGAIN._asdict())
        in_the_end = _usage(running)
        time.sleep(SETTLE_SECONDS)
        settled = _usage(running)
    shares: dict[str, float | None] = {}
    for side in SIDES:
        start = before[side]["resident"] or before[side]["peak"]
        shares[f"{side}_peak"] = _share(after[side]["peak"], start, large)
        shares[f"{side}_remains"] = _share(settled[side]["resident"], start, large)
        shares[f"{side}_peak_of_10"] = _share(in_the_end[side]["peak"], start, large)
    return shares


def _usage(running: Running) -> dict[str, dict[str, Any]]:
    processes = dict(zip(SIDES, (running.client, running.server), strict=True))
    return {side: process.ask("usage") for side, process in processes.items()}


def _share(memory: int | None, start: int, large: str) -> float | None:
    return None if memory is None else (memory - start) / payload(large).bytes


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
