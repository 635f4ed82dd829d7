# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Where the time of a call goes, on both sides: a statistical profile by py-spy.

A profiler within the process would slow down what it counts: a call is some hundred
short functions. py-spy looks from outside a thousand times a second. It counts what runs
Python or holds the interpreter otherwise; system calls and waits let go of it.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.options import payload_name, positive_number
from benchmarks.pairs import PAIRS, Pair, Running
from benchmarks.peers.client import Limit
from benchmarks.tables import table
from tools.environments import venv_with

PY_SPY = "py-spy==0.4.3"

_RATE = 1000
# How long py-spy may take to begin and to end.
_WARM, _MARGIN = 0.2, 1.0


class ProfileError(Exception):
    """The processes could not be looked into."""


def profile(pair: Pair, payload: str, seconds: int, waits: bool = False) -> dict[str, Counter[str]]:
    """Returns the samples of both sides, by stack: functions from the outermost, with ``;``.

    Raises:
        ProfileError: The system does not allow it.
    """
    program = venv_with("bench-profiler", [PY_SPY]).with_name("py-spy")
    options = ["--format", "raw", "--function", "--rate", str(_RATE), "--duration", str(seconds)]
    options.append("--idle" if waits else "--gil")
    with Running(pair) as running, tempfile.TemporaryDirectory() as folder:
        running.server.ask("answer", name=payload)
        running.client.ask("measure", name=payload, **_for(_WARM))
        recorders = {}
        for side, process in (("client", running.client), ("server", running.server)):
            process.ask("allow_tracing")
            output = Path(folder, side)
            where = ["--pid", str(process.pid), "--output", str(output)]
            recorders[output] = subprocess.Popen(
                [str(program), "record", *where, *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        running.client.ask("measure", name=payload, **_for(seconds + _MARGIN))
        for recorder in recorders.values():
            printed, _ = recorder.communicate()
            if recorder.returncode:
                raise ProfileError(f"{printed}\nIt may need to be run as root.")
        return {path.name: read(path.read_text(encoding="utf-8")) for path in recorders}


def _for(seconds: float) -> dict[str, float]:
    return Limit(least=1, most=10**9, seconds=seconds)._asdict()


def read(text: str) -> Counter[str]:
    """Returns the samples of each stack."""
    stacks: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[stack] += int(count)
    return stacks


def top(stacks: Counter[str], count: int) -> list[tuple[str, float, float]]:
    """Returns the functions with the most time of their own: name, own and whole share."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for stack, samples in stacks.items():
        functions = stack.split(";")
        own[functions[-1]] += samples
        for function in set(functions):
            whole[function] += samples
    total = stacks.total()
    return [(name, own[name] / total, whole[name] / total) for name, _ in own.most_common(count)]


def main(arguments: list[str] | None = None) -> None:
    """Prints the functions that take the most time."""
    parser = argparse.ArgumentParser(
        prog="make profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--payload",
        default="2x224",
        metavar="NAME",
        type=payload_name,
        help="what to send, such as state",
    )
    parser.add_argument("--pair", default="this", choices=PAIRS, help="who calls whom")
    parser.add_argument("--seconds", type=positive_number, default=5, help="how long")
    parser.add_argument("--waits", action="store_true", help="also system calls and waits")
    parser.add_argument("--top", type=int, default=25, help="functions of each side to print")
    options = parser.parse_args(arguments)
    found = profile(PAIRS[options.pair], options.payload, options.seconds, options.waits)
    for side, stacks in found.items():
        rows = [
            [name, f"{own:.1%}", f"{whole:.1%}"] for name, own, whole in top(stacks, options.top)
        ]
        head = f"{side}: {stacks.total()} samples"
        print(table([head, "own", "with calls"], rows), end="\n\n")


if __name__ == "__main__":
    main()
