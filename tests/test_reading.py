# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The calls of a connection run as they came, however long each of them takes to read."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import pytest
from h2.events import RemoteSettingsChanged, StreamEnded
from http2_peers import RawClient, framed

from praxis_remote import PolicyServer, codec, wire
from praxis_remote.calls import HEALTH_CHECK, PREDICT, RESET
from praxis_remote.schema import ResetRequest
from praxis_remote.specs import NumberSpec, ObservationSpec
from praxis_remote.testing import GatedHandler, RecordingHandler

WAIT = 30.0
SMALL: dict[str, Any] = {"number": 0}
# Read on a thread of its own.
MANY = {f"key {number}": number for number in range(3000)}


class Noting(RecordingHandler):
    """Notes the first episode of each of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.happened: list[str] = []

    def predict_action(self, observations: Any, **options: Any) -> Any:
        self.happened.append(options["episode_ids"][0])
        return super().predict_action(observations, **options)

    def reset(self, episode_ids: Any = None) -> None:
        self.happened.append(episode_ids[0])


class Pipeline:
    """A connection on which calls are made without waiting for answers."""

    def __init__(self, peer: RawClient) -> None:
        self.peer = peer
        self.calls: list[int] = []
        peer.wait_for(RemoteSettingsChanged)

    def send(self, path: str, message: bytes, *, compress: bool = False) -> None:
        if compress:
            packed = gzip.compress(message)
            stream = self.peer.request(path, ("grpc-encoding", "gzip"), flush=False)
            self.peer.data(stream, struct.pack(">BI", 1, len(packed)) + packed)
        else:
            stream = self.peer.request(path, flush=False)
            self.peer.data(stream, framed(message))
        self.calls.append(stream)

    def predict(self, observation: dict[str, Any], name: str, *, compress: bool = False) -> None:
        message = b"".join(codec.encode_predict_request([observation], None, [name]))
        self.send(PREDICT.path, message, compress=compress)

    def reset(self, *names: str) -> None:
        self.send(RESET.path, wire.write_message(ResetRequest(episode_ids=list(names))))

    def finish(self) -> None:
        for stream in self.calls:
            self.peer.wait_for(StreamEnded, stream)


def test_no_call_overtakes_another_one_of_its_connection() -> None:
    handler = Noting()
    with PolicyServer(handler, port=0) as server, RawClient(server.port) as peer:
        calls = Pipeline(peer)
        for turn in range(3):
            calls.predict(MANY, f"{turn}: many")
            calls.predict(SMALL, f"{turn}: small behind it")
            calls.predict(SMALL, f"{turn}: compressed", compress=True)
            calls.predict(SMALL, f"{turn}: small behind that")
            calls.predict(MANY, f"{turn}: compressed many", compress=True)
            calls.reset(f"{turn}: reset")
            calls.predict(SMALL, f"{turn}: small behind the reset")
            calls.reset(*[f"{turn}: many to reset"] * 3000)
            calls.predict(SMALL, f"{turn}: small at last")
        calls.finish()
    what = "many, small behind it, compressed, small behind that, compressed many, reset, "
    what += "small behind the reset, many to reset, small at last"
    assert handler.happened == [f"{n}: {each}" for n in range(3) for each in what.split(", ")]


def test_calls_that_are_given_up_while_they_are_read_leave_the_order_of_the_rest() -> None:
    handler = Noting()
    with PolicyServer(handler, port=0) as server, RawClient(server.port) as peer:
        calls = Pipeline(peer)
        calls.predict(MANY, "first")
        calls.predict(MANY, "given up")
        calls.predict(SMALL, "behind")
        peer.h2.reset_stream(calls.calls.pop(1))
        calls.predict(SMALL, "last")
        calls.finish()
        assert server._service._reading._reading == {}
    assert [name for name in handler.happened if name != "given up"] == ["first", "behind", "last"]


def test_a_health_check_waits_for_no_request_that_is_being_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler = GatedHandler()
    with PolicyServer(handler, port=0) as server, RawClient(server.port) as peer:
        reading = server._service._reading
        blocked = GatedHandler()
        monkeypatch.setattr(reading, "_predict", lambda _: blocked.predict_action([{}]))
        calls = Pipeline(peer)
        calls.predict(MANY, "many")
        blocked.wait_begun()
        calls.send(HEALTH_CHECK.path, b"")
        peer.wait_for(StreamEnded, calls.calls.pop())
        blocked.let_end()
        calls.finish()


def test_another_connection_does_not_wait_for_what_is_being_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler = RecordingHandler()
    with (
        PolicyServer(handler, port=0) as server,
        RawClient(server.port) as peer,
        RawClient(server.port) as other,
    ):
        blocked = GatedHandler()
        monkeypatch.setattr(
            server._service._reading, "_predict", lambda _: blocked.predict_action([{}])
        )
        calls, others = Pipeline(peer), Pipeline(other)
        calls.predict(MANY, "many")
        blocked.wait_begun()
        others.predict(SMALL, "small")
        others.finish()
        blocked.let_end()
        calls.finish()
    assert [prediction.episode_ids for prediction in handler.predictions] == [("small",)]


def test_no_call_overtakes_another_one_that_a_spec_is_compared_with() -> None:
    class Specified(Noting):
        def observation_spec(self) -> ObservationSpec:
            return ObservationSpec({"number": NumberSpec(required=False)})

    handler = Specified()
    with PolicyServer(handler, port=0) as server, RawClient(server.port) as peer:
        calls = Pipeline(peer)
        for turn in range(3):
            calls.predict(MANY, f"{turn}: many")
            calls.predict({"number": "none"}, f"{turn}: refused")
            calls.predict(SMALL, f"{turn}: small behind it")
            calls.reset(f"{turn}: reset")
        calls.finish()
    ran = ("many", "small behind it", "reset")
    assert handler.happened == [f"{turn}: {what}" for turn in range(3) for what in ran]
