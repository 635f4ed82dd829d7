# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The unit for systemd, as far as it can be read without systemd."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from pathlib import PurePosixPath

import pytest
from deployment import DEPLOY, parsed, without_continuations

from praxis_remote.metrics import DEFAULT_METRICS_PORT

FOLDER = DEPLOY / "systemd"


def unit() -> dict[str, dict[str, list[str]]]:
    """Returns sections, keys and their values, of which there may be several."""
    sections: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    text = (FOLDER / "praxis-remote.service").read_text(encoding="utf-8")
    section = ""
    for line in without_continuations(text):
        if line.startswith("["):
            section = line.strip("[]")
        else:
            key, equals, value = line.partition("=")
            assert equals
            sections[section][key].append(value)
    return sections


@pytest.fixture
def service() -> dict[str, str]:
    """Keys of which there is one."""
    return {key: values[0] for key, values in unit()["Service"].items() if len(values) == 1}


def environment() -> dict[str, str]:
    lines = without_continuations((FOLDER / "praxis-remote.env").read_text(encoding="utf-8"))
    return dict(line.split("=", 1) for line in lines)


def command(service: dict[str, str]) -> list[str]:
    """Returns the words that are started, with the variables and folders put in."""
    line = re.sub(r"\$\{(\w+)\}", lambda match: environment()[match[1]], service["ExecStart"])
    return shlex.split(line.replace("%d", "/credentials"))


def test_the_command_line_is_one_of_ours(service: dict[str, str]) -> None:
    arguments = parsed(command(service))
    assert (str(arguments.target), arguments.port) == ("my_policy:MyPolicy", 50051)


def test_prometheus_gets_numbers_and_the_journal_objects(service: dict[str, str]) -> None:
    arguments = parsed(command(service))
    assert arguments.metrics_port == DEFAULT_METRICS_PORT
    # It asks for no token: who opens it to others does so knowingly.
    assert arguments.metrics_host == "127.0.0.1"
    assert arguments.log_format == "json"
    unit_file = (FOLDER / "praxis-remote.service").read_text(encoding="utf-8")
    assert "pip install 'praxis-remote[metrics]'" in unit_file


def test_each_file_of_the_command_line_is_a_credential_that_is_handed_over(
    service: dict[str, str],
) -> None:
    arguments = parsed(command(service))
    files = {arguments.token_file, arguments.tls_cert, arguments.tls_key}
    handed = dict(value.split(":") for value in unit()["Service"]["LoadCredential"])
    assert {PurePosixPath(file) for file in files} == {
        PurePosixPath("/credentials") / name for name in handed
    }
    assert {PurePosixPath(path).parent for path in handed.values()} == {
        PurePosixPath(service["EnvironmentFile"]).parent
    }


def test_a_stop_leaves_time_for_the_grace(service: dict[str, str]) -> None:
    assert int(service["TimeoutStopSec"]) > parsed(command(service)).grace
    # Of SIGTERM to the server alone: the policy's own processes serve the last calls.
    assert service["KillMode"] == "mixed"


def test_a_failure_is_followed_by_another_try_but_not_for_ever(service: dict[str, str]) -> None:
    assert service["Restart"] == "on-failure"
    limits = unit()["Unit"]
    tries, seconds = int(limits["StartLimitBurst"][0]), int(limits["StartLimitIntervalSec"][0])
    assert tries * int(service["RestartSec"]) < seconds


def test_nothing_waits_for_a_word_that_the_server_does_not_say(service: dict[str, str]) -> None:
    assert service["Type"] == "exec"
    assert "WatchdogSec" not in service


def test_it_has_no_rights_that_it_does_not_need(service: dict[str, str]) -> None:
    assert service["User"] not in ("", "root")
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    # Without AF_UNIX neither the log nor a socket on this machine.
    assert set(service["RestrictAddressFamilies"].split()) == {"AF_INET", "AF_INET6", "AF_UNIX"}
    assert not {"PrivateDevices", "MemoryDenyWriteExecute", "PrivateNetwork"} & set(service)
