# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Has hundreds of clients call a server for hours, and looks for what goes wrong.

They send what robots send, large and small; some of their calls time out, are cancelled or
fail; some clients leave and come back, and now and then a process full of them is killed.
Every answer is checked. At the end no call may have ended in a way that nobody asked for,
the server's memory may not have grown, and nothing may be left of its clients.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np

from benchmarks.options import positive_number, positive_seconds

from .process import ProcessError
from .run import Look, Plan, Soak, soak
from .tally import Tally
from .verdict import LEFT, judge

_MB = 2**20


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 if all was well."""
    options = parse(arguments)
    plan = Plan(
        seconds=options.seconds,
        connections=options.connections,
        processes=options.processes,
        pause=options.pause,
        kill=options.kill,
        seed=options.seed,
    )
    found = soak(plan, _progress(plan))
    print(report(found))
    wrong = judge(found.tally, found.before, found.after, found.growth, options.growth)
    print("\n".join(["FAILED", *wrong]) if wrong else "passed: nothing went wrong")
    return 1 if wrong else 0


def _progress(plan: Plan) -> Callable[[float, Tally, Look], None]:
    """Returns what prints a line a minute, and in between how far it is."""
    next_line = 0.0

    def show(now: float, tally: Tally, look: Look) -> None:
        nonlocal next_line
        calls = sum(tally.outcomes.values())
        if now >= next_line:
            next_line += 60
            print(f"{now:6.0f} s  {calls:9} calls  {_line(look)}", flush=True)
        elif sys.stderr.isatty():
            done = int(40 * now / plan.seconds)
            bar = "#" * done + "." * (40 - done)
            print(f"[{bar}] {now:.0f} of {plan.seconds:.0f} s", end="\r", file=sys.stderr)

    return show


def _line(look: Look) -> str:
    sizes = {"rss", "budget", "pool"}
    return "  ".join(
        f"{name} {look[name] / _MB:.1f} MB" if name in sizes else f"{name} {look[name]}"
        for name in ("rss", *LEFT)
        if name in look
    )


def report(found: Soak) -> str:
    """Returns what came out, as text."""
    lines = ["", "calls by kind and how they ended:"]
    kinds: dict[str, Counter[str]] = {}
    for (kind, outcome), count in sorted(found.tally.outcomes.items()):
        kinds.setdefault(kind, Counter())[outcome] += count
    for kind, outcomes in kinds.items():
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        lines.append(f"  {kind:24} {counts}")
    lines.append(f"processes of clients that were killed: {found.killed}")
    lines.append("milliseconds after their timeout with which calls came back:")
    for kind, late in sorted(found.tally.late.items()):
        if late:
            shares = np.percentile(np.array(late) * 1e3, [50, 90, 99, 100])
            text = "p50 {:.1f}, p90 {:.1f}, p99 {:.1f}, most {:.1f}".format(*shares)
            lines.append(f"  {kind:24} {text}, of {len(late)}")
    lines.append(f"the server at the start:  {_line(found.before)}")
    lines.append(f"the most of everything:   {_line(found.most)}")
    lines.append(f"when all have left:       {_line(found.after)}")
    known = "too short to tell" if found.growth is None else f"{found.growth:+.1f} kB a minute"
    lines.append(f"growth of its memory:     {known}")
    return "\n".join(lines)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="make soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=positive_seconds, default=3600, help="for how long; an hour")
    add("--connections", type=positive_number, default=256, help="at once")
    add("--processes", type=positive_number, default=4, help="that the clients share")
    add("--pause", type=positive_seconds, default=0.5, help="seconds between a client's calls")
    add("--kill", type=positive_seconds, default=60, help="seconds until a process is killed")
    add("--growth", type=float, default=512, help="kB a minute by which memory may grow")
    add("--seed", type=int, default=0, help="of all choices")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ProcessError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
