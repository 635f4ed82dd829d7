# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Many callers at once: what a server does for all of them, and how fairly."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.closing import Closing
from benchmarks.figures import ratio
from benchmarks.pairs import PAIRS, Pair, Running
from benchmarks.rounds import Progress

# Time for everyone to hear of the start.
_HEAD_START = 0.1

MODES = ("threads", "processes")
REFERENCE = "published"


def measure(
    pairs: Sequence[str],
    payloads: dict[str, float],
    rounds: int,
    progress: Progress,
    callers: int,
) -> list[dict[str, Any]]:
    """Returns throughput and fairness for each mode, payload and pair.

    Args:
        pairs: Who is measured, in turn.
        payloads: How long each payload is measured.
        rounds: How often; each with processes of its own.
        progress: Is told what happens.
        callers: Threads that share a client, or processes with a client each.
    """
    counts: dict[tuple[str, str, str], list[list[int]]] = {}
    for number in range(rounds):
        for mode in MODES if pairs else ():
            with ExitStack() as stack:
                crowds = {
                    name: stack.enter_context(Crowd(PAIRS[name], mode, callers)) for name in pairs
                }
                for payload, seconds in payloads.items():
                    progress(f"round {number + 1} of {rounds}: {callers} {mode}, {payload}")
                    for name, crowd in crowds.items():
                        found = counts.setdefault((mode, payload, name), [])
                        found.append(crowd.run(payload, seconds))
    rows = [
        {
            "mode": mode,
            "payload": payload,
            "pair": name,
            "callers": callers,
            **summary(found, payloads[payload]),
        }
        for (mode, payload, name), found in counts.items()
    ]
    return [{**row, "ratio_to": _ratio(row, rows)} for row in rows]


def summary(counts: Sequence[Sequence[int]], seconds: float) -> dict[str, Any]:
    """Returns the median throughput of rounds, and the calls of each caller over all."""
    each = [sum(caller) for caller in zip(*counts, strict=True)]
    return {
        "calls_per_s": statistics.median(sum(found) / seconds for found in counts),
        "calls_per_s_by_round": [sum(found) / seconds for found in counts],
        "fewest_calls": min(each),
        "most_calls": max(each),
    }


def _ratio(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns how the throughput compares, where the reference got anything done at all."""
    key = "calls_per_s_by_round"
    for other in rows:
        same = (other["mode"], other["payload"]) == (row["mode"], row["payload"])
        if same and other["pair"] == REFERENCE and all(other[key]):
            return {REFERENCE: ratio(row[key], other[key])}
    return {}


class Crowd(Closing):
    """A server, and callers that are ready to begin together."""

    def __init__(self, pair: Pair, mode: str, callers: int) -> None:
        self._threads = callers if mode == "threads" else 1
        with ExitStack() as stack:
            running = stack.enter_context(Running(pair))
            self._server = running.server
            self._clients = [running.client]
            for _ in range(0 if mode == "threads" else callers - 1):
                self._clients.append(stack.enter_context(pair.client.start()))
            for client in self._clients[1:]:
                client.ask("connect", address=running.address)
            self._stack = stack.pop_all()

    def run(self, payload: str, seconds: float) -> list[int]:
        """Returns how many calls each caller got done."""
        self._server.ask("answer", name=payload)
        for client in self._clients:
            client.ask("check", name=payload)
        begin = time.monotonic() + _HEAD_START
        order = {"threads": self._threads, "begin": begin, "end": begin + seconds}
        for client in self._clients:
            client.send("crowd", name=payload, **order)
        return [count for client in self._clients for count in client.receive()]

    def close(self) -> None:
        """Ends all processes."""
        self._stack.close()
