# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One line an event, with fields for machines, and nothing in it that was nobody's to tell."""

from __future__ import annotations

import ast
import inspect
import json
import logging
import sys
import threading
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h2.events import PingAckReceived, StreamEnded
from http2_peers import RawClient, framed, raw_frame
from hypothesis import given
from hypothesis import strategies as st

import praxis_remote
from praxis_remote import Limits, PolicyClient, PolicyServer
from praxis_remote.errors import (
    HandlerError,
    InvalidArgumentError,
    RemoteError,
)
from praxis_remote.logs import EVENTS, Event, Fields, JsonFormatter, event, printable
from praxis_remote.testing import Prediction, RecordingHandler, connected

WAIT = 30.0
BATCH = [{"observation.state": np.zeros(3, np.float32)}]


class Log(logging.Handler):
    """Keeps the records of a logger, and lets a test wait for one."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self._new = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._new:
            self.records.append(record)
            self._new.notify_all()

    def named(self, *names: Event) -> list[dict[str, Any]]:
        """Returns level, fields and text of these events."""
        return [
            {
                **{
                    key: vars(record)[key]
                    for key in ("event", *Fields.__annotations__)
                    if key in vars(record)
                },
                "level": record.levelname,
                "text": record.getMessage(),
            }
            for record in list(self.records)
            if getattr(record, "event", None) in names
        ]

    def wait_for(self, name: Event) -> dict[str, Any]:
        with self._new:
            assert self._new.wait_for(lambda: self.named(name), WAIT)
        return self.named(name)[0]


@pytest.fixture
def log() -> Iterator[Log]:
    """What the whole process logs, as far down as it can."""
    log, root = Log(), logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    yield log
    root.setLevel(level)
    root.removeHandler(log)


# ---------------------------------------------------------------- events


def test_every_event_is_explained() -> None:
    assert set(EVENTS) == set(typing.get_args(Event))


def test_every_field_is_explained_and_is_no_attribute_of_a_record_already() -> None:
    # From 3.13 on it has no indentation by itself.
    text = inspect.getdoc(Fields)
    assert text is not None
    record = vars(logging.makeLogRecord({}))
    for name in Fields.__annotations__:
        assert f"\n    {name}: " in text
        assert name not in record


def logging_calls() -> list[tuple[str, ast.Call]]:
    folder = Path(praxis_remote.__file__).parent
    return [
        (f"{path.relative_to(folder)}:{node.lineno}", node)
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "log"
        and node.func.attr != "isEnabledFor"
    ]


def test_every_line_of_the_package_has_an_event() -> None:
    calls = logging_calls()
    assert len(calls) > 15
    lack = [place for place, call in calls if "extra" not in {k.arg for k in call.keywords}]
    assert lack == []


def test_a_servers_life_is_one_line_for_each_step(log: Log) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server:
        address = server.address
        server.stop(grace=5)
    steps = log.named("listening", "serving", "draining", "stopped")
    assert [(step["event"], step["level"]) for step in steps] == [
        ("listening", "INFO"),
        ("serving", "INFO"),
        ("draining", "INFO"),
        ("stopped", "INFO"),
    ]
    assert {step["address"] for step in steps} == {address}
    assert steps[2]["seconds"] == 5.0


def test_a_connection_that_goes_well_is_told_at_debug_level_only(log: Log) -> None:
    with connected(RecordingHandler(), timeout=WAIT) as (_, client):
        client.health_check()
        opened = log.wait_for("connection_opened")
        client.close()
        closed = log.wait_for("connection_closed")
    assert opened["level"] == closed["level"] == "DEBUG"
    assert opened["peer"] == closed["peer"]
    assert opened["peer"].startswith("127.0.0.1:")
    assert log.named("connection_ended", "connection_refused") == []


def test_that_a_server_stops_is_no_news_of_its_connections(log: Log) -> None:
    with connected(RecordingHandler(), timeout=WAIT) as (server, client):
        client.health_check()
        server.stop()
    assert log.named("connection_closed")
    assert log.named("connection_ended", "connection_refused") == []


def test_a_peer_that_breaks_the_protocol_is_named_with_what_it_did(log: Log) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server, RawClient(server.port) as peer:
        peer.sock.sendall(raw_frame(0, 0, b"\0"))  # DATA on stream 0
        peer.wait_closed()
        name = "{}:{}".format(*peer.sock.getsockname())
        ended = log.wait_for("connection_ended")
    assert (ended["level"], ended["peer"]) == ("WARNING", name)
    assert ended["reason"].startswith("the peer broke the protocol: ")
    assert ended["text"] == f"{name}: ending the connection: {ended['reason']}"
    assert len(log.named("connection_ended")) == 1


def test_a_connection_too_many_is_told_as_refused_by_its_peer(log: Log) -> None:
    limits = Limits(connections=1)
    policy = RecordingHandler()
    with PolicyServer(policy, port=0, limits=limits) as server, RawClient(server.port) as first:
        first.request("/praxis_remote.PolicyService/Predict")
        first.h2.ping(b"heard it")
        first.flush()
        first.wait_for(PingAckReceived)
        with RawClient(server.port) as second:
            name = "{}:{}".format(*second.sock.getsockname())
            refused = log.wait_for("connection_refused")
    assert (refused["level"], refused["peer"]) == ("WARNING", name)
    assert "all 1 connections are in use" in refused["reason"]
    assert log.named("connection_ended") == []


@pytest.mark.parametrize(
    ("error", "name", "kind"),
    [
        (RuntimeError("no weights"), "policy_failed", HandlerError),
        (ValueError("no such joint"), "policy_rejected", InvalidArgumentError),
    ],
)
def test_a_policy_that_raises_is_told_with_its_method_and_caller(
    log: Log, error: Exception, name: Event, kind: type[RemoteError]
) -> None:
    def answer(_: Prediction) -> Any:
        raise error

    with connected(RecordingHandler(answer), timeout=WAIT) as (_, client):
        with pytest.raises(kind):
            client.predict_action(BATCH)
        failed = log.wait_for(name)
    assert failed["method"] == "predict_action"
    assert failed["path"] == "/praxis_remote.PolicyService/Predict"
    assert failed["peer"].startswith("127.0.0.1:")
    assert failed["level"] == "ERROR"


# ---------------------------------------------------------------- secrets

SECRET = "xyzzy-8271"


TEXT, JSON = logging.Formatter(), JsonFormatter()


def everything(log: Log) -> str:
    """Returns all that was logged, in every form, with what is in the records besides."""
    return "\n".join(
        f"{TEXT.format(record)}\n{JSON.format(record)}\n{vars(record)}" for record in log.records
    )


def test_no_payload_and_no_metadata_is_logged_whatever_goes_wrong(log: Log) -> None:
    def answer(prediction: Prediction) -> Any:
        what = prediction.policy_kwargs or {}
        if what["do"] == "reject":
            raise ValueError("the request is at fault")
        if what["do"] == "fail":
            raise RuntimeError("out of memory")
        return [SECRET] if what["do"] == "return" else np.ones(1)

    observations = [{"observation.state": np.zeros(3, np.float32), "task": SECRET, SECRET: 1}]
    metadata = {"authorization": f"Bearer {SECRET}", SECRET: SECRET, "bytes-bin": SECRET.encode()}
    with connected(RecordingHandler(answer), timeout=WAIT) as (server, client):
        for what in ("do it", "reject", "fail", "return"):
            kwargs = {"do": what, "secret": SECRET, SECRET: {SECRET: [SECRET]}}
            options: dict[str, Any] = {"episode_ids": [SECRET], "metadata": metadata}
            if what == "do it":
                client.predict_action(observations, policy_kwargs=kwargs, **options)
                continue
            with pytest.raises(RemoteError):
                client.predict_action(observations, policy_kwargs=kwargs, **options)
        with pytest.raises(RemoteError):
            client.predict_action(observations * 2, policy_kwargs={"do": "it"}, **options)
        with RawClient(server.port) as peer:
            for path in (f"/{SECRET}/x", "/praxis_remote.PolicyService/Predict"):
                stream = peer.request(path, ("authorization", SECRET))
                peer.data(stream, framed(SECRET.encode()))
                peer.wait_for(StreamEnded, stream)
            peer.sock.sendall(raw_frame(0, 0, SECRET.encode()))
            peer.wait_closed()
            log.wait_for("connection_ended")
    logged = everything(log)
    assert len(log.named("policy_failed", "policy_rejected")) == 3
    assert "out of memory" in logged  # the policy's own words
    assert SECRET not in logged


def test_no_token_is_logged_whether_it_is_taken_or_refused(log: Log) -> None:
    with PolicyServer(RecordingHandler(), port=0, tokens=[SECRET * 2]) as server:
        for token in (SECRET * 2, SECRET * 3):
            with PolicyClient("127.0.0.1", server.port, timeout=WAIT, token=token) as client:
                if token == SECRET * 2:
                    client.predict_action(BATCH)
                    continue
                with pytest.raises(RemoteError, match="token"):
                    client.predict_action(BATCH)
    assert log.named("connection_opened")
    assert SECRET not in everything(log)


def test_what_a_peer_says_cannot_look_like_a_line_of_its_own() -> None:
    assert printable("so long\nERROR x: \x1b[2Jforged") == "so long\\nERROR x: \\x1b[2Jforged"
    assert printable("plain, with 'quotes' and \N{ROBOT FACE}") == (
        "plain, with 'quotes' and \N{ROBOT FACE}"
    )


def test_a_peers_farewell_is_one_line(log: Log) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server, RawClient(server.port) as peer:
        farewell = bytes(4) + (11).to_bytes(4, "big") + b"a\nforged line"
        peer.sock.sendall(raw_frame(7, 0, farewell))
        closed = log.wait_for("connection_closed")
    assert "\n" not in closed["text"]
    assert closed["reason"].endswith(r"a\nforged line")


# ---------------------------------------------------------------- JSON


def record(message: Any, *arguments: Any, **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("some.logger", logging.INFO, "f.py", 1, message, arguments, None)
    vars(record).update(extra)
    return record


def read(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    found: dict[str, Any] = json.loads(line, parse_constant=pytest.fail)
    return found


def test_a_line_of_json_has_the_time_the_text_and_the_fields() -> None:
    made = record("%s: ending", "peer", **event("connection_ended", peer="1.2.3.4:5", reason="old"))
    made.created = 1_700_000_000.9996
    assert read(made) == {
        "time": "2023-11-14T22:13:21.000Z",
        "level": "INFO",
        "logger": "some.logger",
        "message": "peer: ending",
        "event": "connection_ended",
        "peer": "1.2.3.4:5",
        "reason": "old",
    }


def test_a_traceback_is_a_field_of_its_line() -> None:
    made = record("failed")
    try:
        raise KeyError("no\nsuch")
    except KeyError:
        made.exc_info = sys.exc_info()
    made.stack_info = "Stack (most recent call last):\n  here"
    line = read(made)
    assert line["message"] == "failed"
    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert line["traceback"].endswith("KeyError: 'no\\nsuch'")
    assert line["stack"] == made.stack_info


@given(st.text(st.characters(codec=None, categories=None)), st.floats(), st.integers())
def test_whatever_is_said_the_line_is_json(text: str, real: float, whole: int) -> None:
    line = read(record("%s", text, reason=text, seconds=real, size=whole))
    assert (line["message"], line["reason"]) == (text, text)
    assert line["seconds"] == (real if abs(real) < 2**53 else str(real))
    assert line["size"] == (whole if abs(whole) < 2**53 else str(whole))


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (record("%d joints", "seven"), {"message": "%d joints ('seven',)"}),
        (record("%s", Unspeakable()), {"message": "%s <tuple>"}),
        (record(Unspeakable()), {"message": "<Unspeakable> ()"}),
        (record("", size=Unspeakable()), {"size": "<Unspeakable>"}),
        (record("", size={(1, 2): b""}), {"size": "{(1, 2): b''}"}),
        (record("", size=10**6000), {"size": "<int>"}),
        (record("", ready=True, error=None), {"ready": True, "error": None}),
        (record("own", level="theirs", time=0), {"message": "own", "level": "INFO"}),
    ],
)
def test_what_other_loggers_pass_is_told_as_far_as_it_can_be(
    made: logging.LogRecord, expected: dict[str, Any]
) -> None:
    assert expected.items() <= read(made).items()
