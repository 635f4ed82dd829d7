# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command line serves, calls, stops in good order, and says in one line what is wrong."""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from praxis_remote import Observation, PolicyClient, PolicyServer, __version__, cli
from praxis_remote.cli import serve
from praxis_remote.errors import UnavailableError
from praxis_remote.schema import include_path

ROOT = Path(__file__).parents[1]
TIMEOUT = 20.0
ERROR = "praxis-remote: error: "

# The policies that are served in other processes. Where the test has to hold one back,
# it gives the port on which the policy tells that it is there and waits to go on.
POLICIES = """
import atexit, logging, os, socket, sys, threading

import numpy as np

IMPORTED_ON = threading.get_ident()


def wait_for_test(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as gate:
        gate.recv(1)


class Policy:
    def __init__(self, **kwargs):
        self.kwargs = kwargs
        self.made_on = threading.get_ident()

    def predict_action(self, observations, *, policy_kwargs=None):
        logging.getLogger("my.policy").info("predicting %s", sorted(observations[0]))
        if "gate" in observations[0]:
            wait_for_test(observations[0]["gate"])
        return np.array([len(observations)])

    def reset(self, episode_ids=None): ...

    def model_info(self):
        threads = {IMPORTED_ON, self.made_on, threading.get_ident()}
        main = threading.main_thread().ident in threads
        return f"{self.kwargs} on {len(threads)} thread, main: {main}"


class Slow(Policy):
    def __init__(self, gate):
        super().__init__()
        wait_for_test(gate)


class Lingering(Policy):
    def __init__(self, gate):
        super().__init__()
        atexit.register(wait_for_test, gate)


class Outer:
    class Broken(Policy):
        def __init__(self):
            raise RuntimeError("no weights")
"""


class Lines:
    """A process's output, line by line, with a limit to every wait."""

    def __init__(self, stream: Any) -> None:
        self._new: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.all: list[str] = []
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self._new.put(line.rstrip("\n"))
        stream.close()
        self._new.put(None)

    def next(self) -> str | None:
        line = None if self._ended else self._new.get(timeout=TIMEOUT)
        if line is None:
            self._ended = True
        else:
            self.all.append(line)
        return line

    def wait_for(self, text: str) -> str:
        while (line := self.next()) is not None:
            if text in line:
                return line
        raise AssertionError(f"{text!r} is in none of {self.all}")

    def rest(self) -> list[str]:
        while self.next() is not None:
            pass
        return self.all


class Process:
    """The command line in a process of its own."""

    def __init__(self, *words: str, cwd: Path, program: Sequence[str] = ("-m", "praxis_remote")):
        self.process = subprocess.Popen(
            [sys.executable, *program, *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out, self.err = Lines(self.process.stdout), Lines(self.process.stderr)

    def send(self, *signals: signal.Signals) -> None:
        for number in signals:
            self.process.send_signal(number)

    def end(self) -> int:
        """Waits for the exit and returns its code; there must be no traceback."""
        code = self.process.wait(TIMEOUT)
        assert "Traceback" not in "\n".join(self.err.rest())
        self.out.rest()
        return code

    def client(self) -> PolicyClient:
        """Waits for the line that tells the address, and returns a client."""
        line = self.out.next() or "\n".join(self.err.rest())
        match = re.fullmatch(r"serving \w+ on 127\.0\.0\.1:(\d+)", line)
        assert match is not None, line
        return PolicyClient("127.0.0.1", int(match[1]), timeout=TIMEOUT)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command line in a folder that holds ``policies.py``."""
    (tmp_path / "policies.py").write_text(POLICIES)
    processes: list[Process] = []

    def start(*words: str, **options: Any) -> Process:
        processes.append(Process(*words, cwd=tmp_path, **options))
        return processes[-1]

    yield start
    for each in processes:
        each.process.kill()
        each.process.wait(TIMEOUT)
        each.out.rest()
        each.err.rest()


class Gate:
    """Where a policy in another process waits for the test."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TIMEOUT)
        self._waiting: socket.socket | None = None
        self.port: int = self._listener.getsockname()[1]

    def reached(self) -> None:
        self._waiting, _ = self._listener.accept()

    def open(self) -> None:
        if self._waiting is not None:
            self._waiting.close()

    def close(self) -> None:
        self.open()
        self._listener.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def predict_at_gate(
    client: PolicyClient, gate: Gate, pool: ThreadPoolExecutor
) -> Future[np.ndarray[Any, Any]]:
    """Returns a call that the policy works on, until the gate is opened."""
    call = pool.submit(client.predict_action, [{"gate": gate.port}])
    gate.reached()
    return call


# ---------------------------------------------------------------- serving, in a process


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGTERM]],
    ids=["SIGTERM", "SIGINT", "both together"],
)
def test_a_stop_signal_lets_running_and_waiting_calls_finish_and_exits_0(
    start: Start, gate: Gate, pool: ThreadPoolExecutor, signals: list[signal.Signals]
) -> None:
    process = start("serve", "policies:Policy", "--port", "0")
    with process.client() as client:
        call = predict_at_gate(client, gate, pool)
        process.send(*signals)
        process.err.wait_for("stopping: no new calls are taken, running ones get 10 s")
        with pytest.raises(UnavailableError):
            client.predict_action([{"a": 1}])
        gate.open()
        assert call.result(TIMEOUT).tolist() == [1]
    assert process.end() == 0
    assert len(process.out.all) == 1


def test_the_policy_is_imported_made_and_called_on_one_thread_with_its_arguments(
    start: Start,
) -> None:
    process = start(
        *["serve", "policies:Policy", "--port", "0", "--kwarg", "scale=2.0"],
        *["--kwarg", "path=/x/y.pt", "--kwarg", "mode=fast", "--kwarg", "flags=[true, null]"],
    )
    with process.client() as client:
        assert client.wait_ready(TIMEOUT) == (
            "{'scale': 2.0, 'path': '/x/y.pt', 'mode': 'fast', 'flags': [True, None]} "
            "on 1 thread, main: False"
        )
        client.predict_action([{"x": 1}])
    process.send(signal.SIGTERM)
    assert process.end() == 0
    log = "\n".join(process.err.all)
    assert re.search(r"^[-\d]+ [:,\d]+ INFO +my.policy: predicting \['x'\]$", log, re.M), log


def test_a_second_signal_stops_at_once_and_exits_0(
    start: Start, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    process = start("serve", "policies:Policy", "--port", "0", "--grace", "1000")
    with process.client() as client:
        call = predict_at_gate(client, gate, pool)
        process.send(signal.SIGINT)
        process.err.wait_for("SIGINT or SIGTERM once more stops at once")
        process.send(signal.SIGTERM)
        with pytest.raises(UnavailableError):
            call.result(TIMEOUT)
    # The gate is still closed: the process leaves although the policy has not returned.
    assert process.end() == 0
    assert "leaving although the policy still works" in process.err.all[-1]


def test_calls_that_outlast_the_grace_are_given_up_and_the_exit_code_is_0(
    start: Start, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    process = start("serve", "policies:Policy", "--port", "0", "--grace", "0.01")
    with process.client() as client:
        call = predict_at_gate(client, gate, pool)
        process.send(signal.SIGTERM)
        with pytest.raises(UnavailableError, match="shutting down"):
            call.result(TIMEOUT)
    assert process.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_policy_loads_ends_the_process_at_once(
    start: Start, gate: Gate, number: signal.Signals
) -> None:
    process = start("serve", "policies:Slow", "--port", "0", "--kwarg", f"gate={gate.port}")
    gate.reached()
    process.send(number)
    assert process.end() == -number
    assert process.out.all == process.err.all == []


def test_a_signal_while_the_policy_s_exit_hooks_run_ends_the_process_with_0(
    start: Start, gate: Gate
) -> None:
    process = start("serve", "policies:Lingering", "--port", "0", "--kwarg", f"gate={gate.port}")
    process.client().close()
    process.send(signal.SIGTERM)
    gate.reached()
    process.send(signal.SIGINT)
    assert process.end() == 0


def test_the_installed_script_imports_from_the_current_folder(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "praxis-remote"
    script.parent.mkdir()
    script.write_text("import sys\nfrom praxis_remote.cli import main\nsys.exit(main())\n")
    process = start("serve", "policies:Policy", "--port", "0", program=[str(script)])
    process.client().close()
    process.send(signal.SIGTERM)
    assert process.end() == 0


def test_what_the_policy_s_code_raises_is_one_line_with_its_place(
    start: Start, tmp_path: Path
) -> None:
    process = start("serve", "policies:Outer.Broken", "--port", "0")
    assert process.end() == 1
    place = POLICIES.splitlines().index('            raise RuntimeError("no weights")') + 1
    assert process.err.all == [
        f"{ERROR}policies:Outer.Broken: calling Outer.Broken failed with RuntimeError: no weights, "
        f"raised at {tmp_path / 'policies.py'}:{place}; for its traceback add --log-level debug"
    ]


def test_what_the_policy_s_code_raises_has_a_traceback_on_demand(start: Start) -> None:
    process = start("serve", "policies:Outer.Broken", "--port", "0", "--log-level", "debug")
    assert process.process.wait(TIMEOUT) == 1
    log = process.err.rest()
    assert "Traceback (most recent call last):" in log
    assert log[-2] == "RuntimeError: no weights"
    assert log[-1].startswith(ERROR)


def test_ctrl_c_during_a_call_ends_the_process_without_a_word(start: Start, gate: Gate) -> None:
    process = start("health", f"127.0.0.1:{gate.port}", "--timeout", "inf")
    gate.reached()
    process.send(signal.SIGINT)
    assert process.end() == -signal.SIGINT
    assert process.err.all == []


def test_ctrl_c_while_the_input_is_read_is_one_line(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = start("predict", "h", "--json", "fifo")
    # Opening waits for the reader, which then waits for the end of the input.
    with (tmp_path / "fifo").open("w"):
        process.send(signal.SIGINT)
        assert process.end() == 130
    assert process.err.all == [f"{ERROR}interrupted"]


def test_output_that_nobody_takes_is_one_line() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "praxis_remote", "proto", "--include"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT,
        check=False,
    )
    os.close(writer)
    said = f"{ERROR}cannot write to stdout: Broken pipe\n".encode()
    assert (done.returncode, done.stderr) == (1, said)


# ---------------------------------------------------------------- serving, in this process


class Held:
    """A policy that waits in predict_action for the test."""

    reached = threading.Event()
    go_on = threading.Event()

    def predict_action(self, _: Sequence[Observation], **__: object) -> Any:
        self.reached.set()
        assert self.go_on.wait(TIMEOUT)
        return np.zeros(1)

    def reset(self) -> None: ...

    def model_info(self) -> str:
        return "held"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undoes what ``serve`` does to the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "path", list(sys.path))
    level = logging.getLogger("hpack").level
    Held.reached.clear()
    Held.go_on.clear()
    yield
    logging.getLogger("hpack").setLevel(level)
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.usefixtures("here")
def test_serve_returns_0_once_the_last_call_is_done(
    pool: ThreadPoolExecutor, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()

    def use() -> Any:
        with PolicyClient("127.0.0.1", port, timeout=TIMEOUT) as client:
            client.wait_ready(TIMEOUT)
            call = pool.submit(client.predict_action, [{"a": 1}])
            assert Held.reached.wait(TIMEOUT)
            os.kill(os.getpid(), signal.SIGTERM)
            Held.go_on.set()
            return call.result(TIMEOUT)

    used = pool.submit(use)
    assert cli.main(["serve", f"{__name__}:Held", "--port", str(port)]) == 0
    assert used.result(TIMEOUT).shape == (1,)
    assert capsys.readouterr().out == f"serving Held on 127.0.0.1:{port}\n"


@pytest.mark.usefixtures("here")
def test_serve_gives_up_the_last_call_on_a_second_signal(
    pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    asked_for_more = threading.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "once more" in record.getMessage():
                asked_for_more.set()

    def use() -> None:
        with PolicyClient("127.0.0.1", port, timeout=TIMEOUT) as client:
            client.wait_ready(TIMEOUT)
            call = pool.submit(client.predict_action, [{"a": 1}])
            assert Held.reached.wait(TIMEOUT)
            os.kill(os.getpid(), signal.SIGINT)
            assert asked_for_more.wait(TIMEOUT)
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(UnavailableError):
                call.result(TIMEOUT)
            Held.go_on.set()

    caplog.set_level(logging.INFO, "praxis_remote")
    watch = Watch()
    logging.getLogger("praxis_remote").addHandler(watch)
    used = pool.submit(use)
    try:
        # It leaves the process by os._exit where the policy still works on the call,
        # which the process tests show; here the call itself is all that is waited for.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(serve, "leave", lambda: None)
            assert cli.main(["serve", f"{__name__}:Held", "--port", str(port)]) == 0
    finally:
        logging.getLogger("praxis_remote").removeHandler(watch)
    used.result(TIMEOUT)
    assert "stopping at once" in caplog.text


# ---------------------------------------------------------------- errors


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


@pytest.mark.usefixtures("here")
def test_a_port_in_use_is_found_before_the_policy_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        said = fails(capsys, 1, "serve", "not_there_at_all:X", "--port", str(port))
    assert said == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; "
        "stop what listens there, or choose another --port (0 lets the system pick)"
    )


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("no such host", "cannot resolve the host 'no such host'"),
        ("192.0.2.1", "cannot listen on 192.0.2.1:0: Cannot assign requested address"),
    ],
)
def test_a_host_that_is_not_here_is_told_with_what_to_give(
    capsys: pytest.CaptureFixture[str], host: str, said: str
) -> None:
    line = fails(capsys, 1, "serve", "mod:X", "--host", host, "--port", "0")
    assert line.startswith(said)
    assert line.endswith("give --host an address of this machine, or 0.0.0.0 for all of them")


POLICY_OBJECT = Held()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no_such_mod:X"], 1, "No module named 'no_such_mod'; run this in the folder"),
        ([f"{__name__}:Hold"], 1, "has no Hold; did you mean Held?"),
        (["collections:OrderedDict"], 1, "lacks predict_action, reset, model_info"),
        (["re:compile"], 1, "missing 1 required positional argument: 'pattern'"),
        ([f"{__name__}:POLICY_OBJECT", "--kwarg", "a=1"], 2, "is made already and takes no arg"),
    ],
)
def test_a_target_that_cannot_be_served_is_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert said in fails(capsys, code, "serve", *words, "--port", "0")


class Broken(Held):
    """A policy without weights."""

    def __init__(self) -> None:
        raise RuntimeError("no weights")


@pytest.mark.usefixtures("here")
def test_the_traceback_of_the_policy_s_code_is_logged_for_debugging(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "praxis_remote")
    said = fails(capsys, 1, "serve", f"{__name__}:Broken", "--port", "0")
    assert re.search(r"RuntimeError: no weights, raised at .*test_cli.py:\d+; for its trace", said)
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.levelno == logging.DEBUG
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


@pytest.mark.usefixtures("here")
def test_the_current_folder_is_importable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != ""])
    (tmp_path / "only_here.py").write_text("x = 1")
    said = fails(capsys, 1, "serve", "only_here:y", "--port", "0")
    monkeypatch.delitem(sys.modules, "only_here")
    assert f"the module only_here ({tmp_path / 'only_here.py'}) has no y" in said


PREDICT = ["predict", "h", "--json", "{}"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: COMMAND; see `praxis-remote --help`"),
        (["dance"], "invalid choice: 'dance'"),
        (["serve"], "required: TARGET; see `praxis-remote serve --help`"),
        (["serve", "my_mod.py:X"], "argument TARGET: 'my_mod.py:X' names a file"),
        (["serve", "mod:X", "--kwarg", "a"], "argument --kwarg: 'a'; write NAME=VALUE"),
        (["serve", "mod:X", "--kwarg", "=1"], "argument --kwarg: '=1'; write NAME=VALUE"),
        (["serve", "m:X", "--kwarg", "a=1", "--kwarg", "a=2"], "--kwarg: a is given twice"),
        (["serve", "mod:X", "--host", ""], "argument --host: host: ''; pass a host name"),
        (["serve", "mod:X", "--port", "65536"], "--port: port: 65536; allowed: 0 to 65535"),
        (["serve", "mod:X", "--port", "x"], "argument --port: 'x' is no whole number"),
        (["serve", "mod:X", "--max-message-size", "0"], "'0'; give a number of bytes, at least 1"),
        (["serve", "mod:X", "--grace", "-1"], "argument --grace: '-1'; give seconds, 0 or more"),
        (["serve", "mod:X", "--grace", "nan"], "argument --grace: 'nan'; give seconds, 0 or more"),
        (["serve", "mod:X", "--grace", "soon"], "--grace: 'soon' is no number of seconds"),
        (["serve", "mod:X", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["health", "::1"], "argument ADDR: address: '::1'; write an IPv6 address as [::1]:50051"),
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


# ---------------------------------------------------------------- calls


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
def address(policy: Recorder) -> Iterator[str]:
    with PolicyServer(policy, port=0) as server:
        yield server.address


@pytest.fixture
def nobody() -> str:
    return f"127.0.0.1:{free_port()}"


def says(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Runs a command that must succeed, and returns what it prints."""
    code = cli.main(words)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


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


def predicted(policy: Recorder) -> list[dict[str, Any]]:
    observations: list[dict[str, Any]] = policy.calls[-1][0]
    return observations


def test_an_npz_is_one_observation_whose_text_arrays_are_text(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder, tmp_path: Path
) -> None:
    path = tmp_path / "o.npz"
    np.savez(path, state=np.arange(3, dtype=np.float32), task=np.array("lift"), n=np.array(2))
    says(capsys, "predict", address, "--npz", str(path))
    (observation,) = predicted(policy)
    assert observation["task"] == "lift"
    assert observation["state"].dtype == np.float32
    assert observation["state"].tolist() == [0, 1, 2]
    assert (observation["n"].shape, observation["n"].item()) == ((), 2)


def test_json_has_plain_values_lists_and_arrays_of_a_given_dtype(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder
) -> None:
    says(
        capsys,
        *["predict", address, "--json"],
        """ {"task": "lift", "on": true, "n": 3, "x": 0.5, "ints": [[1, 2]], "floats": [1, 0.5],
        "bools": [true, false], "none": [],
        "image": {"dtype": "uint8", "data": [[0, 255]]}, "f": {"dtype": "float32", "data": 0.1},
        "mask": {"dtype": "bool", "data": [0, 1]}, "e": {"dtype": "uint8", "data": []}}""",
    )
    (observation,) = predicted(policy)
    plain = {key: observation[key] for key in ("task", "on", "n", "x")}
    assert plain == {"task": "lift", "on": True, "n": 3, "x": 0.5}
    arrays = {
        key: (value.dtype.name, value.tolist())
        for key, value in observation.items()
        if key not in plain
    }
    assert arrays == {
        "ints": ("int64", [[1, 2]]),
        "floats": ("float64", [1.0, 0.5]),
        "bools": ("bool", [True, False]),
        "none": ("float64", []),
        "image": ("uint8", [[0, 255]]),
        "f": ("float32", np.float32(0.1).item()),
        "mask": ("bool", [False, True]),
        "e": ("uint8", []),
    }


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


def test_the_action_is_printed_readably_with_the_latency_on_stderr(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert cli.main(["predict", address, "--json", "{}"]) == 0
    out, err = capsys.readouterr()
    assert out == "shape (1, 2), dtype float32\n[[1.5, 2. ]]\n"
    assert re.fullmatch(r"\d+\.\d ms, connecting included\n", err)


def test_the_action_is_printed_as_json_on_demand(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    out = says(capsys, "predict", address, "--json", "{}", "--format", "json")
    assert json.loads(out) == {"shape": [1, 2], "dtype": "float32", "data": [[1.5, 2.0]]}


def test_the_action_is_written_to_exactly_the_file_that_was_named(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder, tmp_path: Path
) -> None:
    path = tmp_path / "action"
    says(capsys, "predict", address, "--json", "{}", "--output", str(path))
    with path.open("rb") as file:
        written = np.load(file)
    assert written.dtype == np.float32
    assert np.array_equal(written, policy.action)


def test_an_action_that_cannot_be_written_is_still_printed(
    capsys: pytest.CaptureFixture[str], address: str, tmp_path: Path
) -> None:
    assert cli.main(["predict", address, "--json", "{}", "--output", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("shape (1, 2)")
    assert err == f"{ERROR}cannot write {tmp_path}: Is a directory\n"


def test_an_npz_that_cannot_be_read_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(name: str) -> str:
        return fails(capsys, 1, "predict", "h", "--npz", str(tmp_path / name))

    np.save(tmp_path / "single.npy", np.zeros(1))
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez(tmp_path / "objects.npz", a=np.array([None]))
    assert "cannot read" in said("missing.npz")
    assert "No such file or directory" in said("missing.npz")
    assert "it holds a single array without a key; write one with numpy.savez" in said("single.npy")
    for name in ("empty.npz", "cut.npz", "objects.npz"):
        assert f"{name} is no .npz file of plain arrays" in said(name)


def test_a_json_file_that_cannot_be_read_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "o.json"
    assert "JSON given as text begins with { or [" in fails(
        capsys, 1, "predict", "h", "--json", str(path)
    )
    path.write_text("nonsense")
    assert f"{path} is no JSON" in fails(capsys, 1, "predict", "h", "--json", str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "--json: a int is no observation; an object is one, a list of objects is a batch"),
        ('{"k": null}', "k: null is no value; leave the key out"),
        ('{"k": [[1], [2, 3]]}', "k: no array can be made of it: "),
        ('{"k": {"a": 1}}', 'an object must be {"dtype": ..., "data": ...}'),
        ('{"k": {"dtype": "float16", "data": [1]}}', "dtype 'float16'; supported: float32, "),
        ('{"k": {"dtype": "uint8", "data": [300]}}', "not every number of data is a uint8"),
        ('{"k": {"dtype": "int32", "data": [1.5]}}', "not every number of data is a int32"),
        ('{"k": {"dtype": "int64", "data": [NaN]}}', "not every number of data is a int64"),
        ('{"k": {"dtype": "float32", "data": ["1"]}}', "data is not made of numbers"),
        ('{"k": ["a"]}', "['k']: dtype str"),
        ("[]", "the batch is empty"),
        ('{"k": 9223372036854775808}', "['k']: 9223372036854775808 is beyond int64"),
    ],
)
def test_json_that_is_no_observation_is_one_line(
    capsys: pytest.CaptureFixture[str], nobody: str, text: str, said: str
) -> None:
    assert said in fails(capsys, 1, "predict", nobody, "--json", text)


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


# ---------------------------------------------------------------- the rest


def test_proto_prints_the_folder_for_protoc(capsys: pytest.CaptureFixture[str]) -> None:
    assert says(capsys, "proto", "--include") == f"{include_path()}\n"


def test_proto_adopts_a_generated_copy_and_prints_its_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    package = tmp_path / "generated"
    copy = package / "praxis_remote" / "__init__.py"
    copy.parent.mkdir(parents=True)
    (package / "__init__.py").touch()
    # Adopted before; what is adopted otherwise is the affair of schema.reuse.
    copy.write_text("from praxis_remote.schema import *\n")
    assert says(capsys, "proto", "--adopt", str(package)) == f"{copy}\n"
    said = fails(capsys, 1, "proto", "--adopt", str(tmp_path))
    assert said.startswith(f"{tmp_path / 'praxis_remote' / '__init__.py'}: there is no such file")


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
