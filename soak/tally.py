# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How calls ended, counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .kinds import KINDS

# Of what nobody asked for, so many are told in full.
_TEXTS = 5


class Tally:
    """What a client process reports.

    Attributes:
        outcomes: How often each kind of call ended in which way.
        late: Seconds after its timeout with which a call came back, by kind, for each
            whose timeout passed.
        texts: The first few of what nobody asked for.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.late: dict[str, list[float]] = {}
        self.texts: list[str] = []

    def add(self, kind: str, outcome: str, text: str = "") -> None:
        """Counts a call."""
        self.outcomes[kind, outcome] += 1
        if outcome not in KINDS[kind].outcomes and len(self.texts) < _TEXTS:
            self.texts.append(f"{kind}: {outcome}: {text}")

    def merge(self, other: Tally) -> None:
        """Adds what another one counted."""
        self.outcomes += other.outcomes
        for kind, late in other.late.items():
            self.late.setdefault(kind, []).extend(late)
        self.texts = (self.texts + other.texts)[:_TEXTS]

    def unforeseen(self) -> list[str]:
        """Returns what should not have happened, with how often."""
        return [
            f"{kind}: {outcome}: {count}"
            for (kind, outcome), count in sorted(self.outcomes.items())
            if outcome not in KINDS[kind].outcomes
        ]

    def take(self) -> dict[str, Any]:
        """Returns everything as JSON has it, and begins anew."""
        found = {
            "outcomes": [[*key, count] for key, count in self.outcomes.items()],
            "late": self.late,
            "texts": self.texts,
        }
        self.__init__()  # type: ignore[misc]  # as new
        return found

    @classmethod
    def read(cls, found: dict[str, Any]) -> Tally:
        """Returns what `take` has returned."""
        tally = cls()
        for kind, outcome, count in found["outcomes"]:
            tally.outcomes[kind, outcome] = count
        tally.late, tally.texts = found["late"], found["texts"]
        return tally
