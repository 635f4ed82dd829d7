# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The Dockerfile, as far as it can be read without Docker."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

import numpy as np
import pytest
from deployment import DEPLOY, Dockerfile, exec_form, parsed

from praxis_remote.cli.loading import load
from praxis_remote.metrics import DEFAULT_METRICS_PORT

FOLDER = DEPLOY / "docker"


@pytest.fixture
def dockerfile() -> Dockerfile:
    return Dockerfile()


def health_check(dockerfile: Dockerfile) -> list[str]:
    _, _, command = dockerfile.the("HEALTHCHECK").partition("CMD ")
    return exec_form(command)


def test_what_it_starts_is_one_of_our_command_lines(dockerfile: Dockerfile) -> None:
    arguments = parsed([*dockerfile.exec_form("ENTRYPOINT"), *dockerfile.exec_form("CMD")])
    assert arguments.command == "serve"
    # In a container the loopback is nobody else's.
    assert arguments.host == "0.0.0.0"
    assert dockerfile.the("EXPOSE").split() == [str(arguments.port), str(arguments.metrics_port)]


def test_what_prometheus_asks_for_is_installed_and_reached(dockerfile: Dockerfile) -> None:
    arguments = parsed([*dockerfile.exec_form("ENTRYPOINT"), *dockerfile.exec_form("CMD")])
    assert arguments.metrics_port == DEFAULT_METRICS_PORT
    assert arguments.metrics_host == "0.0.0.0"
    assert "praxis-remote[metrics]" in shlex.split(dockerfile.all("RUN")[1])
    assert arguments.log_format == "json"


def test_its_health_check_asks_the_server_that_it_starts(dockerfile: Dockerfile) -> None:
    served = parsed([*dockerfile.exec_form("ENTRYPOINT"), *dockerfile.exec_form("CMD")])
    asking = parsed(health_check(dockerfile))
    assert asking.command == "health"
    assert asking.address.port == served.port
    assert asking.token_file == served.token_file
    assert asking.tls_ca is not None
    limit = re.search(r"--timeout=(\d+)s", dockerfile.the("HEALTHCHECK"))
    assert limit is not None
    assert asking.timeout < int(limit[1])


def test_the_stop_signal_reaches_the_server_itself(dockerfile: Dockerfile) -> None:
    assert dockerfile.the("STOPSIGNAL") == "SIGTERM"
    assert dockerfile.exec_form("ENTRYPOINT")[0] == "praxis-remote"


def test_it_does_not_run_as_root(dockerfile: Dockerfile) -> None:
    names = [name for name, _ in dockerfile.instructions]
    assert int(dockerfile.the("USER")) > 0
    assert f"--uid {dockerfile.the('USER')}" in dockerfile.all("RUN")[0]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert not [name for name in names[names.index("USER") :] if name in ("RUN", "COPY", "ADD")]


def test_its_python_is_one_that_is_supported(dockerfile: Dockerfile) -> None:
    match = re.fullmatch(r"python:3\.(\d+)-slim", dockerfile.the("FROM"))
    assert match is not None
    assert 10 <= int(match[1]) <= 13


def test_what_it_copies_is_there_and_is_the_policy_that_it_serves(
    dockerfile: Dockerfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    *sources, _ = dockerfile.the("COPY").split()
    assert all((FOLDER / source).is_file() for source in sources)
    target = parsed([*dockerfile.exec_form("ENTRYPOINT"), *dockerfile.exec_form("CMD")]).target
    assert f"{target.module}.py" in [PurePosixPath(source).name for source in sources]
    monkeypatch.syspath_prepend(FOLDER)
    policy = load(target, {})
    assert np.shape(policy.predict_action([{}, {}], policy_kwargs={})) == (2, 7)
