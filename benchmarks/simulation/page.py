# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The parts of docs/explanation/scaling.md that are made of results, between markers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import pages
from benchmarks.pages import table
from benchmarks.payloads import TITLES
from benchmarks.simulation.costs import PAYLOADS
from benchmarks.simulation.results import KINDS, Results, one
from benchmarks.simulation.study import (
    CROWD_REPLICAS,
    CROWDS,
    PAYLOAD,
    PER_REPLICA,
    PLAIN_PER_REPLICA,
    REPLICAS,
)
from benchmarks.tables import number

COMMAND = "make simulate"

_GBIT = 8e-9
_SHOWN = (1, 10, 100, 1000)
_MOST = REPLICAS[-1]

_PLACEMENTS = {
    "least": "fewest sessions",
    "hash": "hash of the session",
    "episode": "hash of the episode",
    "ring": "hash of the session, ring of 1,024 points",
}


def update(path: Path, results: Results) -> None:
    """Writes all parts anew."""
    for name, render in PARTS.items():
        pages.update(path, COMMAND, name, render(results))


# ---------------------------------------------------------------- the parts


def _summary(results: Results) -> str:
    direct, few = one(results, "placement", "least", _MOST), one(results, "placement", "least", 1)
    lines = [
        f"- {_MOST:,} replicas do {direct['calls_per_s']:,.0f} calls a second where one does "
        f"{few['calls_per_s']:.0f}: {direct['calls_per_s'] / few['calls_per_s']:,.0f} times as "
        f"many. The slowest of 1,000 calls takes {_ms(direct['p999'])} ms instead of "
        f"{_ms(few['p999'])}.",
    ]
    for kind, title in KINDS.items():
        full = results["full_at"][kind][PAYLOAD]
        count = one(results, "front", f"{kind}-enough", _MOST)["processes"]
        lines.append(
            f"- One process ({title}) is full at {full:,.0f} calls a second, those of "
            f"{full / few['calls_per_s']:.0f} such replicas. {_MOST:,} need {count}."
        )
    size = results["payloads"][PAYLOAD]["bytes"]
    lines.append(
        f"- {_MOST:,} replicas take {direct['calls_per_s'] * size * _GBIT:,.0f} Gbit/s of cameras. "
        f"A port of 100 Gbit/s, which all calls of a front pass, carries "
        f"{100 / (size * _GBIT):,.0f} calls a second."
    )
    return "\n".join(lines) + "\n"


def _costs(results: Results) -> str:
    kinds = list(KINDS)
    head = ["CPU of a call, ms", "server", *(KINDS[kind] for kind in kinds)]
    head += [f"calls/s that fill 1 process: {KINDS[kind]}" for kind in kinds]
    rows = []
    for name in PAYLOADS:
        costs = results["payloads"][name]
        cpu = [costs["server"]["busy"], *(costs["fronts"][kind]["busy"] for kind in kinds)]
        full = [f"{results['full_at'][kind][name]:,.0f}" for kind in kinds]
        rows.append([TITLES[name], *map(_ms, cpu), *full])
    about = results["machine"]
    return (
        f"{table(head, rows)}\n\nA new connection costs the server "
        f"{_ms(results['connection'])} ms.\nMeasured {results['date']} on {about['cpu']}, "
        f"{about['cores']} cores, {about['os']}, {about['kernel']}.\n"
    )


def _replicas(results: Results) -> str:
    head = ["replicas", "clients", "calls/s", "p50, ms", "p99", "p99.9"]
    head += [f"processes: {title}" for title in KINDS.values()]
    head += [f"p99 with these, {title}" for title in KINDS.values()]
    rows = []
    for replicas in _SHOWN:
        row = one(results, "placement", "least", replicas)
        fronts = [one(results, "front", f"{kind}-enough", replicas) for kind in KINDS]
        rows.append(
            [f"{replicas:,}", f"{replicas * PER_REPLICA:,}", f"{row['calls_per_s']:,.0f}"]
            + [_ms(row[key]) for key in ("p50", "p99", "p999")]
            + [str(front["processes"]) for front in fronts]
            + [_ms(front["p99"]) for front in fronts]
        )
    return table(head, rows) + "\n"


def _one_front(results: Results) -> str:
    head = ["replicas behind 1 process"]
    for title in KINDS.values():
        head += [f"{title}: calls/s", "busy", "p50, ms", "p99"]
    rows = []
    for replicas in (5, 10, 20, 50, 100, _MOST):
        cells = [f"{replicas:,}"]
        for kind in KINDS:
            row = one(results, "front", f"{kind}-one", replicas)
            cells += [f"{row['calls_per_s']:,.0f}", f"{min(1.0, row['front']):.0%}"]
            cells += [_ms(row["p50"]), _ms(row["p99"])]
        rows.append(cells)
    return table(head, rows) + "\n"


def _placement(results: Results) -> str:
    head = [f"{_MOST:,} replicas", "batches: calls/s", "p99, ms", "p99.9"]
    head += ["no batches: calls/s", "p99, ms", "p99.9"]
    rows = []
    for placement, title in _PLACEMENTS.items():
        cells = [title]
        for study in ("placement", "plain"):
            row = one(results, study, placement, _MOST)
            cells += [f"{row['calls_per_s']:,.0f}", _ms(row["p99"]), _ms(row["p999"])]
        rows.append(cells)
    note = f"{PER_REPLICA} clients for each replica with batches, {PLAIN_PER_REPLICA} without."
    return f"{table(head, rows)}\n\n{note}\n"


def _crowd(results: Results) -> str:
    head = ["clients of a replica", "no batches: calls/s", "p99, ms"]
    head += ["batches: calls/s", "p99, ms", "calls in a batch"]
    rows = []
    for clients in CROWDS:
        plain, joined = (one(results, "crowd", name, clients) for name in ("plain", "batches"))
        cells = [str(clients)]
        for row in (plain, joined):
            cells += [number(row["calls_per_s"] / CROWD_REPLICAS), _ms(row["p99"])]
        rows.append([*cells, number(joined["batch"])])
    return table(head, rows) + "\n"


def _validation(results: Results) -> str:
    head = ["payload", "replicas", "clients", "policy, ms", "step, ms"]
    head += ["calls/s", "p50, ms", "p99, ms", "simulated: calls/s", "p50", "p99"]
    rows = []
    for row in results["validation"]:
        rows.append(
            [row["payload"], str(row["replicas"]), str(row["clients"])]
            + [f"{row[key] * 1e3:g}" for key in ("policy", "step")]
            + [number(row["calls_per_s"]), _ms(row["p50"]), _ms(row["p99"])]
            + [f"{row['error'][key]:+.0%}" for key in ("calls_per_s", "p50", "p99")]
        )
    return table(head, rows) + "\n"


PARTS: dict[str, Callable[[Results], str]] = {
    "summary": _summary,
    "costs": _costs,
    "replicas": _replicas,
    "one front": _one_front,
    "placement": _placement,
    "crowd": _crowd,
    "validation": _validation,
}


def _ms(seconds: float) -> str:
    return number(seconds * 1e3)
