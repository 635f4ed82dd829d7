#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Checks that the files given start with who owns them and under which license.

The hook ``check-license-headers`` runs it on every file of the repository. Files
of a kind that `COMMENTS` does not list are passed over: those that cannot hold a
comment, and prose, which LICENSE covers.

Needs nothing but Python, because a hook runs with whichever is first on the path.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

COMMENTS = {
    ".cff": "#",
    ".cjs": "//",
    ".js": "//",
    ".mjs": "//",
    ".proto": "//",
    ".py": "#",
    ".pyi": "#",
    ".sh": "#",
    ".toml": "#",
    ".yaml": "#",
    ".yml": "#",
    "Makefile": "#",
}
"""How a comment starts, by suffix, or by name for a file without one."""

COPYRIGHT = "SPDX-FileCopyrightText: 2026 the praxis-remote authors"
LICENSE = "SPDX-License-Identifier: Apache-2.0"

_COPYRIGHT_PATTERN = re.compile(r"SPDX-FileCopyrightText: \d{4}(-\d{4})? \S.*")


def leading_comments(text: str, prefix: str) -> list[str]:
    """Returns the comment lines that ``text`` starts with, without their prefix."""
    lines = text.splitlines()
    if lines and lines[0].startswith("#!"):
        del lines[0]
    comments = []
    for line in lines:
        if not line.startswith(prefix):
            break
        comments.append(line[len(prefix) :].strip())
    return comments


def missing_lines(path: Path) -> list[str]:
    """Returns the header lines to add to a file, none when all are there."""
    prefix = COMMENTS.get(path.suffix or path.name)
    if prefix is None:
        return []
    comments = leading_comments(path.read_text(encoding="utf-8-sig"), prefix)
    missing = []
    if not any(_COPYRIGHT_PATTERN.fullmatch(comment) for comment in comments):
        missing.append(f"{prefix} {COPYRIGHT}")
    if LICENSE not in comments:
        missing.append(f"{prefix} {LICENSE}")
    return missing


def main() -> int:
    """Names each file that lacks a line, and the line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    failed = False
    for path in parser.parse_args().files:
        for line in missing_lines(path):
            failed = True
            print(f"{path}: add at the top: {line}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
