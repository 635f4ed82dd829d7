# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A run's results: made here, written as JSON, read by tables, plot and README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import crowd, machine, memory
from benchmarks.figures import ratio, summary
from benchmarks.pairs import PAIRS, versions
from benchmarks.payloads import payload
from benchmarks.plan import Plan
from benchmarks.rounds import Progress, Sample, measure

Results: TypeAlias = dict[str, Any]

SCHEMA = 1

# To whom each pair is compared, where both were measured.
REFERENCES = ("published", "zeromq")


def run(plan: Plan, progress: Progress) -> Results:
    """Measures everything that a plan has."""
    found = {}
    for name in plan.pairs:
        progress(f"starting {PAIRS[name].title}")
        found[name] = versions(PAIRS[name].server)
    samples = measure(plan.studies, plan.rounds, progress)
    crowds = crowd.measure(plan.crowd_pairs, plan.crowd, plan.crowd_rounds, progress, plan.callers)
    memories = memory.measure(plan.memory_pairs, plan.memory_rounds, progress)
    return {
        "schema": SCHEMA,
        "date": machine.today(),
        "machine": machine.describe(),
        "rounds": plan.rounds,
        "pairs": {name: {"title": PAIRS[name].title, **found[name]} for name in plan.pairs},
        "payloads": {name: _sizes(name) for name in plan.payloads},
        "studies": {
            study.name: {"pairs": list(study.pairs), "payloads": list(study.payloads)}
            for study in plan.studies
        },
        "calls": summarize(samples),
        "crowds": crowds,
        "memory": memories,
    }


def _sizes(name: str) -> dict[str, int]:
    sent = payload(name)
    return {"request_bytes": sent.request_bytes, "response_bytes": sent.response_bytes}


def summarize(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Returns the figures of each pair and payload, with ratios to the references."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.payload, sample.pair), []).append(sample)
    sizes = {name: payload(name).bytes for name in dict.fromkeys(key[0] for key in groups)}
    rows = {
        key: {"pair": key[1], "payload": key[0], **summary(group, sizes[key[0]])}
        for key, group in groups.items()
    }
    for (name, _), row in rows.items():
        row["ratio_to"] = {
            reference: ratio(row["p50_ms_by_round"], rows[name, reference]["p50_ms_by_round"])
            for reference in REFERENCES
            if (name, reference) in rows
        }
    return list(rows.values())


def calls_of(results: Results, pair: str, payload_name: str) -> dict[str, Any] | None:
    """Returns the figures of a pair and payload, None if they were not measured."""
    for row in results["calls"]:
        if (row["pair"], row["payload"]) == (pair, payload_name):
            found: dict[str, Any] = row
            return found
    return None


def write(path: Path, results: Results) -> None:
    """Writes results as JSON, rounded to what they are worth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(rounded(results), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def read(path: Path) -> Results:
    """Returns results that were written."""
    results: Results = json.loads(path.read_text(encoding="utf-8"))
    if results["schema"] != SCHEMA:
        raise ValueError(f"{path}: schema {results['schema']}; known: {SCHEMA}")
    return results


def rounded(value: Any) -> Any:
    """Returns a value with all numbers in it rounded to four digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value
