# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How results look in a terminal: tables, and a bar of parts. Needs rich, of the extra `tools`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["BAD", "DIM", "PARTS", "WARNING", "as_text", "bar", "new_table", "swatch", "terminal"]

BAD, WARNING, DIM = "bold red", "yellow", "dim"

PARTS = (
    ("bright_cyan", "E"),
    ("blue", "N"),
    ("yellow", "r"),
    ("bright_yellow", "d"),
    ("red", "q"),
    ("green", "i"),
    ("magenta", "e"),
    ("cyan", "D"),
)
"""The colour of each part of a call, and its letter where there are no colours."""


def terminal() -> Console:
    """Returns what knows how wide stdout is, and whether it has colours."""
    return Console(file=sys.stdout, highlight=False)


def as_text(console: Console, *parts: RenderableType) -> str:
    """Returns what would be printed, for `output.say`."""
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    # A table fills its line with spaces.
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def new_table(*heads: str) -> Table:
    """Returns a table whose first column is text, and the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index else "left", no_wrap=bool(index))
    return table


def swatch(console: Console, part: int) -> Text:
    """Returns what a part of a bar looks like."""
    return _piece(console, part, 1)


def bar(console: Console, values: Sequence[float], width: int) -> Text:
    """Returns parts side by side, each as long as its share of all.

    Args:
        console: Where it will be seen.
        values: How much each of `PARTS` is; 0 for one that is not there.
        width: How many letters all take together.
    """
    text = Text()
    for part, length in enumerate(_lengths(values, width)):
        text.append_text(_piece(console, part, length))
    return text


def _piece(console: Console, part: int, length: int) -> Text:
    colour, letter = PARTS[part]
    return Text(("█" if console.color_system else letter) * length, style=colour)


def _lengths(values: Sequence[float], width: int) -> list[int]:
    """Returns whole numbers with the proportions of the values, and the width as their sum."""
    total = sum(values)
    if not total:
        return [0] * len(values)
    ends = [round(sum(values[: index + 1]) / total * width) for index in range(len(values))]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
