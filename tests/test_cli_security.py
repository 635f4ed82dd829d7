# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""TLS, tokens and the mode of a socket on the command line, end to end."""

from __future__ import annotations

import logging
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from command import Recorder, fails, says
from processes import Start

from praxis_remote import PolicyServer

TOKEN = "a-secret.7"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# of the lab\n{TOKEN}\n")
    return path


def test_a_policy_is_served_and_called_with_tls_certificates_and_tokens(
    start: Start,
    authority: Authority,
    token_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    authority.issue("server")
    client = authority.issue("client", "robot-7")
    token_file.rename(tmp_path / "relative")
    process = start(
        # A policy that goes to another folder, and files named from this one.
        *["serve", "policies:Wandering", "--port", "0", "--tls-cert", "server.pem"],
        *["--tls-key", "server.key", "--tls-client-ca", "ca.pem", "--token-file", "relative"],
    )
    line = process.out.next()
    assert line is not None, process.err.rest()
    address = line.split()[-1]
    security = ["--tls-ca", str(authority.ca), "--tls-cert", str(client.cert)]
    security += ["--tls-key", str(client.key), "--token-file", str(tmp_path / "relative")]
    assert "thread" in says(capsys, "health", address, *security)
    assert says(capsys, "predict", address, "--json", "{}", *security)
    assert says(capsys, "reset", address, *security)
    assert "token" in fails(capsys, 1, "health", address, *security[:-2])
    assert "--tls-cert and --tls-key" in fails(capsys, 1, "health", address, *security[:2])
    error = fails(capsys, 1, "health", address, "--tls")
    assert "not trusted" in error
    assert "--tls-ca" in error
    assert "--wait" not in error
    error = fails(capsys, 1, "health", address, *security, "--tls-server-name", "elsewhere")
    assert "not for 'elsewhere'" in error
    assert "--tls-server-name" in error
    assert "--tls" in fails(capsys, 1, "health", address)
    authority.issue("server")
    (tmp_path / "relative").write_text("another\n")
    assert "thread" in says(capsys, "health", address, *security)
    process.send(signal.SIGTERM)
    assert process.end() == 0
    assert TOKEN not in "\n".join(process.err.all)


def test_a_bench_shows_certificate_and_token_with_every_call_that_it_makes(
    authority: Authority, policy: Recorder, token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = authority.issue("client", "robot-7")
    with PolicyServer(
        policy, port=0, tls=authority.server(mutual=True), tokens=token_file
    ) as server:
        words = ["bench", server.address, "--payload", "state", "--calls", "3", "--warmup", "0"]
        words += ["--json", "--tls-ca", str(authority.ca), "--tls-cert", str(client.cert)]
        words += ["--tls-key", str(client.key)]
        assert '"calls": 3,' in says(capsys, *words, "--token-file", str(token_file))
        assert "this server wants a token" in fails(capsys, 1, *words)


def test_the_mode_of_a_socket_is_given_as_chmod_takes_it(start: Start, socket_folder: Path) -> None:
    path = socket_folder / "policy.sock"
    process = start("serve", "policies:Policy", "--host", f"unix:{path}", "--socket-mode", "622")
    process.client().close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o622
    process.send(signal.SIGTERM)
    assert process.end() == 0


def test_a_key_without_a_password_in_the_file_of_the_certificate_will_do(
    authority: Authority, policy: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    pem = authority.issue("client", "robot-7")
    pem.cert.write_bytes(pem.cert.read_bytes() + pem.key.read_bytes())
    with PolicyServer(policy, port=0, tls=authority.server(mutual=True)) as server:
        words = ["--tls-ca", str(authority.ca), "--tls-cert", str(pem.cert)]
        assert says(capsys, "health", server.address, *words) == "recorder v1\n"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--tls-cert", "c.pem"], 2, "--tls-cert, --tls-key: give both or none"),
        (["--tls-key", "k.pem"], 2, "--tls-cert, --tls-key: give both or none"),
        (["--tls-client-ca", "ca.pem"], 2, "--tls-client-ca: give --tls-cert and --tls-key"),
        (["--tls-cert", "c.pem", "--tls-key", "k.pem"], 1, "tls: cert: cannot read"),
        (["--token-file", "missing"], 1, "tokens: cannot read"),
        (["--socket-mode", "660"], 2, "socket_mode: 0o660, and 127.0.0.1:0 has no file"),
        (["--socket-mode", "999"], 2, "'999'; give three octal digits, such as 660"),
        (["--socket-mode", "7777"], 2, "'7777'; give three octal digits, such as 660"),
    ],
)
def test_what_cannot_be_is_told_before_the_policy_is_loaded(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, text: str
) -> None:
    assert text in fails(capsys, code, "serve", "no.such:Policy", "--port", "0", *words)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--tls-key", "k.pem"], 2, "key without cert"),
        (["--tls-ca", "missing.pem"], 1, "tls: ca: cannot read"),
        (["--token-file", "missing"], 1, "token: cannot read"),
    ],
)
def test_what_a_caller_gets_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, text: str
) -> None:
    assert text in fails(capsys, code, "health", "127.0.0.1:1", *words)


def test_a_server_that_anybody_reaches_says_so_once(start: Start) -> None:
    process = start("serve", "policies:Policy", "--host", "0.0.0.0", "--port", "0")
    assert process.out.next() is not None
    process.send(signal.SIGTERM)
    assert process.process.wait(30) == 0
    open_lines: list[Any] = [line for line in process.err.rest() if "OPEN TO THE NETWORK" in line]
    assert len(open_lines) == 1
    assert logging.getLevelName(logging.WARNING) in open_lines[0]
    assert all(flag in open_lines[0] for flag in ("--token-file", "--tls-cert", "--tls-key"))
