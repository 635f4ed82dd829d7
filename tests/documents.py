# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The README and the pages of docs/, as blocks of code with what is said of them."""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = "README.md"
PAGES = [README, *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/**/*.md"))]

_BLOCK = re.compile(
    r"(?:^[ ]*<!--[ ]not[ ]run:[ ](?P<not_run>[^\n]+?)[ ]-->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)(?:[ ]title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<code>.*?)"
    r"^(?P=indent)```$",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: The file that holds it.
        line: Where its code begins.
        language: What stands behind the fence.
        title: The file that a reader is told to save it as.
        not_run: Why it cannot be run here.
        code: The text, without the indentation of a tab or a note around it.
    """

    page: str
    line: int
    language: str
    title: str | None
    not_run: str | None
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line of a shell block."""

    block: Block
    text: str

    @property
    def words(self) -> list[str]:
        """The line as a shell splits it."""
        return shlex.split(self.text)

    @property
    def arguments(self) -> list[str] | None:
        """What the program of this package is given; None for another program."""
        words = self.words
        for program in (["praxis-remote"], ["python", "-m", "praxis_remote"]):
            if words[: len(program)] == program:
                return words[len(program) :]
        return None

    def __str__(self) -> str:
        return f"{self.block.page}:{self.text}"


def text_of(page: str) -> str:
    """Returns the Markdown of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(text: str, page: str = README) -> list[Block]:
    """Returns the blocks of a page's text."""
    return [
        Block(
            page,
            text.count("\n", 0, match.start("code")) + 1,
            match["language"],
            match["title"],
            match["not_run"],
            textwrap.dedent(match["code"]),
        )
        for match in _BLOCK.finditer(text)
    ]


def commands_of(block: Block) -> list[Command]:
    """Returns the lines of a shell block, those that a backslash joins as one."""
    lines = re.sub(r"\\\n\s*", "", block.code).splitlines()
    return [Command(block, line) for line in lines if line and not line.startswith("#")]


BLOCKS = [block for page in PAGES for block in blocks_of(text_of(page), page)]
COMMANDS = [line for block in BLOCKS if block.language == "sh" for line in commands_of(block)]
