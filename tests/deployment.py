# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What the tests of `deploy/` share: where it is, and what its command lines mean to us."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from typing import Any

import yaml
from command import ROOT

from praxis_remote.calls import PREDICT
from praxis_remote.cli.program import _parser

DEPLOY = ROOT / "deploy"
SERVICE = PREDICT.path.split("/")[1]


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Returns what our own command line makes of a command, which must be one of it."""
    program, *rest = words
    assert program.rpartition("/")[2] == "praxis-remote"
    return _parser().parse_args(rest)


def loaded(name: str) -> Any:
    """Returns a file of YAML."""
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def without_continuations(text: str) -> list[str]:
    """Returns lines with those that go on joined, without comments and empty ones."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(kept))
    return [line for line in joined.splitlines() if line]


class Dockerfile:
    """Its instructions, in order."""

    def __init__(self) -> None:
        text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
        lines = (line.partition(" ") for line in without_continuations(text))
        self.instructions = [(name, rest.strip()) for name, _, rest in lines]

    def the(self, name: str) -> str:
        """Returns what the only instruction of this name says."""
        (found,) = self.all(name)
        return found

    def all(self, name: str) -> list[str]:
        return [rest for each, rest in self.instructions if each == name]

    def exec_form(self, name: str) -> list[str]:
        """Returns the words of an instruction."""
        return exec_form(self.the(name))


def exec_form(text: str) -> list[str]:
    """Returns the words of a command that no shell sees."""
    words = json.loads(text)
    assert all(isinstance(word, str) for word in words)
    return list(words)
