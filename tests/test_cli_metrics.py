# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A served policy can be scraped, and logs for machines."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request

import pytest
from command import TIMEOUT, fails
from hosts import LOOPBACK, listen, port_of
from processes import Start


def test_serve_tells_its_metrics_until_it_stops(start: Start) -> None:
    process = start("serve", "policies:Policy", "--port", "0", "--metrics-port", "0")
    url = process.err.wait_for("metrics on ").rpartition(" ")[2]
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/metrics", url)
    assert found is not None
    with process.client() as client:
        client.wait_ready(TIMEOUT)
        client.predict_action([{"x": 1}])
        with urllib.request.urlopen(url, timeout=TIMEOUT) as reply:
            text = reply.read().decode()
    assert "\npraxis_remote_connections 1.0\n" in text
    process.send(signal.SIGTERM)
    assert process.end() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, int(found[1])), timeout=TIMEOUT)


def test_serve_logs_one_json_object_a_line(start: Start) -> None:
    process = start("serve", "policies:Policy", "--port", "0", "--log-format", "json")
    with process.client() as client:
        client.wait_ready(TIMEOUT)
        client.predict_action([{"x\n": 1}])
        address = client.address
    process.send(signal.SIGTERM)
    assert process.end() == 0
    lines = [json.loads(line) for line in process.err.all]
    assert [line["event"] for line in lines if line["logger"] == "praxis_remote.server"] == [
        *("listening", "serving", "draining", "stopped")
    ]
    assert {line["address"] for line in lines if "address" in line} == {address}
    (own,) = (line for line in lines if line["logger"] == "my.policy")
    assert (own["message"], own["level"]) == (r"predicting ['x\n']", "INFO")


def test_a_metrics_port_in_use_is_found_before_the_policy_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with listen(LOOPBACK) as sock:
        port = port_of(sock)
        said = fails(capsys, 1, "serve", "not_there:X", "--port", "0", "--metrics-port", str(port))
    assert said == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; "
        "stop what listens there, or choose another --metrics-port (0 lets the system pick)"
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--metrics-host", "::1"], 2, "argument --metrics-host: add --metrics-port, which turns"),
        (["--metrics-host", "unix:/x", "--metrics-port", "1"], 2, "needs a host, no UNIX socket"),
        (["--metrics-port", "x"], 2, "argument --metrics-port: 'x' is no whole number"),
        (["--metrics-host", "192.0.2.1", "--metrics-port", "0"], 1, "give --metrics-host an addr"),
        (["--log-format", "xml"], 2, "argument --log-format: invalid choice: 'xml'"),
    ],
)
def test_options_that_cannot_be_are_told_with_what_to_give(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert said in fails(capsys, code, "serve", "not_there:X", "--port", "0", *words)
