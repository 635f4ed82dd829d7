# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a whole run found: made of studies, written as JSON, read by page and plot."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.results import rounded
from benchmarks.simulation import study, validation
from benchmarks.simulation.costs import PAYLOADS, Measured
from benchmarks.simulation.study import Row

Results: TypeAlias = dict[str, Any]

SCHEMA = 1

KINDS = {"ray": "Ray ingress", "envoy": "Envoy"}
"""The fronts that pass every call on, and what readers call them."""


def collect(measured: Measured, rows: list[Row]) -> Results:
    """Returns everything that page and plot tell."""
    return {
        **{**asdict(measured), "schema": SCHEMA},
        "crowd_replicas": study.CROWD_REPLICAS,
        "full_at": {
            kind: {name: study.most_of_one(measured, kind, name) for name in PAYLOADS}
            for kind in measured.origins
        },
        "validation": [{**seen, "error": error} for seen, error in validation.errors(measured)],
        "rows": rows,
    }


def write(path: Path, results: Results) -> None:
    """Writes results, a line for each row."""
    head = rounded({key: value for key, value in results.items() if key != "rows"})
    rows = ",\n".join("  " + json.dumps(rounded(row)) for row in results["rows"])
    text = json.dumps(head, indent=1).removesuffix("\n}")
    path.write_text(f'{text},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")


def read(path: Path) -> Results:
    """Returns results that were written.

    Raises:
        ValueError: They are of another version.
    """
    found: Results = json.loads(path.read_text(encoding="utf-8"))
    if found["schema"] != SCHEMA:
        raise ValueError(f"{path}: schema {found['schema']}; known: {SCHEMA}")
    return found


def line(results: Results, study: str, name: str) -> list[Row]:
    """Returns the rows of a line of a study, by amount."""
    rows = [row for row in results["rows"] if (row["study"], row["line"]) == (study, name)]
    return sorted(rows, key=lambda row: int(row["amount"]))


def one(results: Results, study: str, name: str, amount: int) -> Row:
    """Returns the row at an amount."""
    (row,) = (row for row in line(results, study, name) if row["amount"] == amount)
    return row
