# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A server ends episodes that are over, through the policy's own reset and on its thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from praxis_remote import Limits, PolicyClient, PolicyServer
from praxis_remote.errors import InvalidArgumentError, InvalidValueError
from praxis_remote.eviction import RECONNECT_SECONDS
from praxis_remote.testing import GatedHandler, RecordingHandler

WAIT = 30.0
BATCH = [{"number": 1}]


class Resets(RecordingHandler):
    """Notes what it is told to forget, and by which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[set[str] | None] = []
        self.threads: set[str] = set()
        self._one_more = threading.Semaphore(0)

    def reset(self, episode_ids: Sequence[str] | None = None) -> None:
        self.forgotten.append(None if episode_ids is None else set(episode_ids))
        self.threads.add(threading.current_thread().name)
        self._one_more.release()

    def wait_reset(self) -> None:
        assert self._one_more.acquire(timeout=WAIT)


class Served:
    """A server whose clock the test turns."""

    def __init__(self, handler: Any, **options: Any) -> None:
        self.server = PolicyServer(handler, port=0, **options)
        assert self.server._eviction is not None
        self.eviction = self.server._eviction
        self.now = 0.0
        self.eviction._clock = lambda: self.now
        self.closed = threading.Semaphore(0)
        self.came = threading.Semaphore(0)
        self._clients: list[PolicyClient] = []
        # Not known from outside: when a call has come, and when a connection is closed.
        self._tell(self.server._listener, "_closed", self.closed)
        self._tell(self.eviction, "_begin", self.came)
        self.server.serve(block=False)

    def _tell(self, owner: Any, name: str, happened: threading.Semaphore) -> None:
        function = getattr(owner, name)

        def told(*args: Any) -> None:
            function(*args)
            happened.release()

        setattr(owner, name, told)

    def client(self, **options: Any) -> PolicyClient:
        client = PolicyClient("127.0.0.1", self.server.port, timeout=WAIT, **options)
        self._clients.append(client)
        return client

    def in_loop(self, function: Callable[[], object]) -> None:
        async def call() -> None:
            function()

        assert self.server._loop is not None
        asyncio.run_coroutine_threadsafe(call(), self.server._loop).result(WAIT)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.in_loop(self.eviction.look)

    def finish(self) -> None:
        """Waits until the policy has done all that it has to."""
        self.server._scheduler.call(lambda: None)

    def disconnect(self, client: PolicyClient) -> None:
        client.close()
        assert self.closed.acquire(timeout=WAIT)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.server.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def make(handler: Any, **options: Any) -> Served:
        made.append(Served(handler, **options))
        return made[-1]

    yield make
    for served in made:
        served.close()


Serve = Callable[..., Served]


def test_episodes_that_were_not_used_for_the_time_end_together(serve: Serve) -> None:
    handler = Resets()
    served = serve(handler, episode_ttl=60)
    client = served.client()
    for name in ("a", "b", "c"):
        client.predict_action(BATCH, episode_ids=[name])
    served.now = 30
    client.predict_action(BATCH * 2, episode_ids=["c", "d"])
    served.advance(30)
    handler.wait_reset()
    assert handler.forgotten == [{"a", "b"}]
    served.advance(30)
    handler.wait_reset()
    assert handler.forgotten == [{"a", "b"}, {"c", "d"}]
    assert handler.threads == {handler.predictions[0].thread}
    assert served.server.status().ended_episodes == {"unused": 4, "disconnected": 0, "too_many": 0}


def test_the_timer_of_the_server_ends_them_by_itself() -> None:
    handler = Resets()
    with (
        PolicyServer(handler, port=0, episode_ttl=0.01) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
    ):
        for name in ("a", "b"):
            client.predict_action(BATCH, episode_ids=[name])
            handler.wait_reset()
    assert handler.forgotten == [{"a"}, {"b"}]


def test_nothing_is_reset_when_nothing_is_over(serve: Serve) -> None:
    handler = Resets()
    served = serve(handler, episode_ttl=60, end_episodes_on_disconnect=True)
    client = served.client()
    client.predict_action(BATCH)
    client.predict_action(BATCH, episode_ids=["a"])
    client.reset(episode_ids=["a"])
    client.predict_action(BATCH, episode_ids=["b"])
    client.reset()
    served.disconnect(client)
    served.advance(1000)
    served.finish()
    assert handler.forgotten == [{"a"}, None]
    assert served.server.status().episodes == 0


def test_an_episode_whose_call_waits_is_not_over(serve: Serve) -> None:
    handler = GatedHandler()
    served = serve(handler, episode_ttl=60)
    with ThreadPoolExecutor() as pool:
        calls = [
            pool.submit(served.client().predict_action, BATCH, episode_ids=[name])
            for name in ("runs", "waits")
        ]
        handler.wait_begun()
        for _ in calls:
            assert served.came.acquire(timeout=WAIT)
        served.advance(1000)
        handler.let_end(2)
        for call in calls:
            call.result(WAIT)
    served.advance(59)
    served.finish()
    assert handler.resets == []
    served.advance(1)
    served.finish()
    assert sorted(handler.resets[0] or ()) == ["runs", "waits"]


def test_a_call_that_comes_while_the_end_of_its_episode_waits_keeps_the_episode(
    serve: Serve,
) -> None:
    handler = GatedHandler()
    served = serve(handler, episode_ttl=60)
    client = served.client()
    handler.let_end(2)
    for name in ("goes on", "is over"):
        client.predict_action(BATCH, episode_ids=[name])
        handler.wait_begun()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(served.client().predict_action, BATCH)
        handler.wait_begun()
        served.advance(60)
        while served.came.acquire(blocking=False):
            pass
        call = pool.submit(client.predict_action, BATCH, episode_ids=["goes on"])
        assert served.came.acquire(timeout=WAIT)
        handler.let_end(2)
        other.result(WAIT)
        call.result(WAIT)
    assert handler.resets == [("is over",)]


def test_a_reset_of_no_episode_is_no_reset_of_all(serve: Serve) -> None:
    handler = GatedHandler()
    served = serve(handler, episode_ttl=60)
    client = served.client()
    handler.let_end()
    client.predict_action(BATCH, episode_ids=["a"])
    handler.wait_begun()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(served.client().predict_action, BATCH)
        handler.wait_begun()
        served.advance(60)
        while served.came.acquire(blocking=False):
            pass
        call = pool.submit(client.predict_action, BATCH, episode_ids=["a"])
        assert served.came.acquire(timeout=WAIT)
        handler.let_end(2)
        other.result(WAIT)
        call.result(WAIT)
    served.finish()
    assert handler.resets == []


def test_while_the_policy_works_all_that_is_over_waits_for_one_turn(serve: Serve) -> None:
    handler = GatedHandler()
    served = serve(handler, episode_ttl=60)
    client = served.client()
    handler.let_end(2)
    client.predict_action(BATCH, episode_ids=["a"])
    served.now = 10
    client.predict_action(BATCH, episode_ids=["b"])
    for _ in range(2):
        handler.wait_begun()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(served.client().predict_action, BATCH)
        handler.wait_begun()
        served.advance(50)
        served.advance(10)
        assert served.server.status().waiting == 1
        handler.let_end()
        other.result(WAIT)
    served.finish()
    assert [set(names or ()) for names in handler.resets] == [{"a", "b"}]


def test_a_call_that_comes_while_its_episode_is_being_ended_runs_after_that(serve: Serve) -> None:
    happened: list[str] = []
    ending, may_end = threading.Event(), threading.Event()

    class Slow(RecordingHandler):
        def predict_action(self, observations: Any, **options: Any) -> Any:
            happened.append("predict")
            return super().predict_action(observations, **options)

        def reset(self, episode_ids: Any = None) -> None:
            ending.set()
            assert may_end.wait(WAIT)
            happened.append("reset")

    served = serve(Slow(), episode_ttl=60)
    client = served.client()
    client.predict_action(BATCH, episode_ids=["a"])
    assert served.came.acquire(timeout=WAIT)
    served.advance(60)
    assert ending.wait(WAIT)
    with ThreadPoolExecutor() as pool:
        call = pool.submit(client.predict_action, BATCH, episode_ids=["a"])
        assert served.came.acquire(timeout=WAIT)
        may_end.set()
        call.result(WAIT)
    assert happened == ["predict", "reset", "predict"]
    served.advance(59)
    assert served.server.status().episodes == 1


def test_a_client_that_does_not_come_back_loses_its_episodes(serve: Serve) -> None:
    handler = Resets()
    served = serve(handler, end_episodes_on_disconnect=True)
    client, other = served.client(), served.client()
    client.predict_action(BATCH * 2, episode_ids=["a", "b"])
    other.predict_action(BATCH, episode_ids=["c"])
    served.disconnect(client)
    served.advance(RECONNECT_SECONDS - 1)
    served.finish()
    assert handler.forgotten == []
    served.advance(1)
    handler.wait_reset()
    assert handler.forgotten == [{"a", "b"}]
    assert served.server.status().ended_episodes["disconnected"] == 2


def test_a_client_that_comes_back_by_another_connection_goes_on(serve: Serve) -> None:
    handler = Resets()
    served = serve(handler, end_episodes_on_disconnect=True)
    client = served.client(session_id="robot")
    client.predict_action(BATCH * 2, episode_ids=["a", "b"])
    served.disconnect(client)
    again = served.client(session_id="robot")
    again.predict_action(BATCH, episode_ids=["a"])
    served.advance(1000)
    served.finish()
    assert handler.forgotten == []
    served.disconnect(again)
    served.advance(RECONNECT_SECONDS)
    handler.wait_reset()
    assert handler.forgotten == [{"a", "b"}]


def test_a_connection_means_nothing_unless_asked_for(serve: Serve) -> None:
    handler = Resets()
    served = serve(handler, episode_ttl=60)
    client = served.client()
    client.predict_action(BATCH, episode_ids=["a"])
    served.disconnect(client)
    served.advance(59)
    served.finish()
    assert handler.forgotten == []


def test_beyond_the_limit_the_episode_that_was_unused_for_longest_ends(serve: Serve) -> None:
    handler = Resets()
    served = serve(handler, episode_ttl=60, limits=Limits(episodes=2))
    client = served.client()
    for name in ("a", "b", "a", "c"):
        client.predict_action(BATCH, episode_ids=[name])
    handler.wait_reset()
    assert handler.forgotten == [{"b"}]
    assert served.server.status().ended_episodes["too_many"] == 1


def test_an_id_that_is_too_long_is_the_callers_fault(serve: Serve) -> None:
    served = serve(Resets(), episode_ttl=60)
    with pytest.raises(InvalidArgumentError, match=r"episode_ids\[0\]: 2000 characters; at most"):
        served.client().predict_action(BATCH, episode_ids=["a" * 2000])
    assert served.server.status().episodes == 0


def test_a_reset_that_fails_is_told_and_not_tried_again(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Resets):
        def reset(self, episode_ids: Any = None) -> None:
            super().reset(episode_ids)
            raise SystemExit("no memory")

    handler = Failing()
    served = serve(handler, episode_ttl=60)
    client = served.client()
    client.predict_action(BATCH * 2, episode_ids=["a", "b"])
    served.advance(60)
    served.advance(1000)
    served.finish()
    assert handler.forgotten == [{"a", "b"}]
    (record,) = [r for r in caplog.records if getattr(r, "event", "") == "policy_failed"]
    assert "reset failed for 2 episodes that are over: no memory" in record.getMessage()
    client.predict_action(BATCH, episode_ids=["a"])


def test_ends_are_one_line_of_the_log_with_counts_and_reasons(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    handler = Resets()
    served = serve(handler, episode_ttl=60, end_episodes_on_disconnect=True)
    client, other = served.client(), served.client()
    other.predict_action(BATCH * 2, episode_ids=["a", "b"])
    served.now = 55
    client.predict_action(BATCH, episode_ids=["c"])
    served.disconnect(client)
    served.advance(RECONNECT_SECONDS)
    served.finish()
    (record,) = [r for r in caplog.records if getattr(r, "event", "") == "episodes_ended"]
    assert record.getMessage() == (
        "ended episodes: 2 not used for long enough, 1 their client gone"
    )
    assert vars(record)["episodes"] == 3


def test_a_stopped_server_ends_no_more_episodes(serve: Serve) -> None:
    handler = Resets()
    served = serve(handler, episode_ttl=60, end_episodes_on_disconnect=True)
    client = served.client()
    client.predict_action(BATCH, episode_ids=["a"])
    served.server.stop()
    assert served.eviction._timer is None
    assert handler.forgotten == []
    assert served.server._scheduler.idle


# ---------------------------------------------------------------- what is refused


class NoIds(RecordingHandler):
    def reset(self) -> None:  # type: ignore[override]  # as policies may have it
        """Forgets everything."""


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"episode_ttl": 60}, "episode_ttl"),
        ({"end_episodes_on_disconnect": True}, "end_episodes_on_disconnect"),
    ],
)
def test_a_policy_that_cannot_be_told_is_refused_at_the_start(
    options: dict[str, Any], name: str
) -> None:
    handler: Any = NoIds()
    PolicyServer(handler, port=0).stop()
    with pytest.raises(TypeError, match=rf"NoIds\.reset.* cannot be told .*; {name} needs reset"):
        PolicyServer(handler, port=0, **options)


@pytest.mark.parametrize("given", [10, "yes", None])
def test_ending_on_disconnect_is_on_or_off_and_no_time(given: Any) -> None:
    with pytest.raises(TypeError, match=r"end_episodes_on_disconnect: .*; pass True or False"):
        PolicyServer(RecordingHandler(), port=0, end_episodes_on_disconnect=given)


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan"), "60", True])
def test_a_time_that_is_none_is_refused(ttl: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"episode_ttl: .*pass seconds, more than 0"):
        PolicyServer(RecordingHandler(), port=0, episode_ttl=ttl)
