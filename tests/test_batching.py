# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Joined calls on a real server: clients on their own threads, a policy held at a gate."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from praxis_remote import (
    PolicyClient,
    PolicyServer,
    StackedObservations,
    current_request,
    current_requests,
    errors,
)
from praxis_remote.memory import Stock
from praxis_remote.metrics import Metrics
from praxis_remote.scheduler import Scheduler
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler

WAIT = 30.0


def echo(prediction: Prediction) -> Any:
    """Returns for each observation its number, and the size of the batch."""
    size = len(prediction.observations)
    return np.array([[observation["n"], size] for observation in prediction.observations])


class Crowd:
    """Clients that call one after the other, each on a thread of its own."""

    def __init__(
        self,
        server: PolicyServer,
        scheduler: Scheduler,
        handler: GatedHandler,
        stack: ExitStack,
    ) -> None:
        self.server, self.scheduler, self.handler = server, scheduler, handler
        self._stack = stack
        self._pool = stack.enter_context(ThreadPoolExecutor(32))

    def client(self, **options: Any) -> PolicyClient:
        client = PolicyClient(self.server.host, self.server.port, timeout=WAIT, **options)
        return self._stack.enter_context(client)

    def occupy(self) -> Future[Any]:
        """Has the policy begin on a call, behind which others wait."""
        call = self.submit(self.client().predict_action, [{"n": -1}])
        self.handler.wait_begun()
        return call

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Calls on a thread."""
        return self._pool.submit(function, *args, **kwargs)

    def wait(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Has a call wait for the policy, behind those that do."""
        before = self.scheduler.unfinished
        call = self.submit(function, *args, **kwargs)
        while self.scheduler.unfinished != before + 1:
            assert not call.done(), call.result()
        return call

    def predict(
        self, *numbers: int, ids: Sequence[str] | None = None, **options: Any
    ) -> Future[Any]:
        observations = [{"n": number} for number in numbers]
        call = self.client().predict_action
        return self.wait(call, observations, episode_ids=ids, policy_kwargs=options)


@pytest.fixture
def crowds() -> Iterator[Callable[..., Crowd]]:
    with ExitStack() as stack:

        def make(
            handler: GatedHandler, clock: Callable[[], float] = time.monotonic, **options: Any
        ) -> Crowd:
            options = {"max_batch_size": 8, "max_batch_delay": 0.0, **options}
            scheduler = Scheduler(clock=clock)
            server = PolicyServer(handler, port=0, scheduler=scheduler, **options)
            stack.enter_context(server)
            # What a failed test has left behind shall not keep the policy's thread.
            stack.callback(handler.let_end, 100)
            return Crowd(server, scheduler, handler, stack)

        yield make


def rows(call: Future[Any]) -> list[list[int]]:
    result: list[list[int]] = call.result(WAIT).tolist()
    return result


def batches(handler: RecordingHandler) -> list[list[object]]:
    return [[o["n"] for o in prediction.observations] for prediction in handler.predictions]


def test_calls_that_wait_become_one_and_each_gets_its_own_rows(crowds: Any) -> None:
    crowd = crowds(GatedHandler(echo))
    first = crowd.occupy()
    calls = [crowd.predict(1), crowd.predict(2, 3), crowd.predict(4)]
    crowd.handler.let_end(2)
    assert rows(first) == [[-1, 1]]
    assert [rows(call) for call in calls] == [[[1, 4]], [[2, 4], [3, 4]], [[4, 4]]]
    assert batches(crowd.handler) == [[-1], [1, 2, 3, 4]]


def test_without_max_batch_size_nothing_is_joined(crowds: Any) -> None:
    crowd = crowds(GatedHandler(echo), max_batch_size=1)
    crowd.occupy()
    calls = [crowd.predict(1), crowd.predict(2)]
    crowd.handler.let_end(3)
    assert [rows(call) for call in calls] == [[[1, 1]], [[2, 1]]]


def test_no_batch_is_larger_than_allowed_and_a_larger_request_stays_alone(crowds: Any) -> None:
    crowd = crowds(GatedHandler(echo), max_batch_size=3)
    crowd.occupy()
    sizes = [(1,), (2, 3, 4, 5), (6,), (7,), (8,)]
    calls = [crowd.predict(*numbers) for numbers in sizes]
    crowd.handler.let_end(4)
    for call in calls:
        call.result(WAIT)
    assert batches(crowd.handler) == [[-1], [1, 6, 7], [2, 3, 4, 5], [8]]


def test_requests_of_very_many_items_are_joined_as_others_are(crowds: Any) -> None:
    crowd = crowds(GatedHandler(echo))
    crowd.occupy()
    many = {str(number): number for number in range(3000)}
    calls = [crowd.wait(crowd.client().predict_action, [{**many, "n": n}]) for n in (1, 2)]
    crowd.handler.let_end(2)
    assert [rows(call) for call in calls] == [[[1, 2]], [[2, 2]]]


def test_what_is_not_alike_is_not_joined(crowds: Any) -> None:
    crowd = crowds(GatedHandler(echo))
    crowd.occupy()
    other = [{"n": 3, "more": np.zeros(2)}]
    calls = [
        crowd.predict(1),
        crowd.predict(2, k=1),
        crowd.wait(crowd.client().predict_action, other),
        crowd.predict(4, ids=["e"]),
        crowd.predict(5),
        crowd.predict(6, k=1),
        crowd.predict(7, k=True),
    ]
    crowd.handler.let_end(len(calls) + 1)
    for call in calls:
        call.result(WAIT)
    assert batches(crowd.handler) == [[-1], [1, 5], [2, 6], [3], [4], [7]]
    assert [p.policy_kwargs for p in crowd.handler.predictions][2] == {"k": 1}


def test_ids_stand_beside_their_rows_and_an_episode_keeps_its_order(crowds: Any) -> None:
    crowd = crowds(GatedHandler(echo))
    crowd.occupy()
    calls = [
        crowd.predict(1, ids=["a"]),
        crowd.predict(2, 3, ids=["b", "c"]),
        crowd.predict(4, ids=["a"]),
        crowd.predict(5, ids=["d"]),
    ]
    crowd.handler.let_end(3)
    for call in calls:
        call.result(WAIT)
    assert [(batch, p.episode_ids) for batch, p in zip(
        batches(crowd.handler), crowd.handler.predictions, strict=True
    )] == [([-1], None), ([1, 2, 3, 5], ("a", "b", "c", "d")), ([4], ("a",))]  # fmt: skip


def test_a_reset_keeps_its_place_among_the_calls_of_its_episode(crowds: Any) -> None:
    ran: list[object] = []

    class Noting(GatedHandler):
        def reset(self, episode_ids: Sequence[str] | None = None) -> None:
            ran.append(episode_ids)

    def note(prediction: Prediction) -> Any:
        ran.append(prediction.episode_ids)
        return echo(prediction)

    handler = Noting(note)
    crowd = crowds(handler)
    crowd.occupy()
    calls = [
        crowd.predict(1, ids=["a"]),
        crowd.wait(crowd.client().reset, episode_ids=["b"]),
        crowd.predict(2, ids=["b"]),
        crowd.predict(3, ids=["c"]),
        crowd.wait(crowd.client().reset),
        crowd.predict(4, ids=["d"]),
    ]
    handler.let_end(5)
    for call in calls:
        call.result(WAIT)
    assert ran == [None, ("a", "c"), ("b",), ("b",), None, ("d",)]


def test_a_policy_without_episode_ids_gets_calls_without_them_joined(crowds: Any) -> None:
    class Plain(GatedHandler):
        def predict_action(self, observations: Any, *, policy_kwargs: Any = None) -> Any:  # type: ignore[override]
            return super().predict_action(observations, policy_kwargs=policy_kwargs)

    crowd = crowds(Plain(echo))
    crowd.occupy()
    refused = [crowd.predict(1, ids=["a"]), crowd.predict(2, ids=["b"])]
    joined = [crowd.predict(3), crowd.predict(4)]
    crowd.handler.let_end(2)
    for call in refused:
        with pytest.raises(errors.InvalidArgumentError, match="episode_ids"):
            call.result(WAIT)
    assert [rows(call) for call in joined] == [[[3, 2]], [[4, 2]]]


def test_a_call_that_was_given_up_or_is_late_is_not_in_the_batch(crowds: Any) -> None:
    crowd = crowds(GatedHandler(echo))
    crowd.occupy()
    kept = crowd.predict(1)
    late = crowd.wait(crowd.client().predict_action, [{"n": 2}], timeout=0.2)
    # It expires where it waits.
    with pytest.raises(errors.DeadlineExceededError):
        late.result(WAIT)
    while crowd.scheduler.unfinished != 2:
        pass
    last = crowd.predict(3)
    crowd.handler.let_end(2)
    assert [rows(kept), rows(last)] == [[[1, 2]], [[3, 2]]]
    assert batches(crowd.handler) == [[-1], [1, 3]]


def test_a_bad_request_in_a_batch_costs_only_itself(
    crowds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def picky(prediction: Prediction) -> Any:
        if {"n": 2} in prediction.observations:
            raise ValueError("two is not to my taste")
        return echo(prediction)

    crowd = crowds(GatedHandler(picky))
    crowd.occupy()
    calls = [crowd.predict(number) for number in (1, 2, 3)]
    crowd.handler.let_end(5)
    assert rows(calls[0]) == [[1, 1]]
    with pytest.raises(errors.InvalidArgumentError, match="two is not to my taste"):
        calls[1].result(WAIT)
    assert rows(calls[2]) == [[3, 1]]
    assert batches(crowd.handler) == [[-1], [1, 2, 3], [1], [2], [3]]
    failed = [r for r in caplog.records if getattr(r, "event", "") == "batch_failed"]
    assert [record.getMessage() for record in failed] == [
        "the policy failed on 3 joined requests; each is tried alone"
    ]


def test_what_a_policy_took_out_of_a_batch_is_there_when_each_is_tried_alone(crowds: Any) -> None:
    def take(prediction: Prediction) -> Any:
        given: Any = prediction
        scale = given.policy_kwargs.pop("scale", 1)
        numbers = [scale * observation.pop("n") for observation in given.observations]
        if 20 in numbers:
            raise ValueError("twenty is not to my taste")
        return np.array([numbers]).T

    crowd = crowds(GatedHandler(take))
    crowd.occupy()
    calls = [crowd.predict(number, scale=10) for number in (1, 2, 3)]
    crowd.handler.let_end(5)
    assert [rows(calls[0]), rows(calls[2])] == [[[10]], [[30]]]
    with pytest.raises(errors.InvalidArgumentError, match="twenty is not to my taste"):
        calls[1].result(WAIT)


def test_without_memory_for_the_answers_to_a_batch_each_is_tried_alone(
    crowds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(stock: Stock, size: int) -> memoryview:
        monkeypatch.undo()
        raise MemoryError

    crowd = crowds(GatedHandler(lambda p: np.ones((len(p.observations), 100_000), np.float32)))
    crowd.occupy()
    calls = [crowd.predict(number) for number in (1, 2)]
    monkeypatch.setattr(Stock, "take", fail)
    crowd.handler.let_end(4)
    assert [call.result(WAIT).shape for call in calls] == [(1, 100_000)] * 2
    assert [len(p.observations) for p in crowd.handler.predictions] == [1, 2, 1, 1]


def test_who_gave_up_during_a_joined_call_that_fails_is_not_tried_alone(crowds: Any) -> None:
    def fail(prediction: Prediction) -> Any:
        if len(prediction.observations) > 1:
            raise RuntimeError("too many")
        return echo(prediction)

    crowd = crowds(GatedHandler(fail))
    crowd.occupy()
    kept = crowd.predict(1)
    hasty = crowd.wait(crowd.client().predict_action, [{"n": 2}], timeout=1.0)
    crowd.handler.let_end(1)
    crowd.handler.wait_begun()
    with pytest.raises(errors.DeadlineExceededError):
        hasty.result(WAIT)
    while crowd.server.status().in_flight != 1:
        pass
    crowd.handler.let_end(2)
    assert rows(kept) == [[1, 1]]
    crowd.client().health_check()
    assert batches(crowd.handler) == [[-1], [1, 2], [1]]


@pytest.mark.parametrize("joined", [False, True])
def test_an_action_that_is_no_batch_is_an_error_that_says_so(crowds: Any, joined: bool) -> None:
    crowd = crowds(GatedHandler(lambda _: np.zeros((16, 7), np.float32)))
    calls = [crowd.occupy()]
    if joined:
        calls += [crowd.predict(1), crowd.predict(2, 3)]
    crowd.handler.let_end(3)
    texts = [r"shape is \(16, 7\) for 1 observation; "]
    texts += [r"shape is \(16, 7\) for 3 observations; .* 2 requests were joined"] * 2
    for call, text in zip(calls, texts, strict=False):
        with pytest.raises(errors.HandlerError, match=text):
            call.result(WAIT)
    assert len(crowd.handler.predictions) == 1 + joined
    while len(records := crowd.server.recent_calls()) < len(calls):
        pass
    assert all(record.timing.infer > 0 for record in records)


def test_a_policy_learns_whose_rows_are_whose(crowds: Any) -> None:
    seen: list[list[tuple[str, list[int]]]] = []
    refusals: list[str] = []

    def look(prediction: Prediction) -> Any:
        seen.append([(str(dict(r.metadata)["who"]), list(r.rows)) for r in current_requests()])
        if len(seen[-1]) > 1:
            with pytest.raises(LookupError) as raised:
                current_request()
            refusals.append(str(raised.value))
        else:
            assert current_request() is current_requests()[0]
        return echo(prediction)

    crowd = crowds(GatedHandler(look))
    names = {"a": [{"n": 1}], "b": [{"n": 2}, {"n": 3}]}
    clients = [crowd.client(metadata={"who": name}) for name in names]
    first = crowd.submit(crowd.client(metadata={"who": "first"}).predict_action, [{"n": 0}])
    crowd.handler.wait_begun()
    calls = [
        crowd.wait(client.predict_action, observations)
        for client, observations in zip(clients, names.values(), strict=True)
    ]
    crowd.handler.let_end(2)
    for call in (first, *calls):
        call.result(WAIT)
    assert seen == [[("first", [0])], [("a", [0]), ("b", [1, 2])]]
    assert "2 requests were joined" in refusals[0]
    assert "current_requests()" in refusals[0]


def test_the_size_of_a_batch_is_told_of_each_call_in_it(crowds: Any) -> None:
    metrics = Metrics()
    crowd = crowds(GatedHandler(echo), observers=[metrics])
    calls = [crowd.occupy(), crowd.predict(1), crowd.predict(2, 3)]
    crowd.handler.let_end(2)
    for call in calls:
        call.result(WAIT)
    crowd.client().reset()
    while len(records := crowd.server.recent_calls()) < 4:
        pass
    assert [record.batch_size for record in records] == [1, 3, 3, 0]
    get = metrics.registry.get_sample_value
    counts = [get("praxis_remote_batch_observations_bucket", {"le": le}) for le in ("1.0", "4.0")]
    assert (counts, get("praxis_remote_batch_observations_sum")) == ([1, 3], 7)


def test_rows_of_large_actions_are_their_callers_own(crowds: Any) -> None:
    buffer = np.zeros((4, 100_000), np.float32)

    def reuse(prediction: Prediction) -> Any:
        size = len(prediction.observations)
        buffer[:] = -1
        buffer[:size] = [[float(o["n"])] for o in prediction.observations]
        return buffer[:size]

    crowd = crowds(GatedHandler(reuse))
    crowd.occupy()
    calls = [crowd.predict(1), crowd.predict(2, 3)]
    crowd.handler.let_end(2)
    actions = [call.result(WAIT) for call in calls]
    assert [np.unique(row).tolist() for action in actions for row in action] == [[1], [2], [3]]


def test_those_in_a_batch_do_not_count_as_waiting(crowds: Any) -> None:
    crowd = crowds(GatedHandler(echo), max_pending=2)
    crowd.occupy()
    calls = [crowd.predict(1), crowd.predict(2)]
    with pytest.raises(errors.ResourceExhaustedError):
        crowd.client().predict_action([{"n": 3}])
    crowd.handler.let_end(1)
    crowd.handler.wait_begun()
    calls += [crowd.predict(4), crowd.predict(5)]
    with pytest.raises(errors.ResourceExhaustedError):
        crowd.client().predict_action([{"n": 6}])
    crowd.handler.let_end(2)
    assert [rows(call)[0] for call in calls] == [[1, 2], [2, 2], [4, 2], [5, 2]]


class StackedPolicy(GatedHandler):
    def predict_action(self, observations: Any, **options: Any) -> Any:
        assert isinstance(observations, StackedObservations)
        copies = {key: list(value) for key, value in observations.items()}
        self.batches = [*getattr(self, "batches", []), copies]
        super().predict_action([{}] * observations.batch_size, **options)
        return np.asarray(observations["n"])[:, None] * 10


@pytest.mark.parametrize("max_batch_size", [1, 8])
def test_a_policy_that_takes_stacked_batches_gets_them(crowds: Any, max_batch_size: int) -> None:
    handler = StackedPolicy()
    crowd = crowds(handler, batched=True, max_batch_size=max_batch_size)
    first = crowd.occupy()
    calls = [crowd.predict(1, 2), crowd.predict(3)]
    handler.let_end(3)
    assert rows(first) == [[-10]]
    assert [rows(call) for call in calls] == [[[10], [20]], [[30]]]
    expected = [[1, 2, 3]] if max_batch_size > 1 else [[1, 2], [3]]
    assert handler.batches == [{"n": [-1]}, *({"n": numbers} for numbers in expected)]


def test_a_request_that_cannot_be_stacked_is_refused_with_the_key(
    crowds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    handler = StackedPolicy()
    crowd = crowds(handler, batched=True)
    batch = [{"n": 1}, {"n": 1.5}]
    with pytest.raises(errors.InvalidArgumentError, match=r"observations\[1\]\['n'\]: a float"):
        crowd.client().predict_action(batch)
    assert "policy_rejected" in [getattr(record, "event", "") for record in caplog.records]


class Clock:
    """Stands still unless it is told to go on; far behind that of deadlines."""

    now = -1e9

    def __call__(self) -> float:
        return self.now


def test_a_server_holds_a_batch_back_until_those_are_there_whom_it_just_answered(
    crowds: Any,
) -> None:
    clock = Clock()
    crowd = crowds(GatedHandler(echo), max_batch_delay=5.0, clock=clock)
    clients = [crowd.client() for _ in range(3)]
    first, others = clients[0].predict_action, [c.predict_action for c in clients[1:]]
    calls = [crowd.submit(first, [{"n": 0}])]
    for turn in range(1, 4):
        crowd.handler.wait_begun()
        waiting = [crowd.wait(call, [{"n": turn}]) for call in others] if turn == 1 else []
        clock.now += 100
        crowd.handler.let_end()
        assert [rows(call) for call in calls] == [[[turn - 1, len(calls)]]] * len(calls)
        # The clock stands still: without the last one of them they would wait for ever.
        calls = waiting or [crowd.wait(call, [{"n": turn}]) for call in others]
        calls.append(crowd.submit(first, [{"n": turn}]))
    crowd.handler.let_end()
    assert [rows(call) for call in calls] == [[[3, 3]]] * 3


@pytest.mark.parametrize("everything", [False, True])
def test_a_batch_leaves_at_once_if_a_reset_keeps_others_from_it(
    crowds: Any, everything: bool
) -> None:
    clock = Clock()
    crowd = crowds(GatedHandler(echo), max_batch_delay=5.0, clock=clock)
    clients = [crowd.client() for _ in range(3)]
    crowd.occupy()
    calls = [crowd.wait(client.predict_action, [{"n": 0}]) for client in clients[:2]]
    crowd.handler.let_end()
    crowd.handler.wait_begun()
    clock.now += 100
    crowd.handler.let_end()
    assert [rows(call) for call in calls] == [[[0, 2]]] * 2
    # The second client is waited for, which itself waits for its reset or for everybody's.
    held = crowd.wait(clients[0].predict_action, [{"n": 1}])
    who, ids = (clients[2], None) if everything else (clients[1], ["b"])
    reset = crowd.submit(who.reset, episode_ids=ids)
    crowd.handler.let_end()
    assert rows(held) == [[1, 1]]
    assert reset.result(WAIT)


def test_a_server_that_stops_holds_nothing_back(crowds: Any) -> None:
    clock = Clock()
    crowd = crowds(GatedHandler(echo), max_batch_delay=5.0, clock=clock)
    first, client = crowd.occupy(), crowd.client()
    clock.now += 100
    crowd.handler.let_end()
    first.result(WAIT)
    held = crowd.wait(client.predict_action, [{"n": 1}])
    crowd.server.stop()
    with pytest.raises(errors.UnavailableError):
        held.result(WAIT)
    assert batches(crowd.handler) == [[-1]]


def test_many_clients_with_quick_and_slow_calls_all_get_their_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    sizes: list[int] = []

    def work(prediction: Prediction) -> Any:
        sizes.append(len(prediction.observations))
        return np.array([[o["n"]] for o in prediction.observations])

    def call(number: int) -> None:
        with PolicyClient(server.host, server.port, timeout=WAIT) as client:
            barrier.wait(WAIT)
            for step in range(50):
                n = 1000 * number + step
                size = 1 + (number + step) % 3
                batch = [{"n": n + 100 * row} for row in range(size)]
                ids = [f"{number}-{row}" for row in range(size)] if number % 2 else None
                action = client.predict_action(batch, episode_ids=ids)
                assert action.ravel().tolist() == [o["n"] for o in batch]

    barrier = threading.Barrier(12)
    with (
        PolicyServer(RecordingHandler(work), port=0, max_batch_size=16) as server,
        ThreadPoolExecutor(12) as pool,
    ):
        for result in pool.map(call, range(12)):
            assert result is None
    assert sum(sizes) == sum(1 + (n + s) % 3 for n in range(12) for s in range(50))
    assert max(sizes) <= 16
    assert caplog.records == []
