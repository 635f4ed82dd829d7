# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy is loaded and served, and what keeps it from being so is one line."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import ERROR, TIMEOUT, fails
from hosts import LOOPBACK, listen, unused_port
from processes import POLICIES, Gate, Start, predict_at_gate

from praxis_remote import Observation, PolicyClient, cli
from praxis_remote.cli import serve
from praxis_remote.errors import UnavailableError


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


@contextmanager
def held_call(port: int, pool: ThreadPoolExecutor) -> Iterator[Future[Any]]:
    """A call that the policy works on, once one is served there."""
    with PolicyClient("127.0.0.1", port, timeout=TIMEOUT) as client:
        client.wait_ready(TIMEOUT)
        call = pool.submit(client.predict_action, [{"a": 1}])
        assert Held.reached.wait(TIMEOUT)
        yield call


@pytest.mark.usefixtures("here")
def test_serve_returns_0_once_the_last_call_is_done(
    pool: ThreadPoolExecutor, capsys: pytest.CaptureFixture[str]
) -> None:
    port = unused_port(LOOPBACK)

    def use() -> Any:
        with held_call(port, pool) as call:
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
    port = unused_port(LOOPBACK)
    asked_for_more = threading.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "once more" in record.getMessage():
                asked_for_more.set()

    def use() -> None:
        with held_call(port, pool) as call:
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


def test_a_unix_socket_is_served_and_its_file_goes_with_the_process(
    start: Start, socket_folder: Path
) -> None:
    path = socket_folder / "policy.sock"
    # What a killed server left is no obstacle.
    listen(f"unix:{path}").close()
    process = start("serve", "policies:Policy", "--host", f"unix:{path}")
    with process.client() as client:
        assert client.address == f"unix:{path}"
        assert client.predict_action([{"x": 1}]) == [1]
    process.send(signal.SIGTERM)
    assert process.end() == 0
    assert not path.exists()


def test_a_unix_socket_stays_in_its_folder_though_the_policy_goes_to_another(
    start: Start, socket_folder: Path
) -> None:
    (socket_folder / "policies.py").write_text(POLICIES)
    process = start("serve", "policies:Wandering", "--host", "unix:policy.sock", cwd=socket_folder)
    with process.client() as client:
        assert client.health_check()[0]
        assert Path(client.address.removeprefix("unix:")).samefile(socket_folder / "policy.sock")
    process.send(signal.SIGTERM)
    assert process.end() == 0
    assert not (socket_folder / "policy.sock").exists()


@pytest.mark.usefixtures("here")
def test_a_path_that_cannot_be_listened_on_is_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str], socket_folder: Path
) -> None:
    def said(path: str) -> str:
        line = fails(capsys, 1, "serve", "not_there_at_all:X", "--host", f"unix:{path}")
        begin = f"cannot listen on unix:{path}: "
        assert line.startswith(begin)
        return line.removeprefix(begin)

    path = f"{socket_folder}/policy.sock"
    with listen(f"unix:{path}"):
        assert said(path) == (
            "Address already in use; stop what listens there, or give --host another path"
        )
    assert said(f"{path}/below") == "Not a directory; check --host"
    assert said(f"{socket_folder}/a/b") == (
        f"there is no folder {socket_folder}/a; make it, or give --host another path"
    )
    Path(f"{path}.txt").touch()
    assert said(f"{path}.txt") == (
        "the file that is there is no socket, and was left alone; "
        "move it away, or give --host another path"
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
        ([f"{__name__}:Held", "--episode-ttl", "9"], 1, "episode_ttl needs reset(self, episode_id"),
        ([f"{__name__}:Held", "--end-episodes-on-disconnect"], 1, "which episodes are over"),
        ([f"{__name__}:Held", "--episode-ttl", "0"], 2, "give seconds, more than 0"),
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
    assert re.search(
        r"RuntimeError: no weights, raised at .*test_cli_serve.py:\d+; for its trace", said
    )
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


# ---------------------------------------------------------------- warming up


WARMING = """
import threading

class Policy:
    def predict_action(self, observations, *, policy_kwargs=None): ...
    def reset(self): ...
    def model_info(self): return "warm"
    def is_ready(self): return READY
    def warmup(self): WARMUP
"""


def warming(folder: Path, warmup: str, ready: bool = True) -> str:
    text = WARMING.replace("WARMUP", warmup).replace("READY", repr(ready))
    (folder / "warming.py").write_text(text)
    return "warming:Policy"


def test_a_warmup_that_fails_exits_1_with_one_line(start: Start, tmp_path: Path) -> None:
    process = start("serve", warming(tmp_path, "1 / 0"), "--port", "0", "--log-level", "error")
    assert process.end() == 1
    assert process.err.all == [
        f"{ERROR}the policy's warmup() failed: ZeroDivisionError: division by zero; "
        "for its traceback add --log-level debug"
    ]


def test_health_tells_the_stage_of_a_policy_that_warms_up(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start("serve", warming(tmp_path, "threading.Event().wait()"), "--port", "0")
    with process.client() as client:
        address = client.address
    said = fails(capsys, 1, "health", address)
    assert said.startswith(f"{address} is not ready: warming: ")
    said = fails(capsys, 1, "health", address, "--wait", "1")
    assert "last: the server says that it is not ready: warming: " in said


def test_health_prints_the_stage_of_a_policy_that_serves(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start("serve", warming(tmp_path, "pass"), "--port", "0")
    with process.client() as client:
        address = client.address
    assert cli.main(["health", address, "--wait", str(TIMEOUT)]) == 0
    assert capsys.readouterr() == ("warm\n", "serving\n")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--episode-ttl", "0.01"], "not used for long enough"),
        (
            ["--limit", "episodes=1", "--end-episodes-on-disconnect"],
            "the longest unused of too many",
        ),
    ],
)
def test_serve_ends_episodes_where_it_is_told_to(
    start: Start, tmp_path: Path, options: list[str], reason: str
) -> None:
    (tmp_path / "stateful.py").write_text(
        "class Policy:\n"
        "    def predict_action(self, observations, *, policy_kwargs=None, episode_ids=None):\n"
        "        return [[0.0]]\n"
        "    def reset(self, episode_ids=None): ...\n"
        "    def model_info(self): return 'stateful'\n"
    )
    process = start("serve", "stateful:Policy", "--port", "0", *options)
    with process.client() as client:
        for name in ("a", "b"):
            client.predict_action([{"x": 1}], episode_ids=[name])
        process.err.wait_for(reason)
