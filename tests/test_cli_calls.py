# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A served policy is called from the shell, and what keeps it from being so is one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from command import Recorder, fails, says

from praxis_remote import PolicyClient


def test_health_prints_what_the_policy_says_of_itself(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert says(capsys, "health", address) == "recorder v1\n"
    assert says(capsys, "health", address, "--wait", "20") == "recorder v1\n"


def test_health_of_nobody_exits_1(capsys: pytest.CaptureFixture[str], nobody: str) -> None:
    said = fails(capsys, 1, "health", nobody)
    assert said.startswith("UNAVAILABLE: ")
    assert nobody in said
    assert said.endswith("is a policy served there? `health ADDR --wait SECONDS` waits for one")


def test_health_waits_no_longer_than_told(capsys: pytest.CaptureFixture[str], nobody: str) -> None:
    said = fails(capsys, 1, "health", nobody, "--wait", "0.05")
    assert "the server was not ready within 0.05 s" in said
    assert said.endswith("allow more time with --timeout or --wait")


def test_health_of_a_policy_that_is_not_ready_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Servers of this package are ready or not there; others may say so.
    monkeypatch.setattr(PolicyClient, "health_check", lambda _: (False, "warming up"))
    assert fails(capsys, 1, "health", "h:1") == "h:1 is not ready: warming up"


def test_reset_forgets_the_given_episodes_or_all(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder
) -> None:
    assert says(capsys, "reset", address, "--episode", "a", "--episode", "b") == "reset a, b\n"
    assert says(capsys, "reset", address) == "reset all episodes\n"
    assert policy.calls == [("a", "b"), None]


def test_a_reset_that_was_not_done_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As above: only other servers answer with success=False.
    monkeypatch.setattr(PolicyClient, "reset", lambda _, episode_ids: bool(episode_ids))
    assert fails(capsys, 1, "reset", "h:1") == "h:1 says that nothing was reset"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("out of\nmemory"), "INTERNAL: out of memory ({}); the server's log has the"),
        (ValueError("no state"), "INVALID_ARGUMENT: no state ({})"),
    ],
)
def test_what_the_policy_raises_is_one_line(
    capsys: pytest.CaptureFixture[str],
    address: str,
    policy: Recorder,
    error: Exception,
    said: str,
) -> None:
    policy.error = error
    assert fails(capsys, 1, "reset", address).startswith(said.format(address))
    assert fails(capsys, 1, "predict", address, "--json", "{}").startswith(said.format(address))


def test_a_call_gives_up_after_its_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        said = fails(capsys, 1, "predict", address, "--json", "{}", "--timeout", "0.05")
    assert said.startswith("DEADLINE_EXCEEDED")


def test_a_json_list_is_a_batch_with_an_episode_each(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder, tmp_path: Path
) -> None:
    path = tmp_path / "batch.json"
    path.write_text('[{"a": 1}, {"a": 2}]')
    says(
        capsys,
        *["predict", address, "--json", str(path), "--episode", "x", "--episode", "y"],
        *["--kwarg", "t=0.5", "--kwarg", 'text="3"', "--kwarg", "nan=NaN", "--kwarg", "eq=a=b"],
    )
    assert policy.calls == [
        ([{"a": 1}, {"a": 2}], {"t": 0.5, "text": "3", "nan": "NaN", "eq": "a=b"}, ("x", "y"))
    ]


def test_episodes_that_do_not_match_the_batch_are_one_line(
    capsys: pytest.CaptureFixture[str], nobody: str
) -> None:
    said = fails(capsys, 1, "predict", nobody, "--json", "[{}]", *["--episode", "a"] * 2)
    assert "2 ids for 1 observations" in said


def test_a_request_over_the_limit_is_one_line(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    words = ["--json", '{"a": [1, 2, 3, 4, 5, 6, 7, 8]}', "--max-message-size", "50"]
    assert "larger than the limit of 50 bytes" in fails(capsys, 1, "predict", address, *words)
