# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Whole ``predict_action`` calls, side by side with the published 0.1.1 (grpcio).

Both run the same lines (`peer`), client and server each in a process of its own,
over loopback TCP. Rounds alternate between the two, so that a machine whose speed
drifts favours neither; the ratio of the medians is what counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from tools.environments import venv_with

PEER = Path(__file__).with_name("peer.py")
ROOT = PEER.parents[1]
CALLS = {"state": 500, "2x224": 300, "16x2x224": 60, "60MB": 8}


class Implementation:
    """A server that runs, and clients for it."""

    def __init__(self, python: Path | str) -> None:
        self._python = str(python)
        self._server = subprocess.Popen(
            [self._python, str(PEER), "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT.parent,
        )
        assert self._server.stdout is not None
        self._port = self._server.stdout.readline().strip()

    def measure(self, payload: str, calls: int) -> list[float]:
        """Returns the milliseconds of each call."""
        result = subprocess.run(
            [self._python, str(PEER), "call", self._port, payload, str(calls)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT.parent,
        )
        times: list[float] = json.loads(result.stdout)
        return times

    def close(self) -> None:
        """Stops the server."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)


def percentile(times: list[float], share: float) -> float:
    """Returns the time that this share of the calls took at most."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="times that both are measured")
    rounds = parser.parse_args().rounds
    print("installing praxis-remote 0.1.1 into an environment of its own ...", flush=True)
    published = Implementation(venv_with("published", ["praxis-remote==0.1.1", "numpy"]))
    ours = Implementation(sys.executable)
    row = "{:<10} {:<9} {:>9} {:>9} {:>9} {:>8}"
    print(row.format("payload", "", "p50 ms", "p90 ms", "p99 ms", "ratio"))
    for payload, calls in CALLS.items():
        theirs_ms: list[float] = []
        ours_ms: list[float] = []
        for _ in range(rounds):
            theirs_ms += published.measure(payload, calls)
            ours_ms += ours.measure(payload, calls)
        ratio = statistics.median(ours_ms) / statistics.median(theirs_ms)
        for name, times in (("0.1.1", theirs_ms), ("this", ours_ms)):
            figures = [f"{percentile(times, share):.2f}" for share in (0.5, 0.9, 0.99)]
            print(row.format(payload, name, *figures, f"{ratio:.2f}" if name == "this" else ""))
        sys.stdout.flush()
    ours.close()
    published.close()


if __name__ == "__main__":
    main()
