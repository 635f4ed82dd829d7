# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Measures everything side by side, and writes what the README shows.

The peers are installed into environments of their own the first time. With options
that leave something out it prints tables, and writes only where ``--output`` says.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import plot, readme, tables
from benchmarks.options import positive_number
from benchmarks.pairs import PAIRS
from benchmarks.plan import plan
from benchmarks.process import PeerError
from benchmarks.results import Results, read, run, write
from tools.environments import InstallError, UnreachableError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
PLOT = ROOT / "docs" / "benchmark.svg"
README = ROOT / "README.md"


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints tables."""
    options = parse(arguments)
    begin = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {text}", file=sys.stderr, flush=True)

    results = run(
        plan(
            rounds=options.rounds,
            pairs=options.pairs,
            payloads=options.payloads,
            quick=options.quick,
        ),
        progress,
    )
    print(tables.render(results))
    whole = not (options.quick or options.pairs or options.payloads)
    if options.output is not None:
        save(results, options.output / RESULTS.name, options.output / PLOT.name)
    elif whole:
        readme.update(README, save(results, RESULTS, PLOT))
        print(f"wrote {RESULTS}, {PLOT} and the table in {README}")


def save(results: Results, path: Path, picture: Path) -> Results:
    """Writes JSON and plot, and returns what the JSON says, for all to have the same digits."""
    write(path, results)
    written = read(path)
    plot.write(picture, written)
    return written


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=positive_number, default=5, help="times that everybody is measured"
    )
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, help="only these")
    parser.add_argument(
        "--payloads",
        nargs="+",
        metavar="NAME",
        choices=plan().payloads,
        help="only these, such as state",
    )
    parser.add_argument("--quick", action="store_true", help="a few calls each: does it run?")
    parser.add_argument("--output", type=Path, help="a folder for JSON and plot of this run")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except (PeerError, UnreachableError, InstallError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
