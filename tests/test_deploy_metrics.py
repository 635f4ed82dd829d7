# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Dashboard and alerts ask for what there is: names, labels and what labels can be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from praxis_remote import PolicyServer
from praxis_remote.calls import METHODS
from praxis_remote.errors import StatusCode
from praxis_remote.metrics import DEFAULT_METRICS_PORT, Metrics
from praxis_remote.testing import RecordingHandler
from praxis_remote.timing import ServerTiming

DEPLOY = Path(__file__).parents[1] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/praxis-remote.json").read_text(encoding="utf-8"))
PROMETHEUS = (DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8")
CONFIG = yaml.safe_load(PROMETHEUS)
RULES = yaml.safe_load((DEPLOY / "prometheus/praxis-remote.rules.yml").read_text(encoding="utf-8"))

# What the scraper itself adds.
ADDED = {"job", "instance"}
VALUES = {
    "method": {*METHODS, "other"},
    "status": {code.name for code in StatusCode},
    "phase": set(ServerTiming._fields),
    "job": {job["job_name"] for job in CONFIG["scrape_configs"]},
}


def expressions() -> list[Any]:
    return [
        *(
            pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
            for panel in DASHBOARD["panels"]
            for target in panel["targets"]
        ),
        *(
            pytest.param(rule["expr"], id=rule["alert"])
            for group in RULES["groups"]
            for rule in group["rules"]
        ),
    ]


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """The labels of each metric that a server tells."""
    metrics = Metrics()
    with PolicyServer(RecordingHandler(), port=0, observers=[metrics]) as server:
        metrics.watch(server)
        text = generate_latest(metrics.registry).decode()
    found: dict[str, set[str]] = {"up": set()}
    for family in parse(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Returns each metric that is asked for, with label, operator and value of its matchers."""
    for name, matchers in re.findall(
        r"\b((?:praxis_remote|process)_\w+|up)\b(?:\{([^}]*)\})?", expression
    ):
        yield name, re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', matchers)


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_there(expression: str, labels: dict[str, set[str]]) -> None:
    asked = list(selectors(expression))
    assert asked
    for name, matchers in asked:
        assert name in labels
        for label, _, value in matchers:
            assert label in labels[name] | ADDED
            assert value in VALUES.get(label, {value})
    for grouping in re.findall(r"by \(([\w, ]+)\)", expression):
        assert (
            set(grouping.split(", ")) <= set().union(*(labels[name] for name, _ in asked)) | ADDED
        )


def test_the_dashboards_variables_are_those_of_its_queries() -> None:
    known = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(?!__)(\w+)", json.dumps(DASHBOARD))) == known


def test_no_two_panels_overlap() -> None:
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_the_scraper_looks_where_the_server_is_by_default_and_has_the_rules() -> None:
    (job,) = CONFIG["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    assert target.endswith(f":{DEFAULT_METRICS_PORT}")
    # What is there as a comment, for Kubernetes.
    (names,) = re.findall(r"^ *# +- (\{names: .*\})$", PROMETHEUS, re.MULTILINE)
    service = yaml.safe_load((DEPLOY / "kubernetes/base/service.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(names) == {
        "names": [service["metadata"]["name"]],
        "type": "A",
        "port": DEFAULT_METRICS_PORT,
    }
    for name in CONFIG["rule_files"]:
        assert (DEPLOY / "prometheus" / name).exists()
