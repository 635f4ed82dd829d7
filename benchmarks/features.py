# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What each thing costs that can be switched on: TLS, tokens, metrics, spans, the page.

Each is measured beside the same client and server without it, which stand in the table
twice: by how much these two differ, nothing can be told.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks.figures import percentile, ratio
from benchmarks.options import payload_name, positive_number
from benchmarks.pairs import THIS, Pair, Peer
from benchmarks.payloads import TITLES
from benchmarks.peers.client import Limit
from benchmarks.process import PeerError
from benchmarks.rounds import Sample, Study, measure
from benchmarks.tables import number, table

FEATURED = Peer("featured")

_TITLES = {
    "token": "a token",
    "on_timing": "on_timing of the client",
    "metrics": "Prometheus metrics",
    "spans": "OpenTelemetry spans, both ends",
    "inspect": "the inspect page, nobody looking",
    "tls": "TLS",
}
PAIRS = {
    "without": Pair("without", THIS, THIS),
    "again": Pair("without, once more", THIS, THIS),
    **{
        name: Pair(title, FEATURED, FEATURED, options={"feature": name})
        for name, title in _TITLES.items()
    },
}

PAYLOADS = ("state", "2x224", "16x2x224")
_LIMIT = Limit(least=3, most=2000, seconds=0.4)
_QUICK_LIMIT = Limit(least=1, most=20, seconds=0.02)


def main(
    arguments: list[str] | None = None,
    pairs: Mapping[str, Pair] = PAIRS,
    payloads: Sequence[str] = PAYLOADS,
    program: str = "make features",
) -> None:
    """Measures and prints a table."""
    options = parse(arguments, payloads, program)
    begin = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {text}", file=sys.stderr, flush=True)

    limit = _QUICK_LIMIT if options.quick else _LIMIT
    study = Study("features", tuple(pairs), tuple(options.payloads), limit)
    print(render(measure([study], options.rounds, progress, pairs), options.payloads, pairs))


def render(samples: list[Sample], payloads: list[str], pairs: Mapping[str, Pair] = PAIRS) -> str:
    """Returns the p50 of each payload with each feature, and how it compares to the first pair."""
    head = ["p50 in ms, and times that without (rounds)"]
    first = next(iter(pairs))
    rows = []
    for name, pair in pairs.items():
        row = [pair.title]
        for payload in payloads:
            times, plain = (_medians(samples, each, payload) for each in (name, first))
            found = ratio(times, plain)
            spread = f"({found['least']:.2f}-{found['most']:.2f})"
            row += [number(percentile(times, 50)), f"{found['median']:.2f} {spread}"]
        rows.append(row)
    for payload in payloads:
        head += [TITLES.get(payload, payload), ""]
    return table(head, rows)


def _medians(samples: list[Sample], pair: str, payload: str) -> list[float]:
    return [
        percentile(sample.times, 50) * 1e3
        for sample in samples
        if (sample.pair, sample.payload) == (pair, payload)
    ]


def parse(
    arguments: list[str] | None, payloads: Sequence[str] = PAYLOADS, program: str = "make features"
) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=positive_number, default=7, help="times that each is measured"
    )
    parser.add_argument(
        "--payloads",
        nargs="+",
        type=payload_name,
        default=list(payloads),
        metavar="NAME",
        help="only these, such as state",
    )
    parser.add_argument("--quick", action="store_true", help="a few calls each: does it run?")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except PeerError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
