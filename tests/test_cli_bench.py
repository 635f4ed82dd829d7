# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""`bench` makes the calls that it was asked for, and tells what became of them.

Servers and the processes that call are real ones; nothing here looks at how long
anything took.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import ERROR, ROOT, TIMEOUT, Recorder, fails, says
from matplotlib import image

from praxis_remote import PolicyServer, cli
from praxis_remote.address import parse_address
from praxis_remote.bench import Payload, Plan, Progress, WorkerLostError, generate, load
from praxis_remote.bench.payloads import preset
from praxis_remote.bench.worker import Assignment, Ready, Stop
from praxis_remote.testing import GatedHandler

# One process for all clients: what costs most here is to start them.
QUICK = ["--warmup", "0", "--processes", "1"]
STATE = ["--payload", "state", *QUICK]


def figures(capsys: pytest.CaptureFixture[str], address: str, *words: str) -> Any:
    """Runs a bench that must go well, and returns the one JSON object that it prints."""

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    said = says(capsys, "bench", address, "--json", *words)
    return json.loads(said, parse_constant=no_constant)


# ---------------------------------------------------------------- what is called


def test_as_many_calls_are_made_as_asked_for_by_each_client_its_share(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder
) -> None:
    words = ["--calls", "8", "--concurrency", "3", "--batch", "2", "--episodes"]
    found = figures(capsys, address, *words, *STATE, "--kwarg", "t=0.5")
    assert (found["calls"], found["failed"], found["cut_off"], found["stopped"]) == (
        8,
        {},
        0,
        False,
    )
    expected = Counter({(f"bench-{n}-0", f"bench-{n}-1"): 3 if n < 2 else 2 for n in range(3)})
    assert Counter(ids for _, _, ids in policy.calls) == expected
    assert all(kwargs == {"t": 0.5} for _, kwargs, _ in policy.calls)
    assert all(len(batch) == 2 for batch, _, _ in policy.calls)


def test_figures_are_of_the_calls_and_of_each_of_their_phases(
    capsys: pytest.CaptureFixture[str], policy: Recorder
) -> None:
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        found = figures(capsys, server.address, "--calls", "5", *STATE, "--rate", "500")
    assert found["schema"] == 1
    assert (found["address"], found["policy"]) == (server.address, "recorder v1")
    assert found["asked"] == {
        "payload": "state",
        "observations": 1,
        "request_bytes": found["asked"]["request_bytes"],
        "loop": "open",
        "latency_from": "due time",
        "concurrency": 1,
        "processes": 1,
        "calls": 5,
        "duration_s": None,
        "rate": 500.0,
        "warmup_s": 0.0,
        "episodes": False,
    }
    assert 128 < found["asked"]["request_bytes"] < 256
    latency, late = found["latency_ms"], found["late_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99_9"] <= latency["max"]
    assert 0 <= late["p50"] <= latency["p50"]
    assert all(phase is not None for phase in found["phases_ms"].values())
    assert found["phases_ms"]["network"]["p50"] > 0
    # No episode and no argument was asked for.
    assert {ids for _, _, ids in policy.calls} == {None}


def test_calls_before_those_that_are_measured_are_not_counted(
    capsys: pytest.CaptureFixture[str], policy: Recorder
) -> None:
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        words = [*STATE, "--calls", "2", "--warmup", "0.001"]
        found = figures(capsys, server.address, *words)
    assert found["calls"] == 2 < len(policy.calls)


def test_a_duration_ends_a_run_after_calls_that_have_begun(
    capsys: pytest.CaptureFixture[str], policy: Recorder
) -> None:
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        found = figures(capsys, server.address, *STATE, "--duration", "0.01")
    assert found["calls"] == len(policy.calls) > 0
    assert found["asked"]["duration_s"] == 0.01


@pytest.mark.parametrize(
    ("words", "length"),
    [
        (["--npz", "o.npz", "--batch", "3"], 3),
        (["--observations", '[{"a": [1.5, 2.5]}, {"a": [1.5, 2.5]}]'], 2),
    ],
    ids=["npz", "a batch"],
)
def test_an_observation_of_one_s_own_is_sent_as_predict_sends_it(
    capsys: pytest.CaptureFixture[str],
    policy: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    length: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("o.npz", a=np.array([1.5, 2.5]))
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        found = figures(capsys, server.address, *words, "--calls", "1", *QUICK)
    assert found["asked"]["observations"] == length
    ((batch, kwargs, _),) = policy.calls
    assert [observation["a"].tolist() for observation in batch] == [[1.5, 2.5]] * length
    assert kwargs == {}


# ---------------------------------------------------------------- what is told


def test_a_pipe_gets_the_table_and_nothing_else_and_files_get_figures_and_picture(
    capsys: pytest.CaptureFixture[str], policy: Recorder, tmp_path: Path
) -> None:
    result, picture = tmp_path / "o.json", tmp_path / "o.png"
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        files = ["--json", str(result), "--plot", str(picture)]
        words = ["bench", server.address, *STATE, "--calls", "4", *files]
        code = cli.main(words)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "connecting" not in out
    assert out.startswith(f"{server.address}: recorder v1\nstate: 1 observation, 0.1")
    assert "\n4 calls in " in out
    for head in ("p99.9", "server infer", "client decode"):
        assert head in out
    assert max(map(len, out.splitlines())) <= 80
    assert json.loads(result.read_text())["calls"] == 4
    assert image.imread(picture).ndim == 3


def test_errors_are_counted_by_status_and_if_every_call_failed_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str], policy: Recorder
) -> None:
    policy.error = KeyError("observation.images.left [bold]")
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        code = cli.main(["bench", server.address, *STATE, "--calls", "4", "--concurrency", "2"])
    out, err = capsys.readouterr()
    assert code == 1
    assert "0 calls in" in out
    assert "\n4 calls failed\n" in out
    assert "INTERNAL" in out
    assert err.startswith(f"{ERROR}every call failed: INTERNAL: ")
    assert "observation.images.left [bold]" in err


def test_a_policy_that_fails_at_the_first_call_of_the_warmup_is_not_called_again(
    capsys: pytest.CaptureFixture[str], policy: Recorder
) -> None:
    policy.error = KeyError("joints")
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        said = fails(capsys, 1, "bench", server.address, "--payload", "state", "--warmup", "1")
    assert "with the payload state: INTERNAL: 'joints'" in said
    assert "the payload's keys: observation.state; send what the policy takes with --npz" in said
    assert len(policy.calls) == 1


def test_some_errors_are_told_and_the_exit_code_is_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Fussy(Recorder):
        def predict_action(self, observations: Any, **given: Any) -> Any:
            super().predict_action(observations, **given)
            if len(self.calls) % 2:
                raise ValueError(f"call {len(self.calls)}")
            return self.action

    with PolicyServer(Fussy(), host="127.0.0.1", port=0) as server:
        found = figures(capsys, server.address, *STATE, "--calls", "6")
    assert found["calls"] == 3
    assert found["failed"]["INVALID_ARGUMENT"]["count"] == 3
    assert found["failed"]["INVALID_ARGUMENT"]["example"].startswith("INVALID_ARGUMENT: call 1")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--plot", "o.gif"], 2, "argument --plot: 'o.gif'; the name ends in one of .png, .svg"),
        (["--plot", "missing/o.png"], 2, "--plot: there is no folder for missing/o.png; make it"),
        (["--json", "missing/o.json"], 2, "--json: there is no folder for missing/o.json"),
        (["--concurrency", "0"], 2, "--concurrency: '0'; give a whole number, at least 1"),
        (["--rate", "0"], 2, "argument --rate: '0'; give calls a second, more than 0"),
        (["--rate", "fast"], 2, "argument --rate: 'fast' is no number of calls a second"),
        (["--duration", "inf"], 2, "argument --duration: 'inf'; give seconds, more than 0"),
        (["--payload", "arm"], 2, "argument --payload: invalid choice: 'arm'"),
        (["--payload", "vla", "--npz", "o"], 2, "not allowed with argument --payload"),
        (["--observations", "[{}, {}]", "--batch", "3"], 2, "--observations has 2; leave --batch"),
        (["--observations", "[]"], 1, "observations"),
        (["--observations", "{bad"], 2, "--observations is no JSON that can be read: "),
        (["--tls-key", "k.pem"], 2, "tls: key without cert"),
        (["--tls-ca", "missing.pem"], 1, "tls: ca: cannot read"),
        (["--token-file", "missing"], 1, "token: cannot read"),
        (["--observations", '{"a": 99999999999999999999}'], 1, "a"),
        (["--kwarg", "a=1", "--kwarg", "a=1"], 2, "argument --kwarg: a is given twice"),
        ([], 1, "UNAVAILABLE: cannot connect"),
    ],
)
def test_what_is_wrong_is_one_line_before_any_call(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in fails(capsys, code, "bench", f"unix:{tmp_path}/none", *words)


@pytest.mark.parametrize(
    ("module", "words"), [("rich", []), ("matplotlib", ["--json", "--plot", "o.png"])]
)
def test_an_extra_that_is_missing_is_named_before_any_call(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    words: list[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    said = fails(capsys, 1, "bench", "h:1", *words)
    assert f"needs {module}, which cannot be imported" in said
    assert said.endswith("pip install 'praxis-remote[tools]'")


def test_without_rich_there_is_json(
    capsys: pytest.CaptureFixture[str], policy: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        assert figures(capsys, server.address, *STATE, "--calls", "1")["calls"] == 1


def test_the_command_line_imports_nothing_of_the_extra() -> None:
    code = (
        "import sys, praxis_remote.cli.program; "
        "print({'rich', 'matplotlib'} & {name.partition('.')[0] for name in sys.modules})"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout == "set()\n"


def test_a_policy_that_is_not_ready_is_not_called(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from praxis_remote import PolicyClient

    monkeypatch.setattr(PolicyClient, "health_check", lambda _: (False, "still warming"))
    assert fails(capsys, 1, "bench", "h:1") == "h:1 is not ready: still warming"


# ---------------------------------------------------------------- a terminal, and Ctrl-C


class Terminal:
    """The command in a process of its own, on a terminal."""

    def __init__(self, *words: str) -> None:
        ours, theirs = os.openpty()
        environment = {key: os.environ[key] for key in os.environ if key != "NO_COLOR"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "praxis_remote", *words],
            env={**environment, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.said = b""
        self.calling = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()

    def _read(self, ours: int) -> None:
        with open(ours, "rb", buffering=0) as stream:
            # Where the other end is closed, Linux says so with an error.
            try:
                while chunk := stream.read(65536):
                    self.said += chunk
                    if b"calls/s" in self.said:
                        self.calling.set()
            except OSError:
                return

    def end(self) -> tuple[int, str]:
        """Waits for the exit; returns its code and all that was said."""
        try:
            code = self.process.wait(TIMEOUT)
        finally:
            self.process.kill()
        self._reader.join(TIMEOUT)
        return code, self.said.decode()


@pytest.fixture
def gated() -> Iterator[GatedHandler]:
    handler = GatedHandler()
    yield handler
    handler.let_end(1000)


def test_a_terminal_sees_a_progress_bar_and_ctrl_c_ends_early_with_the_table(
    gated: GatedHandler,
) -> None:
    with PolicyServer(gated, host="127.0.0.1", port=0) as server:
        terminal = Terminal("bench", server.address, *STATE, "--duration", "1000")
        gated.let_end(3)
        for _ in range(4):
            gated.wait_begun()
        assert terminal.calling.wait(TIMEOUT)
        # To the group, as a terminal does: those that call must not hear of it.
        os.killpg(terminal.process.pid, signal.SIGINT)
        code, said = terminal.end()
        gated.let_end()
    assert code == 0
    assert "connecting and warming up" in said
    # The last that is shown is the table, after the bar was wiped away.
    table = said[said.rindex("GatedHandler") :]
    assert "3 calls in" in table
    assert "stopped early, 1 call cut off" in table
    assert "server infer" in table
    assert "█" in table
    assert "connecting" not in table


def test_ctrl_c_before_any_call_has_ended_is_one_line(gated: GatedHandler) -> None:
    with PolicyServer(gated, host="127.0.0.1", port=0) as server:
        words = [sys.executable, "-m", "praxis_remote", "bench", server.address, *STATE]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(words, cwd=ROOT, **pipes) as process:
            gated.wait_begun()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT)
        gated.let_end()
    assert (process.returncode, out, err) == (130, "", f"{ERROR}interrupted\n")


# ---------------------------------------------------------------- processes that call


def plan(address: str, **options: Any) -> Plan:
    at = parse_address(address)
    client = {"host": at.host, "port": at.port, "timeout": TIMEOUT}
    return Plan(client=client, payload=Payload("state", preset("state"), {}), **options)


def test_clients_are_dealt_among_processes() -> None:
    dealt = plan("h:1", concurrency=5, processes=2).shares()
    assert [list(clients) for clients in dealt] == [[0, 2, 4], [1, 3]]
    assert len(plan("h:1", concurrency=1, processes=8).shares()) == 1


def test_progress_tells_how_many_calls_ended(policy: Recorder) -> None:
    seen: list[Progress] = []
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        found = generate(
            plan(server.address, calls=6, concurrency=2), threading.Event(), seen.append
        )
    assert found.samples.count == 6
    assert seen[-1].calls == 6
    assert [progress.calls for progress in seen] == sorted(progress.calls for progress in seen)


def test_a_run_that_is_stopped_before_it_begins_calls_nobody(policy: Recorder) -> None:
    stop = threading.Event()
    stop.set()
    with PolicyServer(policy, host="127.0.0.1", port=0) as server:
        found = generate(plan(server.address, calls=6, warmup=1000.0), stop, lambda _: None)
    assert (found.samples.count, found.stopped) == (0, True)


def test_a_process_that_is_lost_ends_the_run_and_all_others(
    gated: GatedHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Kept(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(load.subprocess, "Popen", Kept)  # type: ignore[attr-defined]

    def kill(progress: Progress) -> None:
        if progress.seconds is not None:
            started[0].kill()

    with PolicyServer(gated, host="127.0.0.1", port=0) as server:
        both = plan(server.address, calls=6, concurrency=2, processes=2)
        with pytest.raises(WorkerLostError, match="ended with exit code -9"):
            generate(both, threading.Event(), kill)
        # The other one left by itself.
        assert [process.returncode for process in started] == [-signal.SIGKILL, 1]
        gated.let_end(2)


def test_a_process_leaves_when_its_parent_is_gone(gated: GatedHandler) -> None:
    with PolicyServer(gated, host="127.0.0.1", port=0) as server:
        worker = load._Worker(Assignment(plan(server.address, calls=1), range(1)))
        assert isinstance(worker.connection.recv(), Ready)
        worker.connection.close()
        assert worker.process.wait(TIMEOUT) == 1


def test_nothing_said_to_a_process_that_is_gone_is_an_error() -> None:
    ours, theirs = Pipe()
    theirs.close()
    worker = object.__new__(load._Worker)
    worker.connection = ours
    worker.tell(Stop())
    ours.close()
