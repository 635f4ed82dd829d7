# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A server says what it does to whoever may ask, at any time, and at a bounded cost."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import grpc
import numpy as np
import pytest
from faces import Face

from praxis_remote import CallRecord, PolicyClient, PolicyServer, ServerStatus, Stage, __version__
from praxis_remote.calls import PREDICT, RESET
from praxis_remote.errors import (
    InvalidArgumentError,
    RequestRefusedError,
    StatusCode,
    UnimplementedError,
)
from praxis_remote.monitor import Monitor
from praxis_remote.records import EndedCall, Recorder
from praxis_remote.schema.generated_monitor import (
    Durations,
    RecentCalls,
    ServerStage,
    StatusRequest,
    StatusResponse,
)
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler, connected
from praxis_remote.timing import ServerTiming

WAIT = 30.0
LONG = 300.0
ONE = [{"observation.state": np.zeros(7, np.float32)}]
TOKEN = "a-token-of-this-test"


class Notes:
    """Waits for calls to have ended, which is after they are answered."""

    def __init__(self) -> None:
        self._ended = threading.Semaphore(0)

    def call_ended(self, record: CallRecord) -> None:
        self._ended.release()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self._ended.acquire(timeout=WAIT)


def refuse_bad(prediction: Prediction) -> Any:
    if "bad" in prediction.observations[0]:
        raise ValueError("no")
    return np.zeros((1, 1000))


# ---------------------------------------------------------------- a server


def test_a_server_tells_what_it_is_and_what_became_of_its_calls(host: str, face: Face) -> None:
    notes = Notes()
    with PolicyServer(RecordingHandler(refuse_bad), host=host, port=0, observers=[notes]) as server:
        client = face.client(server)
        for _ in range(3):
            client.predict_action(ONE)
        with pytest.raises(InvalidArgumentError):
            client.predict_action([{"bad": 1}])
        client.reset()
        with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary("/no/Such", bytes, bytes)(b"", timeout=WAIT)
        notes.wait(6)
        status = client.status(seconds=LONG)
        sizes = server.status()[6:8]
    assert status.stage is ServerStage.SERVING
    assert (status.model_info, status.version) == ("RecordingHandler", __version__)
    assert (status.in_flight, status.waiting, status.held_bytes) == (1, 0, 0)
    assert 1 <= status.connections <= 2
    assert [(c.method, c.code, c.calls, c.recent) for c in status.counts] == [
        ("", StatusCode.UNIMPLEMENTED.value, 1, 1),
        (PREDICT.path, StatusCode.OK.value, 3, 3),
        (PREDICT.path, StatusCode.INVALID_ARGUMENT.value, 1, 1),
        (RESET.path, StatusCode.OK.value, 1, 1),
    ]
    assert 0 < status.covered_seconds == status.uptime
    recent = {each.method: each for each in status.recent}
    assert list(recent) == ["", PREDICT.path, RESET.path]
    predicted = recent[PREDICT.path]
    assert (predicted.calls, predicted.succeeded) == (4, 3)
    assert predicted.rate == 4 / status.covered_seconds
    assert predicted.response_bytes > 3 * 8000
    assert sum(each.request_bytes for each in status.recent) == status.request_bytes <= sizes[0]
    assert 0 < predicted.infer.p50 <= predicted.infer.p99 <= predicted.infer.max
    assert predicted.total.max > predicted.infer.max
    assert (recent[""].succeeded, recent[""].total.max) == (0, 0.0)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def test_a_server_tells_of_itself_while_its_policy_works_and_calls_wait(
    pool: ThreadPoolExecutor,
) -> None:
    handler = GatedHandler()
    with connected(handler, timeout=WAIT) as (server, client):
        calls: list[Future[Any]] = [pool.submit(client.predict_action, ONE) for _ in range(3)]
        handler.wait_begun()
        while server.status().waiting != 2:
            client.health_check()
        status = client.status()
        handler.let_end(3)
        for call in calls:
            call.result(WAIT)
    # These three and the question itself.
    assert (status.in_flight, status.waiting) == (4, 2)
    assert status.model_info == "GatedHandler"
    assert PREDICT.path not in {each.method for each in status.counts}


def test_a_server_tells_of_itself_while_its_policy_warms_up() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Warming(RecordingHandler):
        def warmup(self) -> None:
            begun.set()
            assert go_on.wait(WAIT)

    with connected(Warming(), timeout=WAIT) as (_, client):
        assert begun.wait(WAIT)
        status = client.status()
        go_on.set()
    assert status.stage is ServerStage.WARMING
    assert status.model_info == ""


def test_a_question_needs_the_token_that_calls_need() -> None:
    with PolicyServer(RecordingHandler(), port=0, tokens=[TOKEN]) as server:
        address = ("127.0.0.1", server.port)
        with PolicyClient(*address, timeout=WAIT) as client:
            with pytest.raises(RequestRefusedError) as caught:
                client.status()
            assert caught.value.code() is StatusCode.UNAUTHENTICATED
        with PolicyClient(*address, timeout=WAIT, token=TOKEN) as client:
            assert client.status().stage is ServerStage.SERVING


def test_a_server_that_is_older_does_not_implement_it() -> None:
    with ThreadPoolExecutor(1) as pool:
        old = grpc.server(pool)
        port = old.add_insecure_port("127.0.0.1:0")
        old.start()
        try:
            with (
                PolicyClient("127.0.0.1", port, timeout=WAIT) as client,
                pytest.raises(UnimplementedError),
            ):
                client.status()
        finally:
            old.stop(None)


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_seconds_that_cannot_be_are_refused_by_name(seconds: float) -> None:
    with (
        connected(RecordingHandler(), timeout=WAIT) as (_, client),
        pytest.raises(InvalidArgumentError, match=r"seconds: (-1\.0|nan); at least 0"),
    ):
        client.status(seconds=seconds)


# ---------------------------------------------------------------- its figures


class Desk:
    """A monitor of a server that is made up, with a clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.uptime = 500.0
        self.cost = 0.0
        self.looks = 0
        self.recorder = Recorder()
        methods = [PREDICT.path, RESET.path]
        self._monitor = Monitor(
            self._status, self.recorder.recent_calls, lambda: "m", methods, lambda: self.now
        )

    def _status(self) -> ServerStatus:
        self.looks += 1
        self.now += self.cost
        return ServerStatus(Stage.DRAINING, self.uptime, 1, 2, 3, 4, 5, 6, self.recorder.counts)

    def ended(
        self, at: float, seconds: float, code: StatusCode = StatusCode.OK, path: str = PREDICT.path
    ) -> None:
        marks = list(accumulate((seconds * n for n in range(1, 6)), initial=at - seconds))
        self.recorder.add(EndedCall(path, code, "p:1", marks, at, 10, 20))

    def ask(self, seconds: float = 0.0) -> StatusResponse:
        return asyncio.run(self._monitor.get_status(StatusRequest(seconds=seconds), None))

    def recent(self, seconds: float = 0.0) -> RecentCalls:
        (recent,) = self.ask(seconds).recent
        return recent


def test_each_field_is_what_the_server_has_at_the_moment() -> None:
    desk = Desk()
    status = desk.ask()
    assert status.stage is ServerStage.DRAINING
    assert (status.uptime, status.model_info) == (500.0, "m")
    numbers = (status.connections, status.in_flight, status.waiting, status.held_bytes)
    assert (*numbers, status.request_bytes, status.response_bytes) == (1, 2, 3, 4, 5, 6)


def test_percentiles_are_by_nearest_rank_and_of_calls_that_went_well() -> None:
    desk = Desk()
    for milliseconds in reversed(range(1, 102)):
        desk.ended(999.0, milliseconds / 1000)
    desk.ended(999.0, 50.0, StatusCode.INTERNAL)
    recent = desk.recent()
    assert (recent.calls, recent.succeeded, recent.rate) == (102, 101, 10.2)
    assert (recent.request_bytes, recent.response_bytes) == (1020, 2040)
    total = recent.total
    found = (total.p50, total.p90, total.p99, total.max)
    assert found == pytest.approx((0.051, 0.091, 0.1, 0.101))
    for factor, phase in enumerate(ServerTiming._fields, 1):
        assert getattr(recent, phase).p99 == pytest.approx(0.1 * factor)
        assert getattr(recent, phase).p50 == pytest.approx(0.051 * factor)


def test_of_one_call_each_percentile_is_that_call() -> None:
    desk = Desk()
    desk.ended(999.0, 0.25)
    assert desk.recent().total == Durations(0.25, 0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("asked", "covered"),
    [
        (0, 10),
        (0.001, 1),
        (1, 1),
        (1.5, 5),
        (10, 10),
        (11, 60),
        (61, 300),
        (1e9, 300),
        (math.inf, 300),
    ],
)
def test_seconds_are_rounded_up_to_those_that_there_are(asked: float, covered: float) -> None:
    desk = Desk()
    for age in (301, 299.5, 59.5, 9.5, 4.5, 0.5):
        desk.ended(desk.now - age, 0.1)
    status = desk.ask(asked)
    assert status.covered_seconds == covered
    expected = [1, 5, 10, 60, 300].index(int(covered)) + 1
    assert status.recent[0].calls == expected
    assert status.recent[0].rate == expected / covered
    assert [(each.calls, each.recent) for each in status.counts] == [(6, expected)]


def test_a_young_server_covers_its_life() -> None:
    desk = Desk()
    desk.uptime = 4.0
    desk.ended(999.0, 0.1)
    assert desk.ask().covered_seconds == 4.0
    assert desk.recent(60).rate == 0.25


def test_no_more_is_covered_than_is_remembered() -> None:
    desk = Desk()
    for index in range(5000):
        desk.ended(995 + index * 0.001, 0.1)
    status = desk.ask()
    assert status.covered_seconds == pytest.approx(5 - 0.904)
    assert [(each.calls, each.recent) for each in status.counts] == [(5000, 4096)]
    assert status.recent[0].rate == pytest.approx(4096 / 4.096)


def test_methods_that_the_server_does_not_have_are_told_together() -> None:
    desk = Desk()
    for index in range(100):
        desk.ended(999.0, 0.1, StatusCode.UNIMPLEMENTED, f"/made/Up{index}")
    desk.ended(999.0, 0.1, path=RESET.path)
    status = desk.ask()
    assert [(each.method, each.calls, each.recent) for each in status.counts] == [
        ("", 100, 100),
        (RESET.path, 1, 1),
    ]
    assert [(each.method, each.calls) for each in status.recent] == [("", 100), (RESET.path, 1)]


# ---------------------------------------------------------------- its cost


def test_all_who_ask_within_a_fifth_of_a_second_get_one_answer() -> None:
    desk = Desk()
    first = desk.ask()
    desk.now += 0.19
    assert desk.ask(8) is first
    assert desk.looks == 1
    desk.now += 0.02
    assert desk.ask() is not first
    assert desk.looks == 2


def test_an_answer_that_took_long_is_given_again_for_fifty_times_as_long() -> None:
    desk = Desk()
    desk.cost = 0.5
    first = desk.ask()
    desk.now += 24
    assert desk.ask() is first
    desk.now += 1
    assert desk.ask() is not first


def test_there_are_as_many_answers_as_windows_whatever_is_asked() -> None:
    desk = Desk()
    for seconds in np.geomspace(0.01, 1000, 500):
        desk.ask(float(seconds))
    assert desk.looks == 5
