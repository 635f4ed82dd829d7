# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What `make bench` measures: studies, and how long each may take."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchmarks.pairs import PAIRS
from benchmarks.peers.client import Limit
from benchmarks.rounds import Study

HEADLINE = ("state", "2x224", "16x2x224", "60MB")
ACTIONS = ("actions", "actions-10MB")
_SIZES = (1_000, 10_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 60_000_000)
SIZES = tuple(f"bytes-{size}" for size in _SIZES)
OBSERVATIONS = tuple(f"observations-{count}" for count in (1, 2, 4, 8, 16, 32, 64))
KEYS = tuple(f"keys-{count}" for count in (1, 2, 5, 10, 20, 50, 100, 200))

OURS = ("this", "unix", "async")
PEERS = tuple(name for name in ("published", "zeromq", "openpi", "bare") if name in PAIRS)
MIXED = ("this-published", "published-this")
VERSIONS = ("this", "published")

CALLERS = 8

# The largest take 0.1.1 half a second each; eight callers at once shall each get some.
CROWD_SECONDS = {"state": 1.0, "2x224": 1.0, "16x2x224": 2.0, "60MB": 8.0}

_LIMIT = Limit(least=3, most=2000, seconds=0.4)
_GROWTH_LIMIT = Limit(least=3, most=500, seconds=0.15)
_QUICK_LIMIT = Limit(least=1, most=20, seconds=0.02)
_QUICK_CROWD, _QUICK_CALLERS = 0.1, 2


@dataclass(frozen=True)
class Plan:
    """Everything that one run measures.

    Attributes:
        studies: Whole calls, one after the other.
        rounds: How often.
        crowd: Payloads for many callers at once, and seconds for each.
        crowd_pairs: Who is measured with many callers.
        crowd_rounds: How often.
        callers: How many.
        memory_pairs: Whose memory is measured.
        memory_rounds: How often.
    """

    studies: tuple[Study, ...]
    rounds: int
    crowd: dict[str, float]
    crowd_pairs: tuple[str, ...]
    crowd_rounds: int
    callers: int
    memory_pairs: tuple[str, ...]
    memory_rounds: int

    @property
    def pairs(self) -> list[str]:
        """Everybody, each once, in the order of the report."""
        named = [pair for study in self.studies for pair in study.pairs]
        return list(dict.fromkeys([*named, *self.crowd_pairs, *self.memory_pairs]))

    @property
    def payloads(self) -> list[str]:
        """Every payload, each once, in the order of the report."""
        named = [payload for study in self.studies for payload in study.payloads]
        return list(dict.fromkeys([*named, *self.crowd]))


def plan(
    *,
    rounds: int = 5,
    pairs: Collection[str] | None = None,
    payloads: Collection[str] | None = None,
    quick: bool = False,
) -> Plan:
    """Returns what to measure.

    Args:
        rounds: How often.
        pairs: Only these; None for all.
        payloads: Only these, and of the side studies only those that have one; None
            for all.
        quick: A few calls of each, to see that everything works.
    """
    limit = _QUICK_LIMIT if quick else _LIMIT
    growth_limit = _QUICK_LIMIT if quick else _GROWTH_LIMIT

    def chosen(names: Sequence[str], of: Collection[str] | None) -> tuple[str, ...]:
        return tuple(name for name in names if of is None or name in of)

    every = (
        Study("headline", (*OURS, *PEERS, *MIXED), HEADLINE, limit),
        Study("actions", (*OURS, *PEERS), ACTIONS, limit),
        Study("size", (*OURS, *PEERS), SIZES, limit),
        Study("observations", VERSIONS, OBSERVATIONS, growth_limit),
        Study("keys", VERSIONS, KEYS, growth_limit),
    )
    some = [
        Study(each.name, chosen(each.pairs, pairs), chosen(each.payloads, payloads), each.limit)
        for each in every
    ]
    crowd = {name: CROWD_SECONDS[name] for name in chosen(list(CROWD_SECONDS), payloads)}
    large = payloads is None or "60MB" in payloads
    return Plan(
        studies=tuple(study for study in some if study.pairs and study.payloads),
        rounds=1 if quick else rounds,
        crowd=dict.fromkeys(crowd, _QUICK_CROWD) if quick else crowd,
        crowd_pairs=chosen(VERSIONS, pairs) if crowd else (),
        callers=_QUICK_CALLERS if quick else CALLERS,
        crowd_rounds=1 if quick else min(rounds, 2),
        memory_pairs=chosen((*OURS, *PEERS), pairs) if large else (),
        memory_rounds=1 if quick else min(rounds, 3),
    )
