# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Simulates up to 1,000 replicas, and writes what docs/explanation/scaling.md shows.

``measure`` measures first what calls cost on this machine; without it, what was measured
before is simulated again, which has the same outcome each time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.options import positive_number, positive_seconds
from benchmarks.process import PeerError
from benchmarks.simulation import costs, measuring, page, plot, results, study

ROOT = Path(__file__).resolve().parents[2]
RESULTS = costs.PATH.with_name("scaling.json")
PLOT = ROOT / "docs" / "scaling.svg"
PAGE = ROOT / "docs" / "explanation" / "scaling.md"


def main(arguments: list[str] | None = None) -> None:
    """Measures or simulates."""
    options = parse(arguments)
    begin = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {text}", file=sys.stderr, flush=True)

    if options.do == "measure":
        costs.write(options.times, measuring.measure(options.seconds, options.rounds, progress))
        print(f"wrote {options.times}")
        return
    measured = costs.read(options.times)
    results.write(RESULTS, results.collect(measured, study.carry_out(measured, progress)))
    found = results.read(RESULTS)
    plot.write(PLOT, found)
    page.update(PAGE, found)
    print(f"wrote {RESULTS}, {PLOT} and the tables in {PAGE}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("do", nargs="?", choices=("simulate", "measure"), default="simulate")
    parser.add_argument(
        "--times", type=Path, default=costs.PATH, help="the file of what was measured"
    )
    parser.add_argument(
        "--seconds", type=positive_seconds, default=2.0, help="for each thing that is measured"
    )
    parser.add_argument(
        "--rounds", type=positive_number, default=3, help="times that each cost is measured"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except PeerError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
