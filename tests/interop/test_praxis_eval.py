# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The published praxis-eval, which knows praxis-remote 0.1.1 only, works with this package."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from registry import venv_with

from praxis_remote import PolicyServer, __version__

from .endpoints import PEERS, ROOT, Peer
from .peers.known_calls import Policy, describe

pytestmark = pytest.mark.registry


def own_requirements() -> list[str]:
    """Returns what this package depends on, without its extras."""
    lines = importlib.metadata.requires("praxis-remote") or []
    return [line for line in lines if "extra" not in line]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """An environment in which the resolver took this checkout for praxis-eval's praxis-remote."""
    requirements = ["praxis-eval[remote]==0.1.3", f"--editable={ROOT}", *own_requirements()]
    python = venv_with("praxis-eval-0.1.3", requirements)
    log = tmp_path_factory.mktemp("evaluation") / "log"
    with Peer([python, "-I", PEERS / "evaluation.py"], log) as peer:
        yield peer


def test_praxis_evals_requirement_is_met_by_this_version(evaluation: Peer) -> None:
    about = evaluation.ask("about")
    assert Path(about["file"]).parent == ROOT / "praxis_remote"
    assert about["version"] == __version__
    wanted = [Requirement(line) for line in about["requires"]]
    ours = [requirement for requirement in wanted if requirement.name == "praxis-remote"]
    assert ours
    assert all(requirement.specifier.contains(__version__) for requirement in ours)


def test_its_remote_policy_acts_through_our_server(evaluation: Peer) -> None:
    policy = Policy()
    with PolicyServer(policy, port=0) as server:
        plain, full = evaluation.ask("drive", port=server.port)
    assert plain == full == describe(np.arange(14, dtype=np.float32).reshape(2, 7))
    resets, acts = policy.seen[:2], policy.seen[2:]
    assert [keywords for _, _, keywords in resets] == [
        describe({"episode_ids": None}),
        describe({"episode_ids": ("b",)}),
    ]
    options = {"steps": 4, "nested": {"scale": [0.5, None, True]}}
    assert [keywords for _, _, keywords in acts] == [
        describe({"policy_kwargs": {}, "episode_ids": None}),
        describe({"policy_kwargs": options, "episode_ids": ("a", "b")}),
    ]


def test_its_local_server_works_and_leaves_nothing_behind(evaluation: Peer) -> None:
    report = evaluation.ask("serve_and_drive")
    assert report["ready"] == [True, "CountingPolicy"]
    assert report["actions"] == [[1, 1], [1, 2], [1, 1]]
    assert [method for method, *_ in report["seen"]] == ["act", "reset", "act", "reset", "act"]
    assert report["seen"][1:3] == [
        ["reset", describe(("a",))],
        ["act", describe({"n": 1}), describe(("a", "b"))],
    ]
    assert report["seen"][3] == ["reset", describe(None)]
    assert report["thread ended"]


def test_its_local_server_ends_when_the_evaluation_fails(evaluation: Peer) -> None:
    assert evaluation.ask("serve_and_fail") == []
