# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Every command says in one line what is wrong, exits with what tells it, and has a help."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from command import ERROR, ROOT, TIMEOUT, fails
from processes import Start

from praxis_remote import PolicyClient, __version__, cli
from tools.site import parsers

PREDICT = ["predict", "h", "--json", "{}"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: COMMAND; see `praxis-remote --help`"),
        (["dance"], "invalid choice: 'dance'"),
        (["serve"], "required: TARGET; see `praxis-remote serve --help`"),
        (
            ["serve", "mod:X", "--token", "t"],
            "unrecognized arguments: --token t; did you mean --token-file?; arguments of the "
            "policy are given as --kwarg NAME=VALUE; see `praxis-remote serve --help`",
        ),
        (
            ["health", "h", "--server-name=a", "b"],
            "--server-name=a b; did you mean --tls-server-name?; see `praxis-remote health --help`",
        ),
        (["serve", "mod:X", "--worker", "2"], "argument --worker: '2'; did you mean --workers?"),
        (
            ["serve", "mod:X", "--worke", "2"],
            "unrecognized arguments: --worke 2; did you mean --workers?",
        ),
        (["reset", "h", "x"], "unrecognized arguments: x; see `praxis-remote reset --help`"),
        (["serve", "my_mod.py:X"], "argument TARGET: 'my_mod.py:X' names a file"),
        (["serve", "mod:X", "--kwarg", "a"], "argument --kwarg: 'a'; write NAME=VALUE"),
        (["serve", "mod:X", "--kwarg", "=1"], "argument --kwarg: '=1'; write NAME=VALUE"),
        (["serve", "m:X", "--kwarg", "a=1", "--kwarg", "a=2"], "--kwarg: a is given twice"),
        (["serve", "mod:X", "--host", ""], "argument --host: host: ''; pass a host name"),
        (["serve", "mod:X", "--host", "/run/p"], "for a UNIX socket write unix:/run/p"),
        (["serve", "mod:X", "--host", "unix:p", "--port", "1"], "port: 1; unix:p has none, leave"),
        (["serve", "mod:X", "--port", "65536"], "--port: port: 65536; allowed: 0 to 65535"),
        (["serve", "mod:X", "--port", "x"], "argument --port: 'x' is no whole number"),
        (["serve", "mod:X", "--max-pending", "-1"], "'-1' is no whole number"),
        (["serve", "mod:X", "--limit", "stall=1"], "write NAME=NUMBER with one of connections,"),
        (["serve", "mod:X", "--limit", "connections=0"], "connections=0; allowed: a whole number"),
        (
            ["serve", "mod:X", "--limit", "connections=1", "--limit", "connections=2"],
            "argument --limit: connections is given twice",
        ),
        (["serve", "mod:X", "--max-message-size", "0"], "'0'; give a number of bytes, at least 1"),
        (["serve", "mod:X", "--grace", "-1"], "argument --grace: '-1'; give seconds, 0 or more"),
        (["serve", "mod:X", "--grace", "nan"], "argument --grace: 'nan'; give seconds, 0 or more"),
        (["serve", "mod:X", "--grace", "soon"], "--grace: 'soon' is no number of seconds"),
        (["serve", "mod:X", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["health", "::1"], "argument ADDR: address: '::1'; write an IPv6 address as [::1]:50051"),
        (["health", "/run/p"], "argument ADDR: address: '/run/p'; for a UNIX socket write unix:/"),
        (["health", "unix:"], "argument ADDR: host: 'unix:'; write unix:PATH"),
        (["health", "h:p"], "argument ADDR: address: 'h:p'; allowed: HOST:PORT"),
        (["health", "h", "--timeout", "0"], "argument --timeout: '0'; give seconds, more than 0"),
        (["health", "h", "--wait", "nan"], "argument --wait: 'nan'; give seconds, more than 0"),
        (["predict", "h"], "one of the arguments --npz --json is required"),
        ([*PREDICT, "--npz", "x"], "not allowed with argument --json"),
        ([*PREDICT, "--kwarg", "a=1", "--kwarg", "a=1"], "argument --kwarg: a is given twice"),
        (["predict", "h", "--json", "{"], "--json is no JSON that can be read: Expecting"),
        (["predict", "h", "--json", '{"a": 1, "a": 2}'], "one of the keys a twice"),
        (["proto"], "one of the arguments --include --adopt is required"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exits_2(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in fails(capsys, 2, *words)


def test_ctrl_c_while_the_input_is_read_is_one_line(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = start("predict", "h", "--json", "fifo")
    # Opening waits for the reader, which then waits for the end of the input.
    with (tmp_path / "fifo").open("w"):
        process.send(signal.SIGINT)
        assert process.end() == 130
    assert process.err.all == [f"{ERROR}interrupted"]


def test_an_interrupted_command_exits_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A signal would interrupt what measures coverage, too, and end it.
    def interrupted(_: PolicyClient) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(PolicyClient, "health_check", interrupted)
    assert fails(capsys, 130, "health", "h:1") == "interrupted"


@pytest.mark.parametrize("words", [["-h"], *([name, "-h"] for name in ("serve", "predict"))])
def test_help_has_examples_and_exit_codes(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "exit codes:" in out


@pytest.mark.parametrize("parser", list(parsers()), ids=lambda parser: parser.prog)
def test_help_fits_the_narrowest_terminal(parser: argparse.ArgumentParser) -> None:
    # argparse folds the rest itself.
    lines = f"{parser.description}\n{parser.epilog}".splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_the_module_can_be_run_and_tells_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "praxis_remote", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"praxis-remote {__version__}\n")
