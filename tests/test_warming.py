# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a policy does before its calls, and what it says of its readiness."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from faces import Face

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer, Stage
from praxis_remote.errors import DeadlineExceededError, HandlerError, UnavailableError
from praxis_remote.protocol import PolicyHandler, ReadinessHandler, WarmingHandler
from praxis_remote.readiness import Readiness
from praxis_remote.scheduler import Scheduler
from praxis_remote.stage import Progress
from praxis_remote.testing import GatedHandler, RecordingHandler

BATCH = [{"observation.state": np.zeros(3, np.float32)}]
WAIT = 30.0


class Warming(RecordingHandler):
    """Warms up until it is let go on, or fails."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []
        self.predictions_before = -1
        self._error = error

    def warmup(self) -> None:
        self.threads.append(threading.current_thread())
        self.begun.set()
        assert self.go_on.wait(WAIT)
        self.predictions_before = len(self.predictions)
        if self._error is not None:
            raise self._error

    def predict_action(self, *args: Any, **kwargs: Any) -> Any:
        self.threads.append(threading.current_thread())
        return super().predict_action(*args, **kwargs)


class Moody(RecordingHandler):
    """Is ready or not, as it is told."""

    ready: object = True

    def is_ready(self) -> bool:
        if isinstance(self.ready, BaseException):
            raise self.ready
        return bool(self.ready)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_the_optional_methods_are_optional_and_have_protocols() -> None:
    plain: PolicyHandler = RecordingHandler()
    warming: WarmingHandler = Warming()
    moody: ReadinessHandler = Moody()
    assert not isinstance(plain, (WarmingHandler, ReadinessHandler))
    assert isinstance(warming, PolicyHandler)
    assert isinstance(moody, PolicyHandler)


def test_a_server_goes_from_starting_to_serving_to_draining() -> None:
    server = PolicyServer(RecordingHandler(), port=0)
    stages = [server.stage]
    with server:
        stages.append(server.stage)
    assert [*stages, server.stage] == [Stage.STARTING, Stage.SERVING, Stage.DRAINING]


def test_a_policy_warms_up_on_its_thread_before_all_calls_which_wait(
    face: Face, pool: ThreadPoolExecutor
) -> None:
    policy = Warming()
    with PolicyServer(policy, port=0) as server:
        client = face.client(server, timeout=WAIT)
        assert policy.begun.wait(WAIT)
        stages = [server.stage]
        ready, text = client.health_check()
        assert not ready
        assert text.startswith("warming: ")
        with pytest.raises(DeadlineExceededError):
            client.predict_action(BATCH, timeout=0.05)
        with PolicyClient("127.0.0.1", server.port, timeout=WAIT) as other:
            call = pool.submit(other.predict_action, BATCH)
            policy.go_on.set()
            call.result(WAIT)
        assert client.wait_ready(WAIT) == "Warming"
        assert client.health_check() == (True, "Warming")
        assert [*stages, server.stage] == [Stage.WARMING, Stage.SERVING]
    assert policy.predictions_before == 0
    # The call whose deadline passed in the queue never ran.
    assert len(policy.predictions) == 1
    assert len(set(policy.threads)) == 1


def test_calls_that_came_before_serve_wait_for_the_warmup_as_well(pool: ThreadPoolExecutor) -> None:
    policy = Warming()
    server = PolicyServer(policy, port=0)
    with PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client:
        call = pool.submit(client.predict_action, BATCH)
        with server:
            policy.go_on.set()
            call.result(WAIT)
    assert (policy.predictions_before, len(policy.predictions)) == (0, 1)


def test_wait_ready_says_which_stage_it_last_saw(face: Face) -> None:
    policy = Warming()
    with PolicyServer(policy, port=0) as server:
        client = face.client(server)
        with pytest.raises(TimeoutError, match=r"last: the server says .* not ready: warming: "):
            client.wait_ready(1)
        policy.go_on.set()


def test_a_warming_server_stops_without_waiting_for_the_policy(pool: ThreadPoolExecutor) -> None:
    policy = Warming()
    with PolicyServer(policy, port=0) as server:
        assert policy.begun.wait(WAIT)
        with PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client:
            waiting = pool.submit(client.predict_action, BATCH)
            while not server.status().in_flight:
                client.health_check()
            pool.submit(server.stop).result(WAIT)
            with pytest.raises(UnavailableError, match="shutting down"):
                waiting.result(WAIT)
        assert server.stage is Stage.DRAINING
    policy.go_on.set()


def test_a_warmup_that_fails_stops_the_server_and_serve_raises_it() -> None:
    policy = Warming(ZeroDivisionError("no checkpoint"))
    policy.go_on.set()
    server = PolicyServer(policy, port=0)
    with pytest.raises(HandlerError, match=r"warmup\(\) failed: ZeroDivisionError: no checkpoint"):
        server.serve()
    assert server.stage is Stage.DRAINING
    server.stop()


def test_a_warmup_that_fails_ends_serve_async_as_well() -> None:
    policy = Warming(SystemExit())
    policy.go_on.set()
    with pytest.raises(HandlerError, match=r"warmup\(\) failed: SystemExit$"):
        asyncio.run(PolicyServer(policy, port=0).serve_async())


def test_a_warmup_that_fails_where_nobody_waits_is_in_the_log_with_its_traceback(
    caplog: pytest.LogCaptureFixture, pool: ThreadPoolExecutor
) -> None:
    policy = Warming(ZeroDivisionError("no checkpoint"))
    server = PolicyServer(policy, port=0)
    server.serve(block=False)
    with PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client:
        call = pool.submit(client.predict_action, BATCH)
        while not server.status().in_flight:
            policy.begun.wait(WAIT)
        policy.go_on.set()
        with pytest.raises(UnavailableError, match="shutting down"):
            call.result(WAIT)
    server.stop()
    assert policy.predictions == []
    (record,) = [r for r in caplog.records if "warmup() failed" in r.getMessage()]
    assert record.levelno == logging.ERROR
    assert "ZeroDivisionError: no checkpoint" in (caplog.text.partition("warmup() failed")[2])
    assert "Traceback" in caplog.text


def test_a_policy_that_is_not_ready_says_so_and_answers_all_the_same(face: Face) -> None:
    policy = Moody()
    with PolicyServer(policy, port=0) as server:
        client = face.client(server, timeout=WAIT)
        assert client.wait_ready(WAIT) == "Moody"
        for mood in (False, OSError("no camera")):
            policy.ready = mood
            ready, text = client.health_check()
            assert not ready
            assert text.startswith("serving, but the policy")
            client.predict_action(BATCH)
        policy.ready = True
        assert client.health_check() == (True, "Moody")


def test_a_policy_that_forgets_to_say_whether_it_is_ready_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Forgetful(RecordingHandler):
        def is_ready(self) -> None:
            """Lacks its return."""

    with (
        PolicyServer(Forgetful(), port=0) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
    ):
        for _ in range(2):
            assert client.health_check()[0] is False
    assert caplog.text.count("is_ready returned None, which is taken as False; return a bool") == 1


def test_a_policy_is_not_ready_before_it_has_said_so() -> None:
    policy = Moody()
    policy.ready = False
    with (
        PolicyServer(policy, port=0) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
    ):
        assert client.health_check()[0] is False


def test_a_policy_is_asked_as_soon_as_it_is_warm() -> None:
    for mood in (True, False):
        policy, progress, scheduler = Moody(), Progress(), Scheduler()
        policy.ready = mood
        readiness = Readiness(policy, scheduler, progress)
        readiness.begin()
        assert progress.stage is Stage.WARMING
        readiness.warm_up()
        assert not readiness.ready
        readiness.warmed_up()
        assert readiness.ready is mood
        scheduler.close()


def test_a_server_that_is_cancelled_has_drained() -> None:
    async def main() -> None:
        server = PolicyServer(RecordingHandler(), port=0)
        serving = asyncio.ensure_future(server.serve_async())
        async with AsyncPolicyClient("127.0.0.1", server.port, timeout=WAIT) as client:
            await client.wait_ready(WAIT)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert server.stage is Stage.DRAINING

    asyncio.run(main())


def test_a_policy_that_works_is_not_asked_and_its_last_word_holds(
    pool: ThreadPoolExecutor,
) -> None:
    class Busy(GatedHandler):
        asked = 0

        def is_ready(self) -> bool:
            self.asked += 1
            return True

    policy = Busy()
    with (
        PolicyServer(policy, port=0) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
    ):
        client.wait_ready(WAIT)
        call = pool.submit(client.predict_action, BATCH)
        policy.wait_begun()
        before = policy.asked
        with PolicyClient("127.0.0.1", server.port, timeout=WAIT) as other:
            assert other.health_check()[0]
        assert policy.asked == before
        policy.let_end()
        call.result(WAIT)


@pytest.mark.parametrize("name", ["warmup", "is_ready"])
def test_optional_methods_that_cannot_be_called_are_refused_at_the_start(name: str) -> None:
    def policy(method: Any) -> Any:
        return type("Policy", (RecordingHandler,), {name: method})()

    async def waiting(self: Any) -> None: ...

    for method, text in [
        (True, rf"Policy\.{name} is a bool; the server calls it: make it a method"),
        (lambda self, steps: None, rf"Policy\.{name}\(steps\) cannot be called as \(\)"),
        (waiting, rf"Policy\.{name} is a coroutine function"),
    ]:
        with pytest.raises(TypeError, match=text):
            PolicyServer(policy(method), port=0)


def test_who_watches_is_woken_when_the_answer_changes_and_not_by_each_one() -> None:
    class Policy(RecordingHandler):
        ready = False

        def is_ready(self) -> bool:
            return self.ready

    async def main() -> None:
        woken: list[str] = []
        with readiness.watching(lambda: woken.append("first")):
            await readiness.ask()
            assert woken == []
            policy.ready = True
            await readiness.ask()
            await readiness.ask()
            assert woken == ["first"]
            policy.ready = False
            readiness.refresh()  # by somebody who did not stay to tell
            with readiness.watching(lambda: woken.append("second")):
                assert woken == ["first", "first"]
                policy.ready = True
                await readiness.ask()
                assert woken == ["first", "first", "first", "second"]

    policy, scheduler = Policy(), Scheduler()
    readiness = Readiness(policy, scheduler, Progress(Stage.SERVING))
    asyncio.run(main())
    scheduler.close()
