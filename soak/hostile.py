# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Measures what a peer that means harm costs one that does not.

One client makes small calls, one after the other: first alone, then next to the offender.
Each offender meets a server of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import NamedTuple

import numpy as np

from benchmarks.options import positive_seconds
from praxis_remote import PolicyClient, RemoteError

from .offender import OFFENDERS
from .process import Process, ProcessError

_TIMEOUT = 30.0

# For the offender to begin.
_LEAD = 1.0


class Latency(NamedTuple):
    """Of calls one after the other, in ms.

    Attributes:
        p50: The median.
        p99: Of a hundred all but one are faster.
        most: The slowest.
        failed: Calls without an answer.
    """

    p50: float
    p99: float
    most: float
    failed: int


def measure(client: PolicyClient, seconds: float) -> Latency:
    """Calls for so many seconds."""
    observation = {"observation.state": np.zeros(32, np.float32), "ticket": 1}
    times, failed = [], 0
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        try:
            client.predict_action([observation])
        except RemoteError as error:
            failed += 1
            print(f"  a call failed: {error}", file=sys.stderr)
        times.append(1e3 * (time.perf_counter() - begin))
    p50, p99, most = np.percentile(times, [50, 99, 100])
    return Latency(float(p50), float(p99), float(most), failed)


def meet(name: str, seconds: float) -> tuple[Latency, Latency]:
    """Returns the latency without an offender and next to it."""
    with Process("server") as server:
        port = server.read()
        with PolicyClient("127.0.0.1", port, timeout=_TIMEOUT) as client:
            client.wait_ready(_TIMEOUT)
            alone = measure(client, seconds / 2)
            with Process("offender", port, name):
                time.sleep(_LEAD)
                return alone, measure(client, seconds)


def main(arguments: list[str] | None = None) -> None:
    """Prints a table."""
    options = parse(arguments)
    print(f"{'state-only calls beside':36} {'p50':>7} {'p99':>7} {'most':>7} ms  x p50  x p99")
    for name in options.only or OFFENDERS:
        alone, beside = meet(name, options.seconds)
        ratios = f"{beside.p50 / alone.p50:6.1f} {beside.p99 / alone.p99:6.1f}"
        failed = f"  {beside.failed} failed" if beside.failed else ""
        print(
            f"{name:36} {beside.p50:7.2f} {beside.p99:7.2f} {beside.most:7.1f}    {ratios}{failed}",
            flush=True,
        )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="make hostile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=positive_seconds, default=5, help="beside each of them")
    parser.add_argument("--only", nargs="+", choices=OFFENDERS, metavar="NAME", help="only these")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except ProcessError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
