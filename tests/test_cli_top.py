# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""`top` shows what servers do, and gives the terminal back as it was.

Servers and the pseudo-terminal are real ones; nothing here looks at how long anything took.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import math
import os
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from command import ERROR, ROOT, TIMEOUT, Recorder, fails, says
from rich.console import Console
from test_monitor import Notes

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer, cli, errors, wire
from praxis_remote.calls import PREDICT, RESET
from praxis_remote.cli.top_screen import held
from praxis_remote.cli.top_view import rows, view
from praxis_remote.cli.top_watched import Trend, Watched, keep_asking
from praxis_remote.errors import StatusCode
from praxis_remote.schema.generated_monitor import (
    CallCount,
    Durations,
    RecentCalls,
    ServerStage,
    StatusRequest,
    StatusResponse,
)
from praxis_remote.testing import RecordingHandler

UNAVAILABLE = errors.UnavailableError("nobody is there")


class Served:
    """A server that has answered three calls, and refused one."""

    def __init__(self, server: PolicyServer, notes: Notes, policy: Recorder) -> None:
        self.address = server.address
        with PolicyClient(server.host, server.port, timeout=TIMEOUT) as client:
            for _ in range(3):
                client.predict_action([{"a": 1}])
            policy.error = ValueError("no")
            with pytest.raises(errors.InvalidArgumentError):
                client.predict_action([{"a": 1}])
        notes.wait(4)


@pytest.fixture
def served(policy: Recorder, host: str) -> Iterator[Served]:
    notes = Notes()
    with PolicyServer(policy, host=host, port=0, observers=[notes]) as server:
        yield Served(server, notes, policy)


def cells(line: str) -> list[str]:
    return line.split()


# ---------------------------------------------------------------- once


def test_once_prints_one_row_for_each_server_however_wide(
    capsys: pytest.CaptureFixture[str], served: Served, policy: Recorder
) -> None:
    head, _, row = says(capsys, "top", served.address, "--once", "--seconds", "300").splitlines()
    assert cells(head) == (
        ["server", "stage", "calls/s", "p50", "p99", "wait", "run", "conn", "errors", "model"]
    )
    found = cells(row)
    assert found[:2] == [served.address, "serving"]
    assert float(found[2].replace(",", "")) > 0
    # Times have a unit each.
    assert found[7:9] == ["0", "1"]
    assert found[10:] == ["1", "recorder", "v1"]


def test_beyond_a_terminal_it_is_as_with_once(
    capsys: pytest.CaptureFixture[str], served: Served
) -> None:
    assert len(says(capsys, "top", served.address).splitlines()) == 3


def test_a_server_that_is_gone_has_its_row_and_the_command_fails(
    capsys: pytest.CaptureFixture[str], served: Served, nobody: str
) -> None:
    # The same path is nobody's and the server's, where it is a UNIX socket.
    nobody = nobody if nobody != served.address else f"{nobody}.not"
    assert cli.main(["top", nobody, served.address, "--once"]) == 1
    out, err = capsys.readouterr()
    first, second = out.splitlines()[2:]
    assert cells(first) == [nobody, "unreachable", *"-------"]
    assert cells(second)[:2] == [served.address, "serving"]
    assert err.startswith(f"{ERROR}{nobody}: cannot connect")
    assert err.count("\n") == 1


def test_json_has_all_that_the_server_tells_and_counts_exactly(
    capsys: pytest.CaptureFixture[str], served: Served
) -> None:
    words = ["top", served.address, served.address, "--once", "--json", "--seconds", "300"]
    found = json.loads(says(capsys, *words))
    assert found["schema"] == 1
    (server,) = found["servers"]
    assert (server["address"], server["trouble"]) == (served.address, None)
    assert (server["stage"], server["model_info"]) == ("serving", "recorder v1")
    assert server["counts"] == [
        {"method": PREDICT.path, "status": "OK", "calls": 3, "recent": 3},
        {"method": PREDICT.path, "status": "INVALID_ARGUMENT", "calls": 1, "recent": 1},
    ]
    (recent,) = server["recent"]
    assert (recent["method"], recent["calls"], recent["succeeded"]) == (PREDICT.path, 4, 3)
    assert recent["calls_per_s"] == pytest.approx(4 / server["covered_s"])
    assert list(recent["phases_ms"]) == (["total", "receive", "decode", "queue", "infer", "encode"])
    total = recent["phases_ms"]["total"]
    assert (
        0 < total["p50"] <= total["p90"] <= total["p99"] <= total["max"] < server["uptime_s"] * 1e3
    )
    assert (server["in_flight"], server["waiting"], server["held_bytes"]) == (1, 0, 0)


def test_json_says_why_a_server_tells_nothing(
    capsys: pytest.CaptureFixture[str], nobody: str
) -> None:
    assert cli.main(["top", nobody, "--once", "--json"]) == 1
    (server,) = json.loads(capsys.readouterr().out)["servers"]
    assert server["address"] == nobody
    assert server["trouble"]["status"] == "UNAVAILABLE"
    assert "cannot connect" in server["trouble"]["text"]


def test_a_server_that_is_older_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(1) as pool:
        old = grpc.server(pool)
        port = old.add_insecure_port("127.0.0.1:0")
        old.start()
        try:
            assert cli.main(["top", f"127.0.0.1:{port}", "--once"]) == 1
        finally:
            old.stop(None)
    out, err = capsys.readouterr()
    assert cells(out.splitlines()[2])[1:4] == ["too", "old", "-"]
    assert "older than praxis-remote 0.2" in err


def test_a_server_is_shown_the_token(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: Recorder
) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-of-this-test\n")
    with PolicyServer(policy, port=0, tokens=file) as server:
        says(capsys, "top", server.address, "--once", "--token-file", str(file))
        assert cli.main(["top", server.address, "--once"]) == 1
    out, err = capsys.readouterr()
    assert cells(out.splitlines()[2])[1] == "refused"
    assert "token" in err


def test_json_without_once_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(capsys, 2, "top", "h", "--json")
    assert said == "argument --json: give --once as well; a live view is no JSON"


def test_without_rich_the_command_says_what_to_install_and_there_is_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert fails(capsys, 1, "top", address).endswith("pip install 'praxis-remote[tools]'")
    assert json.loads(says(capsys, "top", address, "--once", "--json"))["schema"] == 1


# ---------------------------------------------------------------- again and again


def test_a_server_that_is_gone_comes_back_by_itself(socket_folder: Path) -> None:
    host = f"unix:{socket_folder}/policy.sock"
    seen: list[str | None] = []
    server = Watched(host)
    servers: list[PolicyServer] = []

    def tell() -> None:
        trouble = None if server.trouble is None else server.trouble.status.name
        seen.append(trouble)

    async def pause() -> None:
        # What happens between one question and the next.
        if len(seen) in (1, 3):
            servers.append(PolicyServer(RecordingHandler(), host=host))
            servers[-1].serve(block=False)
        if len(seen) == 2:
            await asyncio.to_thread(servers[-1].stop)
        if len(seen) == 4:
            raise asyncio.CancelledError

    async def main() -> None:
        async with AsyncPolicyClient(host, timeout=TIMEOUT, retries=0) as client:
            with pytest.raises(asyncio.CancelledError):
                await keep_asking(server, client.status, lambda: 0.0, pause, tell)

    try:
        asyncio.run(main())
    finally:
        for each in servers:
            each.stop()
    assert seen == ["UNAVAILABLE", None, "UNAVAILABLE", None]


def test_a_trend_is_the_rate_in_each_column_and_knows_where_it_knows_nothing() -> None:
    trend = Trend(3.0)
    trend.look(now=30.0, uptime=100.0, calls=50)
    assert trend.rates(30.0, 2) == [None, None]
    trend.look(now=31.0, uptime=101.0, calls=60)
    trend.look(now=32.0, uptime=103.0, calls=80)
    trend.look(now=33.0, uptime=103.0, calls=80)
    assert trend.rates(33.0, 3) == [None, 10.0, None]
    trend.look(now=33.5, uptime=103.5, calls=81)
    assert trend.rates(33.5, 2) == [10.0, 2.0]
    assert trend.rates(39.0, 4) == [10.0, 2.0, None, None]


@pytest.mark.parametrize("lost", [True, False], ids=["not asked meanwhile", "started anew"])
def test_a_trend_tells_nothing_of_what_it_did_not_see(lost: bool) -> None:
    trend = Trend(3.0)
    trend.look(now=0.0, uptime=100.0, calls=50)
    if lost:
        trend.lose()
    trend.look(now=3.0, uptime=200.0 if lost else 1.0, calls=90)
    assert trend.rates(3.0, 2) == [None, None]
    trend.look(now=4.0, uptime=201.0 if lost else 2.0, calls=95)
    assert trend.rates(4.0, 2) == [None, 5.0]


def test_the_trend_of_a_server_is_of_its_policy_and_of_what_was_seen() -> None:
    def look(uptime: float, predicted: int, asked: int) -> StatusResponse:
        counts = [CallCount(PREDICT.path, 0, predicted, 0), CallCount("", 12, asked, 0)]
        return status(uptime=uptime, counts=counts)

    server = Watched("a", Trend(1.0))
    server.answered(0.0, look(100.0, 10, 1000))
    server.answered(1.0, look(101.0, 15, 2000))
    server.failed(UNAVAILABLE)
    server.answered(3.0, look(103.0, 90, 3000))
    server.answered(4.0, look(104.0, 97, 4000))
    assert server.trend.rates(4.0, 5) == [None, 5.0, None, None, 7.0]


def test_the_server_is_asked_for_as_many_seconds_as_the_command() -> None:
    notes = Notes()
    with PolicyServer(RecordingHandler(), port=0, observers=[notes]) as server:
        for words in ([], ["--seconds", "60"]):
            assert cli.main(["top", server.address, "--once", "--json", *words]) == 0
        notes.wait(2)
        sent = [len(wire.write_message(StatusRequest(seconds=60.0)))] * 2
        assert [call.request_bytes for call in server.recent_calls()] == sent


def test_a_trend_keeps_some_minutes() -> None:
    trend = Trend(3.0)
    for second in range(2000):
        trend.look(now=second, uptime=second, calls=second)
    rates = trend.rates(1999.0, 100)
    assert rates[:40] == [None] * 40
    assert rates[40:] == [1.0] * 60


# ---------------------------------------------------------------- the view


def status(**changes: Any) -> StatusResponse:
    times = [Durations(0.001 * n, 0.002 * n, 0.003 * n, 0.004 * n) for n in range(1, 7)]
    predicted = RecentCalls(PREDICT.path, 123, 12.3, 37_000_000, 1200, 120, *times)
    forgot = RecentCalls(RESET.path, 10, 1.0, 10, 20, 0)
    asked = RecentCalls("/praxis_remote.MonitorService/GetStatus", 99, 9.9, 0, 0, 99, *times)
    fields: dict[str, Any] = {
        "stage": ServerStage.SERVING,
        "uptime": 93_784.0,
        "model_info": "openvla-7b",
        "version": "0.2.0",
        "connections": 8,
        "in_flight": 4,
        "waiting": 3,
        "held_bytes": 1_200_000,
        "counts": [
            CallCount(PREDICT.path, 0, 1000, 120),
            CallCount(PREDICT.path, StatusCode.INTERNAL.value, 7, 2),
            CallCount(RESET.path, StatusCode.INTERNAL.value, 1, 0),
            CallCount("", StatusCode.UNIMPLEMENTED.value, 5, 0),
        ],
        "covered_seconds": 10.0,
        "recent": [forgot, predicted, asked],
    }
    return StatusResponse(**{**fields, **changes})


def watched(
    *answers: StatusResponse | errors.RemoteError, address: str = "gpu-box:50051"
) -> Watched:
    server = Watched(address)
    for now, answer in enumerate(answers):
        if isinstance(answer, errors.RemoteError):
            server.failed(answer)
        else:
            server.answered(now, answer)
    return server


def seen(*servers: Watched, now: float = 0.0, **options: Any) -> list[str]:
    """Returns the lines of the view, on a terminal without colours."""
    options = {"width": 80, "height": 40, **options}
    console = Console(file=io.StringIO(), record=True, highlight=False, **options)
    console.print(view(console, servers, now))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= options["width"]
    return [line.strip("│| ") for line in lines]


def test_a_panel_has_what_a_server_tells() -> None:
    lines = seen(watched(status()))
    text = "\n".join(lines)
    assert "gpu-box:50051  serving  openvla-7b" in lines[0]
    assert lines[1] == "13.3 calls/s"
    assert lines[2].split("   ") == ["waiting 3", "in flight 4", "connections 8", "held 1.20 MB"]
    assert lines[3].split("   ") == ["received 3.70 MB/s", "sent 0.12 kB/s"]
    assert lines[4].split("   ") == ["failed INTERNAL 8 (0.20/s)", "UNIMPLEMENTED 5"]
    assert cells(lines[6]) == cells("Predict all r receive d decode q queue i infer e encode")
    assert cells(lines[8]) == cells("p50 1.00 ms 2.00 ms 3.00 ms 4.00 ms 5.00 ms 6.00 ms")
    assert cells(lines[9]) == cells("p99 3.00 ms 6.00 ms 9.00 ms 12.0 ms 15.0 ms 18.0 ms")
    assert lines[10] == "r" * 8 + "d" * 11 + "q" * 15 + "i" * 19 + "e" * 23
    assert "Reset" not in text
    assert "GetStatus" not in text
    assert "up 1 d 2 h, praxis-remote 0.2.0" in lines[11]
    assert lines[12] == "q or Ctrl-C ends"


def test_the_trend_is_a_line_of_blocks_or_of_ascii() -> None:
    calls = [0, 0, 40, 110, 120, 190]
    looks = [
        status(uptime=float(at), counts=[CallCount(PREDICT.path, 0, count, 0)])
        for at, count in enumerate(calls)
    ]
    server = Watched("a", Trend(1.0))
    for now, look in enumerate(looks):
        server.answered(now, look)
    # What is left of 76 letters by the rate, which has 7, and " calls/s  ".
    assert seen(server, now=5.0)[1] == "13.3 calls/s  " + "▁▅█▂█".rjust(59)
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=ascii_only, width=80, height=40)
    console.print(view(console, [server], 5.0))
    ascii_only.flush()


def test_a_server_that_is_gone_says_why_and_keeps_its_name() -> None:
    lines = seen(watched(status(), UNAVAILABLE))
    assert "gpu-box:50051  unreachable  openvla-7b" in lines[0]
    assert lines[1] == "nobody is there"
    assert lines[2] == "- calls/s"


def test_a_server_that_has_not_answered_yet_is_being_asked() -> None:
    assert seen(watched())[1] == "asking"


def test_a_server_without_calls_has_no_latency_and_no_errors() -> None:
    lines = seen(watched(status(recent=[], counts=[], covered_seconds=0.0)))
    assert lines[1] == "0.00 calls/s"
    assert lines[4] == "no call failed"
    assert len(lines) == 7


def test_servers_for_which_panels_are_too_large_get_rows() -> None:
    servers = [watched(status(), address=f"192.168.100.{n}:50051") for n in range(100, 104)]
    assert len(seen(*servers, height=49)) == 49
    lines = seen(*servers, watched(UNAVAILABLE), height=48)
    assert len(lines) == 2 + 4 * 2 + 1 + 1
    row = "192.168.100.100:50051 serving 13.3 1.00 ms 3.00 ms 3 4 8 13"
    assert cells(lines[2]) == cells(row)
    assert lines[3] == "openvla-7b"
    assert cells(lines[10]) == ["gpu-box:50051", "unreachable", *"-------"]


def test_what_others_say_of_themselves_does_nothing_to_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\nmodel"
    servers = [
        watched(status(model_info=evil, version=evil)),
        watched(errors.UnavailableError(evil)),
    ]
    for width, height in ((80, 40), (80, 5), (120, 5)):
        console = Console(file=io.StringIO(), width=width, height=height)
        console.print(view(console, servers, 0.0))
        text = console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
        assert "model" in text
        assert set(text) & {chr(code) for code in range(32)} == {"\n"}


@pytest.mark.parametrize("number", [math.nan, math.inf, -0.001])
@pytest.mark.parametrize("field", ["uptime", "covered_seconds", "rate", "infer"])
def test_an_answer_with_numbers_that_cannot_be_is_none(field: str, number: float) -> None:
    answer = status()
    predicted = answer.recent[1]
    if field == "infer":
        predicted.infer.p99 = number
    else:
        setattr(predicted if field == "rate" else answer, field, number)
    server = watched(answer)
    assert server.as_dict() == {
        "address": "gpu-box:50051",
        "trouble": {
            "status": "INTERNAL",
            "text": f"its answer is none: {field} has {number!r}, at least 0 is needed",
        },
    }


def test_a_stage_that_is_newer_is_unknown() -> None:
    server = watched(status(stage=ServerStage.try_value(9)))
    assert server.as_dict()["stage"] == "unknown"
    assert "gpu-box:50051  unknown" in seen(server)[0]


def test_a_status_that_grpc_does_not_have_is_its_number() -> None:
    server = watched(status(counts=[CallCount(PREDICT.path, 99, 1, 0)]))
    assert server.errors() == {"STATUS_99": (1, 0)}


def test_a_narrow_row_has_the_whole_address() -> None:
    address = "unix:/run/a-folder-with-a-long-name/policy.sock"
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(rows(console, [watched(status(), address=address)]))
    lines = console.export_text().splitlines()[2:]
    assert "".join(line.split()[0] for line in lines) == f"{address}openvla-7b"
    assert max(map(len, lines)) <= 80


# ---------------------------------------------------------------- a terminal


SCREEN_AND_CURSOR = ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"))

# The command line with the terminal as its own, whose Ctrl-C is then for it.
ON_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from praxis_remote.cli import main
sys.exit(main())
"""


class Terminal:
    """A pseudo-terminal of 80 columns, and what is written to it."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.written = b""

    def read_until(self, text: bytes) -> None:
        while text not in self.written:
            ready, _, _ = select.select([self.master], [], [], TIMEOUT)
            assert ready, f"{text!r} is not in {self.written!r}"
            self.written += os.read(self.master, 65536)

    def read_until_left(self) -> None:
        for begin, end in SCREEN_AND_CURSOR:
            self.read_until(end)
            assert self.written.count(begin) == self.written.count(end) == 1

    def assert_as_it_was(self) -> None:
        assert termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (b"q", 0),
        (b"\x03", 0),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
    ],
    ids=["q", "Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_the_view_lives_until_it_is_ended_and_leaves_the_terminal_as_it_was(
    terminal: Terminal, policy: Recorder, end: bytes | signal.Signals, code: int
) -> None:
    with PolicyServer(policy, port=0) as server:
        address = server.address
        process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, "top", address, "--interval", "0.01"],
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color"},
            stdin=terminal.slave,
            stdout=terminal.slave,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            for text in (address, "serving", "calls/s", "asking"):
                terminal.read_until(text.encode())
            if isinstance(end, bytes):
                os.write(terminal.master, end)
            else:
                process.send_signal(end)
            terminal.read_until_left()
            assert process.wait(TIMEOUT) == code
            terminal.assert_as_it_was()
            assert process.stderr is not None
            assert process.stderr.read() == b""
        finally:
            process.kill()
            process.wait(TIMEOUT)
            if process.stderr is not None:
                process.stderr.close()


def test_an_error_in_the_view_leaves_the_terminal_as_it_was(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(console: Console) -> None:
        with held(console) as screen:
            assert termios.tcgetattr(terminal.slave) != terminal.before
            screen.show("here")
            raise RuntimeError("broken")

    raw = io.FileIO(os.dup(terminal.slave), "r+")
    with io.TextIOWrapper(raw, write_through=True) as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(RuntimeError, match="broken"):
            asyncio.run(main(Console(file=file, force_terminal=True)))
        terminal.read_until_left()
        terminal.assert_as_it_was()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_without_a_keyboard_signals_end_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> signal.Signals | None:
        with held(Console(file=io.StringIO(), force_terminal=True)) as screen:
            signal.raise_signal(signal.SIGINT)
            first = await screen.ended
            screen.end(signal.SIGTERM)
            assert screen.ended.result() is first
            return await screen.ended

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert asyncio.run(main()) is signal.SIGINT
