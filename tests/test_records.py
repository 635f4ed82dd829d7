# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from praxis_remote import CallRecord, PolicyClient, PolicyServer, errors
from praxis_remote.calls import HEALTH_CHECK, PREDICT, RESET
from praxis_remote.errors import StatusCode
from praxis_remote.records import EndedCall, Recorder
from praxis_remote.stage import Stage
from praxis_remote.testing import GatedHandler, RecordingHandler, connected
from praxis_remote.timing import ServerTiming

OK = StatusCode.OK

ONE = [{"observation.state": np.zeros(7, np.float32)}]


class Notes:
    """Waits for records, which come when their calls are answered already."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []
        self._more = threading.Semaphore(0)

    def call_ended(self, record: CallRecord) -> None:
        self.records.append(record)
        self._more.release()

    def wait(self, count: int) -> list[CallRecord]:
        for _ in range(count):
            assert self._more.acquire(timeout=30)
        return self.records


def ended(path: str = "/a", code: StatusCode = StatusCode.OK) -> EndedCall:
    return EndedCall(path, code, "peer:1", [1.0, 1.25], 2.0, 3, 4)


def test_an_observer_is_told_of_every_call_with_its_status_and_sizes() -> None:
    notes = Notes()

    def refuse_second(prediction: Any) -> Any:
        if "bad" in prediction.observations[0]:
            raise ValueError("no")
        return np.zeros((1, 1000))

    with (
        PolicyServer(RecordingHandler(refuse_second), port=0, observers=[notes]) as server,
        PolicyClient("127.0.0.1", server.port, timeout=30) as client,
    ):
        client.predict_action(ONE)
        with pytest.raises(errors.InvalidArgumentError):
            client.predict_action([{"bad": 1}])
        client.reset()
        client.health_check()
        records = notes.wait(4)
    assert [(r.path, r.code) for r in records] == [
        (PREDICT.path, StatusCode.OK),
        (PREDICT.path, StatusCode.INVALID_ARGUMENT),
        (RESET.path, StatusCode.OK),
        (HEALTH_CHECK.path, StatusCode.OK),
    ]
    assert records[0].request_bytes > 28
    assert records[0].response_bytes > 8000
    assert records[1].response_bytes == 0
    assert records[1].timing.infer > 0
    assert records[1].timing.encode == 0
    for each in records:
        assert each.peer.startswith("127.0.0.1:")
        assert each.total >= each.timing.total


def test_a_call_that_its_caller_gave_up_ends_as_cancelled_or_expired() -> None:
    notes, handler = Notes(), GatedHandler()
    with (
        PolicyServer(handler, port=0, observers=[notes]) as server,
        PolicyClient("127.0.0.1", server.port, timeout=0.2) as client,
    ):
        with pytest.raises(errors.DeadlineExceededError):
            client.predict_action(ONE)
        (call,) = notes.wait(1)
        assert call.code in (StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED)
        handler.let_end(2)
        # Its turn comes when the policy is done with the one that was given up.
        client.predict_action(ONE, timeout=30)
        # What the policy did after the end does not change what is remembered of it.
        assert server.recent_calls()[0] == call


def test_methods_that_there_are_not_are_noted_as_one() -> None:
    notes = Notes()
    with PolicyServer(RecordingHandler(), port=0, observers=[notes]) as server:
        import grpc

        with grpc.insecure_channel(server.address) as channel:
            for index in range(3):
                with pytest.raises(grpc.RpcError):
                    channel.unary_unary(f"/no/Such{index}", bytes, bytes)(b"", timeout=30)
        assert {record[:2] for record in notes.wait(3)} == {("unknown", StatusCode.UNIMPLEMENTED)}
        assert server.status().counts == {("unknown", StatusCode.UNIMPLEMENTED): 3}


def test_an_observer_that_fails_is_logged_and_told_of_the_next_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Notes):
        def call_ended(self, record: CallRecord) -> None:
            super().call_ended(record)
            raise RuntimeError("broken")

    failing, sound = Failing(), Notes()
    recorder = Recorder([failing, sound])
    recorder.add(ended())
    recorder.add(ended())
    assert sound.records[0] == CallRecord("/a", OK, "peer:1", ServerTiming(0.25), 1.0, 2.0, 3, 4)
    assert len(failing.records) == len(sound.records) == 2
    assert [r.message for r in caplog.records] == ["an observer of calls failed"] * 2


def test_a_recorder_counts_all_and_keeps_the_last() -> None:
    recorder = Recorder()
    for index in range(5000):
        recorder.add(ended(f"/{index % 2}", StatusCode.OK if index else StatusCode.UNAVAILABLE))
    assert recorder.counts == {
        ("/0", StatusCode.UNAVAILABLE): 1,
        ("/0", StatusCode.OK): 2499,
        ("/1", StatusCode.OK): 2500,
    }
    assert (recorder.request_bytes, recorder.response_bytes) == (15000, 20000)
    assert len(recorder.recent_calls()) == 4096


def test_the_last_calls_can_be_read_while_others_end() -> None:
    recorder, stop = Recorder(), threading.Event()

    def add() -> None:
        while not stop.is_set():
            recorder.add(ended())

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for _ in range(5):
            assert all(each.path == "/a" for each in recorder.recent_calls())
    finally:
        stop.set()
        thread.join()


def test_a_server_says_what_it_does_at_the_moment() -> None:
    handler = GatedHandler()
    with connected(handler, timeout=30) as (server, client):
        assert server.status()[2:] == (0, 0, 0, 0, 0, 0, {}, 0, {})
        threads = [threading.Thread(target=client.predict_action, args=[ONE]) for _ in range(3)]
        for thread in threads:
            thread.start()
        handler.wait_begun()
        # Answered at once, and after those that came before on the same connection.
        while server.status()[2:5] != (1, 3, 2):
            client.health_check()
        handler.let_end(3)
        for thread in threads:
            thread.join()
        # Calls are counted after their callers were answered.
        while server.status().counts.get((PREDICT.path, StatusCode.OK)) != 3:
            client.health_check()
        assert server.status().uptime > 0
        assert server.status().stage is Stage.SERVING
    assert [r.path for r in server.recent_calls()].count(PREDICT.path) == 3
