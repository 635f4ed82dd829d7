# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The part of the README that is made of results, between two markers."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from benchmarks.payloads import TITLES
from benchmarks.plan import ACTIONS, HEADLINE
from benchmarks.results import Results, calls_of
from benchmarks.tables import number

BEGIN = "<!-- written by make bench -->"
END = "<!-- end of what make bench writes -->"

PICTURE = (
    "![Latency against size, one line for each peer, and growth with observations and keys]"
    "(docs/benchmark.svg)"
)

_WIDTH = 96

# This, and those that it is compared with.
_COLUMNS = ("this", "unix", "published", "zeromq", "openpi", "bare")
_PATTERN = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)


def update(path: Path, results: Results) -> None:
    """Writes the part anew."""
    text = path.read_text(encoding="utf-8")
    part = render(results)
    changed, count = _PATTERN.subn(lambda _: part, text)
    if count != 1:
        raise ValueError(f"{path}: {BEGIN!r} and {END!r} are there {count} times; 1 is needed")
    path.write_text(changed, encoding="utf-8")


def written(path: Path) -> str:
    """Returns the part as it stands."""
    match = _PATTERN.search(path.read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{path}: {BEGIN!r} and {END!r} are missing")
    return match[0]


def render(results: Results) -> str:
    """Returns the table, the picture, and where the numbers come from."""
    return f"{_table(results)}\n\n{PICTURE}\n\n{_origin(results)}\n"


def _table(results: Results) -> str:
    columns = [name for name in _COLUMNS if name in results["pairs"]]
    titles = [results["pairs"][name]["title"] for name in columns]
    lines = [
        ["`predict_action`, p50 in ms", *titles, "this / 0.1.1"],
        ["---", *["--:"] * (len(columns) + 1)],
    ]
    for payload in (*HEADLINE, *ACTIONS):
        found = {name: calls_of(results, name, payload) for name in columns}
        cells = ["" if row is None else number(row["p50_ms"]) for row in found.values()]
        this = found["this"]
        assert this is not None
        ratio = this["ratio_to"]["published"]["median"]
        lines.append([TITLES[payload], *cells, f"**{ratio:.2f}**"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _origin(results: Results) -> str:
    about, pairs = results["machine"], results["pairs"]
    packages: dict[str, set[str]] = {}
    for pair in pairs.values():
        for name, version in pair.items():
            if name not in ("title", "python", "praxis-remote"):
                packages.setdefault(name, set()).add(version)
    listed = [f"{name} {' and '.join(sorted(packages[name]))}" for name in sorted(packages)]
    rounds = results["rounds"]
    text = (
        f"Measured {results['date']} on {about['cpu']}, {about['cores']} cores, {about['os']}, "
        f"{about['kernel']}; Python {pairs['this']['python']}, {', '.join(listed)}. "
        f"The ratio is the median of {rounds} round{'s' * (rounds != 1)}."
    )
    return textwrap.fill(text, _WIDTH)
