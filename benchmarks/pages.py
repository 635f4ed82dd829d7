# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The parts of pages that a command writes, between markers that name it."""

from __future__ import annotations

import re
from pathlib import Path


def begin(command: str, name: str) -> str:
    """Returns what stands before a part."""
    return f"<!-- {command}: {name} -->"


def end(command: str) -> str:
    """Returns what stands behind a part."""
    return f"<!-- end of what {command} writes -->"


def update(path: Path, command: str, name: str, part: str) -> None:
    """Writes a part anew.

    Raises:
        ValueError: The page has no place for it, or several.
    """
    text = path.read_text(encoding="utf-8")
    changed, count = _pattern(command, name).subn(lambda found: found[1] + part + found[3], text)
    if count != 1:
        raise ValueError(f"{path}: {begin(command, name)!r} is there {count} times; 1 is needed")
    path.write_text(changed, encoding="utf-8")


def written(path: Path, command: str, name: str) -> str:
    """Returns a part as it stands.

    Raises:
        ValueError: The page has no place for it.
    """
    match = _pattern(command, name).search(path.read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{path}: {begin(command, name)!r} is missing")
    return match[2]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Returns a table in Markdown, the first column to the left and the others to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _pattern(command: str, name: str) -> re.Pattern[str]:
    first, last = re.escape(begin(command, name)), re.escape(end(command))
    return re.compile(f"({first}\n)(.*?)({last})", re.DOTALL)
