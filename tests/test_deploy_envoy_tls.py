# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The real Envoy with `deploy/envoy/envoy-tls.yaml`: who is let in, and which servers are taken."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from authority import Authority
from command import TIMEOUT
from fleet import CONFIG_WITH_TLS, LISTED, Envoy, envoy_binary, within
from hosts import LOOPBACK, unused_port

from praxis_remote import PolicyClient, PolicyServer, ServerTLS
from praxis_remote.errors import RemoteError, StatusCode, UnavailableError
from praxis_remote.testing import Prediction, RecordingHandler
from praxis_remote.types import Array

STATE = [{"observation.state": np.zeros(7, np.float32)}]


def answer(number: int, _: Prediction) -> Array:
    return np.array([number])


@pytest.fixture
def secrets(tmp_path: Path, authority: Authority) -> Path:
    """A folder with what Envoy reads."""
    envoy_binary()
    authority.issue("server").key.rename(tmp_path / "server-key.pem")
    return tmp_path


@pytest.fixture
def servers(authority: Authority) -> Iterator[dict[int, PolicyServer]]:
    """The first has a certificate as it should be, the second one for another name."""
    names = {1: "policy", 2: "another"}
    servers = {
        number: PolicyServer(
            RecordingHandler(partial(answer, number)),
            port=0,
            tls=ServerTLS(*authority.issue(name, name)),
            tokens=["one-of-ours"],
        )
        for number, name in names.items()
    }
    with servers[1], servers[2]:
        yield servers


def test_envoy_takes_the_configuration_with_tls(secrets: Path) -> None:
    config = secrets / "envoy.yaml"
    config.write_text(within(secrets, CONFIG_WITH_TLS), encoding="utf-8")
    shutil.copy(LISTED, secrets)
    result = subprocess.run(
        [envoy_binary(), "-c", str(config), "--mode", "validate", "-l", "warning"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_tls_and_tokens_hold_from_the_client_to_the_server_and_no_other_server_is_taken(
    secrets: Path, authority: Authority, servers: dict[int, PolicyServer]
) -> None:
    ports = {number: server.port for number, server in servers.items()}
    ports[3] = unused_port(LOOPBACK)
    # Of whose points one in five is Envoy's own.
    envoy = Envoy(secrets, ports, "0.1s", CONFIG_WITH_TLS, points=4)
    address = ("127.0.0.1", envoy.port)
    try:
        envoy.wait_until(lambda: envoy.takes(1))
        envoy.wait_until(lambda: envoy.count("policy.ssl.fail_verify_san") > 0)
        tls = authority.client()
        for number in range(16):  # of which some would be the second server's
            with PolicyClient(
                *address, timeout=TIMEOUT, tls=tls, token="one-of-ours", session_id=str(number)
            ) as client:
                assert client.predict_action(STATE) == [1]
        assert envoy.count("again.downstream_rq_total") > 0
        with (
            PolicyClient(*address, timeout=TIMEOUT, tls=tls, token="another") as stranger,
            pytest.raises(RemoteError) as raised,
        ):
            stranger.predict_action(STATE)
        assert raised.value.code() is StatusCode.UNAUTHENTICATED
        with (
            PolicyClient(*address, timeout=TIMEOUT) as plain,
            pytest.raises(UnavailableError),
        ):
            plain.predict_action(STATE)
    finally:
        envoy.close()
