# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The loop: makes cases, has them judged, keeps those that came to something new."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fuzz import corpus
from fuzz.target import Target

# Cases to make others from: the corpus, and the latest that came to something new.
_MAX_POOL = 1000
_SHRINK_SECONDS = 20.0
_ALIKE = 20
_DONORS = 4


@dataclass
class Failure:
    """A case that failed.

    Attributes:
        path: Where it was written.
        text: The traceback.
    """

    target: str
    origin: str
    path: Path
    text: str

    def __str__(self) -> str:
        replay = f'make fuzz FUZZ_ARGS="--replay {self.path}"'
        return f"{self.target}, {self.origin}, fails:\n{self.text}\nreplay: {replay}"


@dataclass
class Session:
    """The fuzzing of one target.

    Args:
        target: What is fuzzed.
        seed: Decides which cases are made.
        crashes: The folder for cases that fail.
        corpus: The folder to start from.

    Attributes:
        inputs: Cases judged.
        outcomes: What they came to.
    """

    target: Target
    seed: int = 0
    crashes: Path = corpus.CRASHES
    corpus: Path = corpus.CORPUS
    inputs: int = 0
    outcomes: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    _seeds: list[bytes] = field(default_factory=list)
    _news: list[bytes] = field(default_factory=list)

    def read_corpus(self) -> None:
        """Judges what is in the corpus, and starts from it."""
        for path, case in corpus.read(self.target.name, self.corpus):
            if self._judge(case, f"corpus {path.name}"):
                self._seeds.append(case)

    def run(self, until: Callable[[int], bool]) -> None:
        """Makes and judges cases until told that it were enough."""
        count = 0
        while not until(count):
            self.step(count)
            count += 1

    def step(self, number: int) -> None:
        """Makes and judges the case of this number."""
        pick = random.Random(f"{self.target.name} {self.seed} {number}")
        # One half of what is changed was news.
        latest = pick.choices(self._news, k=_DONORS) if self._news else []
        recorded = pick.choices(self._seeds, k=_DONORS) if self._seeds else []
        case = self.target.make(pick, latest + recorded)
        before = len(self.outcomes)
        if self._judge(case, f"seed {self.seed}, case {number}") and len(self.outcomes) > before:
            self._news.append(case)
            del self._news[:-_MAX_POOL]

    def _judge(self, case: bytes, origin: str) -> bool:
        self.inputs += 1
        try:
            self.outcomes.add(self.target.check(case))
        except Exception as error:
            text = traceback.format_exc()
            self.target.restart()
            path = corpus.write_crash(self.target.name, self._shrink(case, error), self.crashes)
            self.failures.append(Failure(self.target.name, origin, path, text))
            return False
        return True

    def _shrink(self, case: bytes, error: Exception) -> bytes:
        """Returns less of a case that fails in the same way."""
        end = time.monotonic() + _SHRINK_SECONDS
        size = len(self.target.pieces(case))
        while size := size // 2:
            start = 0
            while start < len(pieces := self.target.pieces(case)) and time.monotonic() < end:
                less = b"".join(pieces[:start] + pieces[start + size :])
                if self._fails_alike(less, error):
                    case = less
                else:
                    start += size
        return case

    def _fails_alike(self, case: bytes, error: Exception) -> bool:
        try:
            self.target.check(case)
        except Exception as other:
            self.target.restart()
            return type(other) is type(error) and str(other)[:_ALIKE] == str(error)[:_ALIKE]
        return False
