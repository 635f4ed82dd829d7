# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What joining the calls of several clients gains: rate and latency with and without it.

The first policy takes the same time for any batch, as a GPU does for small ones: it waits. The
second is a small CNN on this machine's processor (PyTorch, if it is installed: ``pip install
torch``). All clients are in one process, which shares the machine's cores with the server.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, pages
from benchmarks.figures import percentile
from benchmarks.options import positive_number, positive_seconds
from benchmarks.pairs import OPENPI, PUBLISHED, Peer
from benchmarks.process import PeerError
from benchmarks.results import rounded
from benchmarks.rounds import Progress
from benchmarks.tables import number, table
from tools.environments import InstallError, UnreachableError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "batching.json"
PAGE = ROOT / "docs" / "explanation" / "scaling.md"
COMMAND = "make batching"

# Of the time, what passes until all are at it.
RAMP = 0.2

_JOINED = {"max_batch_size": 64}


@dataclass(frozen=True)
class Variant:
    """A way to serve a policy to many clients.

    Attributes:
        title: What readers see.
        server: Who serves.
        client: Whose clients call.
        options: Of the server.
        most: Clients; more of those that wait for each other would tell nothing new.
    """

    title: str
    server: Peer
    client: Peer
    options: Mapping[str, Any] = field(default_factory=dict)
    most: int = 64


_WAITING, _MANY, _CNN = Peer("waiting"), Peer("waiting_async"), Peer("cnn")
_PUBLISHED = Peer("waiting", PUBLISHED.environment, PUBLISHED.requirements, PUBLISHED.version)
_OPENPI = Peer("waiting_openpi", OPENPI.environment, OPENPI.requirements)

VARIANTS = {
    "batches": Variant("this, max_batch_size=64", _WAITING, _MANY, _JOINED),
    "plain": Variant("this, one call at a time", _WAITING, _MANY),
    "published": Variant("0.1.1", _PUBLISHED, _PUBLISHED, most=8),
}
if sys.version_info < (3, 13):
    VARIANTS["openpi"] = Variant("openpi-client", _OPENPI, _OPENPI, most=8)

NETWORKS = {
    "stacked": Variant("batches, stacked by the server", _CNN, _MANY, {**_JOINED, "batched": True}),
    "batches": Variant("batches, stacked by the policy", _CNN, _MANY, _JOINED),
    "plain": Variant("one call at a time", _CNN, _MANY),
}


@dataclass(frozen=True)
class Study:
    """A policy, and who serves it to how many.

    Attributes:
        name: Of the policy.
        payload: What each client sends.
        seconds: What a call of the policy waits; None for one that computes.
        variants: Ways to serve it.
        clients: How many.
    """

    name: str
    payload: str
    seconds: float | None
    variants: Mapping[str, Variant]
    clients: Sequence[int]


_OURS = {name: VARIANTS[name] for name in ("batches", "plain")}
_CLIENTS = (1, 8, 64)

STUDIES = [
    Study("waits 10 ms", "state", 0.01, _OURS, _CLIENTS),
    Study("waits 20 ms", "state", 0.02, VARIANTS, _CLIENTS),
    Study("waits 50 ms", "state", 0.05, _OURS, _CLIENTS),
    Study("CNN", "2x224", None, NETWORKS, (1, 8, 16)),
]


def measure(
    studies: Sequence[Study], seconds: float, rounds: int, progress: Progress
) -> list[dict[str, Any]]:
    """Returns a row for each policy, way to serve it, and number of clients.

    Of several rounds it is the one in which most was done: what else the machine does only
    ever takes from it.
    """
    found = []
    for turn in range(rounds):
        progress(f"round {turn + 1} of {rounds}")
        rows = [
            row
            for study in studies
            for name, variant in study.variants.items()
            for row in _rows(study, name, variant, seconds, progress)
        ]
        found.append(rows)
    best = [
        max(rows, key=lambda row: float(row["calls_per_s"])) for rows in zip(*found, strict=True)
    ]
    return compared(best)


def compared(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows with what each is of that of one client."""
    one = {(row["policy"], row["variant"]): row for row in rows if row["clients"] == 1}
    return [
        {
            **row,
            "times_the_rate": row["calls_per_s"] / alone["calls_per_s"],
            "p99_to_one": row["p99"] / alone["p50"],
        }
        for row in rows
        for alone in [one[row["policy"], row["variant"]]]
    ]


def _rows(
    study: Study, name: str, variant: Variant, seconds: float, progress: Progress
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    waits = {} if study.seconds is None else {"seconds": study.seconds}
    with variant.server.start() as server:
        address = server.ask("serve", options=json.dumps(variant.options), **waits)
        for clients in (each for each in study.clients if each <= variant.most):
            progress(f"{study.name}, {variant.title}: {clients} clients")
            with variant.client.start() as crowd:
                crowd.ask("connect", address=address, clients=clients, ramp=RAMP)
                for share in (0.25, 1.0):
                    limit = {"least": 1, "most": 10**9, "seconds": seconds * share}
                    times = crowd.ask("measure", name=study.payload, **limit)["times"]
            rows.append(figures(study.name, name, clients, times))
    return rows


def figures(policy: str, variant: str, clients: int, times: Sequence[float]) -> dict[str, Any]:
    """Returns the figures of one measurement, from the seconds of each call."""
    return {
        "policy": policy,
        "variant": variant,
        "clients": clients,
        # In a closed loop each client ends a call in the time of a call.
        "calls_per_s": clients * len(times) / sum(times),
        "p50": percentile(times, 50),
        "p99": percentile(times, 99),
    }


_HEAD = ["policy", "", "clients", "calls/s", "times the rate of 1", "p50, ms", "p99, ms"]
_HEAD += ["p99 to p50 of 1"]


def cells(row: Mapping[str, Any]) -> list[str]:
    """Returns a row for readers."""
    titles = NETWORKS if row["policy"] == "CNN" else VARIANTS
    title = titles[row["variant"]].title if row["variant"] in titles else row["variant"]
    figures = [row["calls_per_s"], row["times_the_rate"], row["p50"] * 1e3, row["p99"] * 1e3]
    return [
        row["policy"],
        title,
        str(row["clients"]),
        *map(number, [*figures, row["p99_to_one"]]),
    ]


def part(results: Mapping[str, Any]) -> str:
    """Returns what the page shows."""
    about = results["machine"]
    shown = pages.table(_HEAD, [cells(row) for row in results["rows"]])
    return (
        f"{shown}\n\nMeasured {results['date']} on {about['cpu']}, {about['cores']} cores, "
        f"{about['os']}, {about['kernel']}.\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a table, and writes where it is told."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=positive_seconds, default=3.0, help="for each number of clients"
    )
    parser.add_argument(
        "--rounds", type=positive_number, default=3, help="times that each is measured"
    )
    parser.add_argument("--policies", nargs="+", choices=[each.name for each in STUDIES])
    options = parser.parse_args(arguments)
    begin = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {text}", file=sys.stderr, flush=True)

    studies = [each for each in STUDIES if each.name in (options.policies or [each.name])]
    if importlib.util.find_spec("torch") is None:
        progress("the CNN is left out: PyTorch is missing; pip install torch")
        studies = [each for each in studies if each.seconds is not None]
    rows = measure(studies, options.seconds, options.rounds, progress)
    print(table(_HEAD, [cells(row) for row in rows]))
    if [each.name for each in studies] == [each.name for each in STUDIES]:
        found = {"date": machine.today(), "machine": machine.describe(), "rows": rows}
        RESULTS.write_text(json.dumps(rounded(found), indent=1) + "\n", encoding="utf-8")
        pages.update(PAGE, COMMAND, "batching", part(json.loads(RESULTS.read_text("utf-8"))))


if __name__ == "__main__":
    try:
        main()
    except (PeerError, UnreachableError, InstallError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
