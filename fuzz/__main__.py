# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Throws hostile bytes at readers, server and client for a while.

Ends with status 1 if something failed: it prints the seed and how to replay the case,
which is kept in fuzz/corpus/crashes.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

from fuzz.run import Session
from fuzz.targets import TARGETS

_ENOUGH = 5


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes, or replays; returns the exit status."""
    options = parse(arguments)
    # What shall not be there is found by the targets; the rest is what hostile bytes cause.
    logging.getLogger().addHandler(logging.NullHandler())
    if options.replay is not None:
        return replay(options.replay)
    failed = 0
    for name in options.targets:
        failed += fuzz(name, options.seed, options.seconds / len(options.targets))
    return 1 if failed else 0


def fuzz(name: str, seed: int, seconds: float) -> int:
    """Fuzzes one target and prints what came of it; returns how many cases failed."""
    begin = time.monotonic()
    target = TARGETS[name]()
    session = Session(target, seed)
    try:
        session.read_corpus()
        session.run(
            lambda _: time.monotonic() - begin > seconds or len(session.failures) >= _ENOUGH
        )
    finally:
        target.close()
    for failure in session.failures:
        print(failure)
    spent = time.monotonic() - begin
    print(
        f"{name}: {session.inputs} inputs in {spent:.0f} s, {session.inputs / spent:.0f}/s, "
        f"{len(session.outcomes)} outcomes, {len(session.failures)} failures",
        flush=True,
    )
    return len(session.failures)


def replay(path: Path) -> int:
    """Judges a kept case again; its folder says for which target."""
    target = TARGETS[path.resolve().parent.name]()
    try:
        print(target.check(path.read_bytes()))
    finally:
        target.close()
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="make fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none"
    )
    parser.add_argument("--seconds", type=float, default=180.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=0, help="another one makes other cases")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="judge one kept case instead")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    path = options.replay
    if path is not None and not (path.is_file() and path.resolve().parent.name in TARGETS):
        parser.error(
            f"--replay {path}: give a file in a folder that is named after its target, "
            f"one of {', '.join(TARGETS)}"
        )
    if not options.seconds >= 0:
        parser.error(f"--seconds {options.seconds:g}: give a number, 0 for the corpus alone")
    options.targets = options.targets or list(TARGETS)
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
