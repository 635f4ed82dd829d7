# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Several servers with a policy behind one that sends calls on, all real."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hosts import LOOPBACK

from praxis_remote import PolicyClient, PolicyServer, codec, current_request
from praxis_remote.async_client import AsyncPolicyClient
from praxis_remote.calls import PREDICT
from praxis_remote.errors import (
    DeadlineExceededError,
    HandlerError,
    InvalidArgumentError,
    RemoteError,
    ResourceExhaustedError,
    StatusCode,
    UnavailableError,
)
from praxis_remote.routing import RoutingServer
from praxis_remote.specs import NumberSpec, ObservationSpec
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler
from praxis_remote.types import Array

WAIT = 30.0
TOKEN = "between-ourselves"


class Rows:
    """Answers each observation with the replica's number and the observation's own."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, prediction: Prediction) -> Array:
        first = prediction.observations[0]
        if "wrong" in first:
            raise ValueError(first["wrong"])
        if "broken" in first:
            raise RuntimeError(first["broken"])
        if "busy" in first:
            raise ResourceExhaustedError(str(first["busy"]))
        if "away" in first:
            raise UnavailableError(str(first["away"]))
        if "within" in first:
            remaining = current_request().remaining()
            assert remaining is not None
            assert remaining <= float(str(first["within"]))
        if "unfit" in first:
            return np.zeros(3)
        if "session" in first:
            said = dict(current_request().metadata)
            assert said["raw-bin"] == b"\x00\xff"
            assert str(said["praxis-session-id"]) == first["session"]
        rows = [[self.number, float(np.asarray(o["n"]))] for o in prediction.observations]
        return np.array(rows, np.float64)


class Fleet:
    """A routing server, its replicas, and clients of it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.router = stack.enter_context(
            RoutingServer(port=0, replica_token=TOKEN, max_message_size=2**24)
        )
        self.handlers: list[Any] = []
        self.servers: list[PolicyServer] = []

    def add(self, kind: type[RecordingHandler] = RecordingHandler, **options: Any) -> Any:
        number = len(self.handlers)
        handler = kind(Rows(number))
        server = PolicyServer(handler, port=0, tokens=[TOKEN], **options)
        self._stack.enter_context(server)
        self.handlers.append(handler)
        self.servers.append(server)
        self.router.add(f"r{number}", server.address).result(WAIT)
        return handler

    def client(self, **options: Any) -> PolicyClient:
        client = PolicyClient(self.router.host, self.router.port, timeout=WAIT, **options)
        return self._stack.enter_context(client)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack)


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits for what nothing tells of."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it did not come about"


def batch(*numbers: float, **more: Any) -> list[dict[str, Any]]:
    return [{"n": np.float64(number), **more} for number in numbers]


def ask(client: PolicyClient, ids: list[str], **more: Any) -> tuple[list[int], list[int]]:
    """Returns which replicas answered, and what was sent to them."""
    action = client.predict_action(batch(*range(len(ids)), **more), episode_ids=ids)
    return [int(row[0]) for row in action], [int(row[1]) for row in action]


def test_a_batch_is_split_by_episode_and_comes_back_in_its_order(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.add()
    client = fleet.client()
    ids = list("abcdef")
    who, rows = ask(client, ids)
    assert rows == [0, 1, 2, 3, 4, 5]
    assert sorted(who) == [0, 0, 1, 1, 2, 2]
    assert ask(client, ids[::-1]) == (who[::-1], rows)
    # Each replica got its own in one call, with its ids.
    for number, handler in enumerate(fleet.handlers):
        mine = tuple(episode for episode, of in zip(ids, who, strict=True) if of == number)
        assert [p.episode_ids for p in handler.predictions] == [mine, mine[::-1]]


def test_calls_without_ids_stay_with_one_replica_for_a_session(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.add()
    found: list[int] = []
    for _ in range(2):
        client = fleet.client()
        answers = {client.predict_action(batch(1, 2))[0][0] for _ in range(3)}
        assert len(answers) == 1
        found += answers
    assert sorted(found) == [0, 1]


def test_episodes_of_two_clients_with_one_id_are_two(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.add()
    assert sorted(ask(fleet.client(), ["0"])[0][0] for _ in range(2)) == [0, 1]


def test_a_policy_sees_what_its_caller_sent_along(fleet: Fleet) -> None:
    fleet.add()
    client = fleet.client(metadata={"raw-bin": b"\x00\xff"})
    assert ask(client, ["a"], session=client.session_id) == ([0], [0])


@pytest.mark.parametrize(
    ("key", "error", "code"),
    [
        ("wrong", InvalidArgumentError, StatusCode.INVALID_ARGUMENT),
        ("broken", HandlerError, StatusCode.INTERNAL),
        ("busy", ResourceExhaustedError, StatusCode.RESOURCE_EXHAUSTED),
        ("away", UnavailableError, StatusCode.UNAVAILABLE),
    ],
)
def test_a_policys_errors_pass_as_they_are(
    fleet: Fleet, key: str, error: type[RemoteError], code: StatusCode
) -> None:
    fleet.add()
    client = fleet.client()
    with pytest.raises(error) as raised:
        client.predict_action(batch(0, **{key: "said so"}), episode_ids=["a"])
    assert (raised.value.code(), raised.value.details()) == (code, "said so")
    assert not raised.value.never_ran
    # The replica is none the worse for it.
    assert ask(client, ["a"]) == ([0], [0])


def test_one_part_that_fails_fails_the_batch(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.add()
    client = fleet.client()
    observations = [*batch(0), *batch(1, broken="said so")]
    with pytest.raises(HandlerError, match="said so"):
        client.predict_action(observations, episode_ids=["a", "b"])


def test_an_action_that_cannot_be_split_is_refused_only_where_it_was(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.add()
    client = fleet.client()
    assert client.predict_action(batch(0, unfit=1), episode_ids=["a"]).shape == (3,)
    with pytest.raises(HandlerError, match=r"float64 of shape \(3,\) for 1 of a batch"):
        client.predict_action(batch(0, 1, unfit=1), episode_ids=["a", "b"])


def test_what_is_no_request_is_refused_as_by_one_server(fleet: Fleet) -> None:
    fleet.add()
    client = fleet.client()
    from praxis_remote.schema import NamedTensor, Observation, PredictRequest, Tensor

    tensor = Tensor(data=b"123", shape=[1])
    bad = PredictRequest([Observation([NamedTensor("a", tensor)])], episode_ids=["a"])
    with (
        PolicyClient(fleet.servers[0].host, fleet.servers[0].port, token=TOKEN) as direct,
        pytest.raises(InvalidArgumentError) as expected,
    ):
        direct.stub.predict(bad)
    with pytest.raises(InvalidArgumentError) as raised:
        client.stub.predict(bad)
    assert raised.value.details() == expected.value.details()
    assert raised.value.never_ran


def test_resets_go_to_the_owners_and_to_all_without_ids(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.add()
    client = fleet.client()
    who, _ = ask(client, ["a", "b"])
    assert client.reset(episode_ids=["b"])
    other, owner = fleet.handlers[who[0]], fleet.handlers[who[1]]
    assert (other.resets, owner.resets) == ([], [("b",)])
    assert client.reset()
    assert (other.resets, owner.resets) == ([None], [("b",), None])


def test_episodes_of_a_replica_that_stopped_go_on_elsewhere(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.add()
    client = fleet.client()
    ids = list("abcd")
    ask(client, ids)
    fleet.servers[0].stop()
    again, rows = ask(client, ids)
    assert (again, rows) == ([1] * 4, [0, 1, 2, 3])
    assert fleet.router.episodes() == {"r1": 4}
    # Those that were there already have not moved, and one that comes has its share.
    fleet.add()
    assert ask(client, ids)[0] == [1] * 4
    assert ask(client, ["e"])[0] == [2]


def test_only_what_ran_on_a_replica_that_is_lost_fails(fleet: Fleet) -> None:
    doomed = fleet.add(GatedHandler)
    healthy = fleet.add(GatedHandler)
    clients = [fleet.client() for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, clients[0], ["a"])
        doomed.wait_begun()
        second = pool.submit(ask, clients[1], ["a"])
        healthy.wait_begun()
        # Without grace, as a process that is killed.
        stopper = threading.Thread(target=fleet.servers[0].stop)
        stopper.start()
        with pytest.raises(UnavailableError) as raised:
            first.result(WAIT)
        assert not raised.value.never_ran
        healthy.let_end(2)
        assert second.result(WAIT) == ([1], [0])
        # It is not sent again by itself; its episode goes on elsewhere when it is.
        assert len(healthy.predictions) == 1
        assert ask(clients[0], ["a"]) == ([1], [0])
        doomed.let_end()
        stopper.join(WAIT)


def test_what_waits_at_a_replica_that_drains_is_answered_by_it(fleet: Fleet) -> None:
    slow = fleet.add(GatedHandler)
    client = fleet.client()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(ask, client, ["a"])
        slow.wait_begun()
        fleet.add()
        fleet.servers[0].request_stop(grace=WAIT)
        # What comes now goes elsewhere, even of the same episode.
        assert ask(client, ["a"]) == ([1], [0])
        slow.let_end()
        assert running.result(WAIT) == ([0], [0])


def test_without_replicas_calls_may_be_sent_again(fleet: Fleet) -> None:
    client = fleet.client()
    with pytest.raises(UnavailableError) as raised:
        ask(client, ["a"])
    assert raised.value.details() == "no replica of the policy is there; try again later"
    assert raised.value.never_ran
    with pytest.raises(UnavailableError, match="no replica"):
        client.reset(retries=0)
    assert client.health_check()[0] is False
    fleet.add()
    assert client.health_check() == (True, "RecordingHandler")


def test_a_deadline_goes_along(fleet: Fleet) -> None:
    handler = fleet.add(GatedHandler)
    client = fleet.client()
    handler.let_end()
    assert ask(client, ["a"], within=WAIT) == ([0], [0])
    handler.wait_begun()
    with pytest.raises(DeadlineExceededError):
        client.predict_action(batch(0), episode_ids=["a"], timeout=0.2)
    handler.wait_begun()
    handler.let_end()


def test_a_call_that_is_given_up_while_it_waits_never_runs(fleet: Fleet) -> None:
    handler = fleet.add(GatedHandler)

    async def give_up() -> None:
        async with AsyncPolicyClient(LOOPBACK, fleet.router.port) as client:
            running = asyncio.ensure_future(client.predict_action(batch(0), episode_ids=["a"]))
            await asyncio.to_thread(handler.wait_begun)
            waiting = asyncio.ensure_future(client.predict_action(batch(1), episode_ids=["a"]))
            while fleet.servers[0].status().waiting == 0:  # noqa: ASYNC110 - it cannot tell
                await asyncio.sleep(0)
            waiting.cancel()
            while fleet.servers[0].status().waiting:  # noqa: ASYNC110 - it cannot tell
                await asyncio.sleep(0)
            handler.let_end()
            await running

    asyncio.run(asyncio.wait_for(give_up(), WAIT))
    assert len(handler.predictions) == 1


def test_a_replica_that_is_busy_says_so_through_it(fleet: Fleet) -> None:
    handler = fleet.add(GatedHandler, max_pending=0)
    client = fleet.client()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(ask, client, ["a"])
        handler.wait_begun()
        with pytest.raises(ResourceExhaustedError, match="max_pending") as raised:
            ask(client, ["a"])
        assert raised.value.never_ran
        handler.let_end()
        running.result(WAIT)


def test_a_batch_of_which_a_part_ran_is_not_said_to_have_never_run(fleet: Fleet) -> None:
    busy = fleet.add(GatedHandler, max_pending=0)
    free = fleet.add()
    client = fleet.client()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(ask, client, ["a"])
        busy.wait_begun()
        assert ask(client, ["b"]) == ([1], [0])
        with pytest.raises(ResourceExhaustedError, match="max_pending") as raised:
            ask(client, ["b", "a"])
        assert not raised.value.never_ran
        busy.let_end()
        running.result(WAIT)
    assert ask(client, ["b"]) == ([1], [0])
    assert free.predictions[0].episode_ids == ("b",)


class Expecting(RecordingHandler):
    def observation_spec(self) -> ObservationSpec:
        return ObservationSpec({"n": NumberSpec()})


def test_what_a_policy_expects_is_told_and_checked_by_its_replicas(fleet: Fleet) -> None:
    fleet.add(Expecting)
    fleet.add(Expecting)
    client = fleet.client()
    fleet.servers[0].stop()
    assert client.observation_spec() == Expecting().observation_spec()
    assert ask(client, ["a"]) == ([1], [0])
    with pytest.raises(InvalidArgumentError, match="n"):
        client.predict_action([{"m": np.zeros(1)}], episode_ids=["a"])


def test_large_requests_pass_whole(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.add()
    client = fleet.client()
    image = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)
    ids = list("abcd")
    ask(client, ids, image=image)
    for handler in fleet.handlers:
        for prediction in handler.predictions:
            for observation in prediction.observations:
                np.testing.assert_array_equal(observation["image"], image)


def test_a_replica_with_another_token_is_not_taken(fleet: Fleet) -> None:
    with (
        PolicyServer(RecordingHandler(), port=0, tokens=["another"]) as server,
        pytest.raises(RemoteError),
    ):
        fleet.router.add("stranger", server.address).result(WAIT)
    assert fleet.router.episodes() == {}


def test_a_replica_that_comes_again_takes_its_own_place(fleet: Fleet) -> None:
    fleet.add()
    with PolicyServer(RecordingHandler(Rows(7)), port=0, tokens=[TOKEN]) as server:
        fleet.router.add("r0", server.address).result(WAIT)
        assert ask(fleet.client(), ["a"]) == ([7], [0])
        assert list(fleet.router.episodes()) == ["r0"]
        wait_for(lambda: fleet.servers[0].status().connections == 0)


def test_callers_that_name_no_session_are_told_apart_also_on_a_unix_socket(tmp_path: Path) -> None:
    handlers = [RecordingHandler(), RecordingHandler()]
    request = b"".join(codec.encode_predict_request(batch(1), None, ["the same"]))
    with ExitStack() as stack:
        router = stack.enter_context(
            RoutingServer(host=f"unix:{tmp_path / 's'}", replica_token=TOKEN)
        )
        for number, handler in enumerate(handlers):
            server = stack.enter_context(PolicyServer(handler, port=0, tokens=[TOKEN]))
            router.add(str(number), server.address).result(WAIT)
        for _ in handlers:
            own = [("grpc.use_local_subchannel_pool", 1)]
            channel = stack.enter_context(grpc.insecure_channel(router.address, options=own))
            call: Any = channel.unary_unary(PREDICT.path)
            for _ in range(2):
                call(request, timeout=WAIT)
    assert [len(handler.predictions) for handler in handlers] == [2, 2]
