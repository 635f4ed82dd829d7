# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command line in this process, and a served policy to run it on.

The fixtures are there for every test; see ``conftest.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hosts import unused_port

from praxis_remote import Observation, PolicyServer, cli
from praxis_remote.address import check_address

ROOT = Path(__file__).parents[1]
TIMEOUT = 20.0
ERROR = "praxis-remote: error: "


def says(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Runs a command that must succeed, and returns what it prints."""
    code = cli.main(words)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def fails(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    """Runs a command that must fail, and returns the one line that it says."""
    assert cli.main(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(ERROR)
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    return err[len(ERROR) : -1]


class Recorder:
    """A policy that keeps what it was asked, and returns or raises what the test wants."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.action: Any = np.array([[1.5, 2.0]], np.float32)
        self.error: Exception | None = None
        self.info = "recorder v1"

    def predict_action(
        self,
        observations: Sequence[Observation],
        *,
        policy_kwargs: Any = None,
        episode_ids: Any = None,
    ) -> Any:
        self.calls.append((observations, policy_kwargs, episode_ids))
        if self.error is not None:
            raise self.error
        return self.action

    def reset(self, episode_ids: Any = None) -> None:
        self.calls.append(episode_ids)
        if self.error is not None:
            raise self.error

    def model_info(self) -> str:
        return self.info


@pytest.fixture
def policy() -> Recorder:
    return Recorder()


@pytest.fixture
def address(policy: Recorder, host: str) -> Iterator[str]:
    with PolicyServer(policy, host=host, port=0) as server:
        yield server.address


@pytest.fixture
def nobody(host: str) -> str:
    return str(check_address(host, unused_port(host), lowest_port=0))
