# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Whatever happens to those who share a client, each call gets its own action or its own error.

Hypothesis draws programs of calls from 16 threads, of timeouts, cancellations, Ctrl-C,
forks, copies and a server that stops. What comes back depends on the machine's mood;
what may come back does not.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import itertools
import os
import pickle
import queue
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from paced_server import INFO, PacedServer, checksum
from profiles import examples

from praxis_remote import AsyncPolicyClient, PolicyClient, RemoteError

THREADS = 16
WAIT = 60.0

SIZES = {"small": (4, 2), "large up": (3_000_000, 2), "large down": (4, 200_000)}
GIVEN_UP = ("CancelledError", "DeadlineExceededError", "KeyboardInterrupt")

totals: Counter[str] = Counter()
"""Calls by how they ended, for who runs this for long."""

# ---------------------------------------------------------------- programs

Step = tuple[Any, ...]
calls = st.tuples(
    st.sampled_from([*SIZES, "reset", "health"]),
    st.booleans(),
    st.sampled_from([None, None, None, 0.0005, 0.002, 0.01, 0.05]),
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("call"), calls),
    st.tuples(st.just("call"), calls),
    st.tuples(st.just("call async"), calls),
    st.tuples(st.just("burst"), st.integers(2, THREADS), calls),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("let end"), st.integers(1, 4)),
    st.tuples(st.just("settle")),
    st.tuples(st.just("interrupt a call"), calls, st.booleans()),
    st.tuples(st.just("interrupt nothing")),
    st.tuples(st.just("fork"), st.booleans()),
    st.tuples(st.just("copy"), st.booleans()),
    st.tuples(st.just("stop")),
    st.tuples(st.just("start")),
)
programs = st.lists(steps, min_size=5, max_size=30)


class Call:
    """One call: what it asks, what became of it, and what may become of it."""

    def __init__(self, token: int, kind: str, gated: bool, timeout: float | None) -> None:
        self.token, self.kind, self.timeout = token, kind, timeout
        self.may_be = {"own"} if timeout is None else {"own", "DeadlineExceededError"}
        self.outcome: Future[str] = Future()
        self.details = ""
        self.client: object = None
        self.stops = 0
        up, down = SIZES.get(kind, (0, 0))
        self.payload = np.full(up, token % 251, np.uint8)
        self.kwargs = {"token": token, "gated": gated, "answer": down}

    def make(self, client: Any) -> Any:
        """Makes it; a coroutine, if the client is an async one."""
        if self.kind == "reset":
            return client.reset(episode_ids=[str(self.token)], timeout=self.timeout)
        if self.kind == "health":
            return client.health_check(timeout=self.timeout)
        return client.predict_action(
            [{"payload": self.payload}], policy_kwargs=self.kwargs, timeout=self.timeout
        )

    def judge(self, answer: Any) -> str:
        """Tells whose answer it is."""
        if self.kind == "reset":
            return "own" if answer is True else f"another's: {answer!r}"
        if self.kind == "health":
            # The server was asked to stop after it had taken the question.
            if answer[0] is False and answer[1].startswith("draining: "):
                return "draining"
            return "own" if answer == (True, INFO) else f"another's: {answer!r}"
        expected = np.full((1, self.kwargs["answer"]), self.token, np.float64)
        expected[0, 1] = checksum(self.payload)
        return "own" if np.array_equal(answer, expected) else f"another's: {answer!r}"


class World:
    """A server, those who call it, and what has happened to them."""

    def __init__(self, server: PacedServer) -> None:
        self.server = server
        self.port: int = server.ask("start", 0)
        self.up = True
        self.stops = 0
        self.tokens = itertools.count(1)
        self.calls: list[Call] = []
        self.tasks: list[tuple[Call, asyncio.Task[None]]] = []
        self.children: list[int] = []
        self.forbidden: set[int] = set()
        self.closed: set[int] = set()
        self.clients = [PolicyClient("127.0.0.1", self.port)]
        self.async_client = AsyncPolicyClient("127.0.0.1", self.port)
        self.loop = asyncio.new_event_loop()
        self.looping = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.looping.start()
        self.work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # Daemons: one that hangs shall fail the test, and not hang it.
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]
        for thread in self.threads:
            thread.start()

    @property
    def client(self) -> PolicyClient:
        return self.clients[-1]

    def play(self, step: Step) -> None:
        kind, *rest = step
        getattr(self, kind.replace(" ", "_"))(*rest)

    # ------------------------------------------------------------ calls

    def new(self, client: object, drawn: tuple[str, bool, float | None]) -> Call:
        call = Call(next(self.tokens), *drawn)
        call.client, call.stops = client, self.stops
        self.calls.append(call)
        if not self.up:
            call.may_be.add("UnavailableError")
        return call

    def call(self, drawn: tuple[str, bool, float | None]) -> None:
        call = self.new(self.client, drawn)
        client = self.client
        self.work.put(lambda: self._blocking(client, call))

    def burst(self, count: int, drawn: tuple[str, bool, float | None]) -> None:
        for _ in range(count):
            self.call(drawn)

    def _work(self) -> None:
        while (work := self.work.get()) is not None:
            work()

    def _blocking(self, client: PolicyClient, call: Call) -> None:
        try:
            outcome = call.judge(call.make(client))
        except RemoteError as error:
            outcome, call.details = type(error).__name__, error.details()
        except BaseException as error:
            outcome = repr(error)
        call.outcome.set_result(outcome)

    def call_async(self, drawn: tuple[str, bool, float | None]) -> None:
        call = self.new(self.async_client, drawn)

        async def work() -> None:
            try:
                outcome = call.judge(await call.make(self.async_client))
            except RemoteError as error:
                outcome, call.details = type(error).__name__, error.details()
            except asyncio.CancelledError:
                outcome = "CancelledError"
            except BaseException as error:
                outcome = repr(error)
            call.outcome.set_result(outcome)

        async def start() -> asyncio.Task[None]:
            task = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            return task

        self.tasks.append((call, self._in_loop(start)))

    def _in_loop(self, function: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(function(), self.loop).result(WAIT)

    def cancel(self, which: int) -> None:
        if self.tasks:
            call, task = self.tasks[which % len(self.tasks)]
            call.may_be.add("CancelledError")
            self.loop.call_soon_threadsafe(task.cancel)

    # ------------------------------------------------------------ Ctrl-C

    def interrupt_a_call(self, drawn: tuple[str, bool, float | None], later: bool) -> None:
        call, outcome = self.new(self.client, drawn), ""
        call.may_be.add("KeyboardInterrupt")
        entered = threading.Event()

        def interrupt() -> None:
            entered.wait(WAIT)
            if later:
                self.server.ask("ran")
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            entered.set()
            try:
                outcome = call.judge(call.make(self.client))
            except RemoteError as error:
                outcome, call.details = type(error).__name__, error.details()
            threading.Event().wait(WAIT)
        except KeyboardInterrupt:
            outcome = outcome or "KeyboardInterrupt"
        else:
            outcome = "Ctrl-C was lost"
        thread.join()
        call.outcome.set_result(outcome)

    def interrupt_nothing(self) -> None:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(WAIT)
            raise AssertionError("Ctrl-C was lost")

    # ------------------------------------------------------------ processes and copies

    def fork(self, in_a_thread: bool) -> None:
        call = self.new(self.client, ("small", False, None))
        if in_a_thread:
            with ThreadPoolExecutor(1) as pool:
                pid = pool.submit(self._fork, call).result(WAIT)
        else:
            pid = self._fork(call)
        self.children.append(pid)
        self.calls.remove(call)

    def _fork(self, call: Call) -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                faulthandler.dump_traceback_later(WAIT / 2, exit=True)
                code = 0 if call.judge(call.make(self.client)) == "own" else 2
            except RemoteError:
                code = 3
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        return pid

    def copy(self, close: bool) -> None:
        """A copy takes the place of the client that all share, which may be closed."""
        client = self.client
        self.clients.append(pickle.loads(pickle.dumps(client)))
        if close:
            for call in self.calls:
                if call.client is client:
                    call.may_be.add("CallCancelledError")
            self.closed.add(id(client))
            client.close()

    # ------------------------------------------------------------ the server

    def let_end(self, times: int) -> None:
        if self.up:
            self.server.ask("let_end", times)

    def stop(self) -> None:
        for call in self.calls:
            if not call.outcome.done():
                call.may_be.add("UnavailableError")
        self.stops += 1
        self.up = False
        self.server.ask("stop")

    def start(self) -> None:
        if not self.up:
            self.server.ask("start", self.port)
            self.up = True

    def settle(self) -> None:
        """What was given up by now, and has not begun, never will."""
        if not self.up:
            return
        given_up = [
            call
            for call in self.calls
            if call.outcome.done()
            and call.outcome.result() in GIVEN_UP
            and call.stops == self.stops
            and id(call.client) not in self.closed
        ]
        # On the same connection, and so after the news that they were given up.
        for client in self.clients:
            if id(client) not in self.closed:
                assert client.health_check(timeout=WAIT) == (True, INFO)
        self._in_loop(lambda: self.async_client.health_check(timeout=WAIT))
        ran = self.ran()
        self.forbidden |= {call.token for call in given_up} - set(ran)

    def ran(self) -> dict[int, int]:
        answer = self.server.ask("ran")
        assert answer["overlaps"] == []
        return {int(token): count for token, count in answer["ran"].items()}

    # ------------------------------------------------------------ the end

    def end(self) -> None:
        if self.up:
            self.server.ask("set_free")
        for call in self.calls:
            outcome = call.outcome.result(WAIT)
            totals[outcome] += 1
            if "UnavailableError" in call.may_be:
                call.may_be.add("draining")
            if call.stops and call.timeout and "the next attempt is made in" in call.details:
                # After an attempt that met the stopped server there is a pause, and this
                # call has not the time.
                call.may_be.add("UnavailableError")
            assert outcome in call.may_be, (
                call.token,
                call.kind,
                outcome,
                call.details,
                call.may_be,
            )
        for child in self.children:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            totals[f"child: {code}"] += 1
            assert code == 0 or (code == 3 and self.stops)
        ran = self.ran()
        assert set(ran.values()) <= {1}
        assert self.forbidden.isdisjoint(ran)
        for call in self.calls:
            if call.kind != "health" and call.outcome.result() == "own":
                assert call.token in ran

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self._in_loop(self.async_client.close)
        self._in_loop(self._check_tasks)
        for _ in self.threads:
            self.work.put(None)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.looping.join(WAIT)
        self.loop.close()
        self.server.ask("stop")

    async def _check_tasks(self) -> None:
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


def files() -> int:
    folder = Path("/dev/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def until(condition: Callable[[], object]) -> None:
    """Waits for what nothing tells."""
    never = threading.Event()
    for _ in range(100_000):
        if condition():
            return
        never.wait(1e-4)
    raise AssertionError("it never came to be")


@pytest.fixture(scope="module")
def server() -> Iterator[PacedServer]:
    server = PacedServer()
    yield server
    server.close()
    print(dict(totals))  # shown by make stateful


@contextmanager
def watched(server: PacedServer) -> Iterator[None]:
    """Tells where everybody is, here and there, when somebody hangs."""
    try:
        yield
    except BaseException:
        faulthandler.dump_traceback(all_threads=True)
        server.ask("dump")
        raise


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
# Not shrunk: another run of the same program may well end otherwise.
@settings(max_examples=examples(18), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(program=programs)
def test_each_call_gets_its_own_action_or_its_own_error(
    server: PacedServer, program: list[Step]
) -> None:
    threads, open_files, left = threading.active_count(), files(), server.ask("left")
    with watched(server):
        world = World(server)
        for step in program:
            world.play(step)
        world.end()
        world.close()
        until(lambda: threading.active_count() <= threads)
        if files() > open_files:
            gc.collect()  # the traceback of a call that was given up may keep its portal's
        assert files() <= open_files
        until(lambda: np.all(np.array(server.ask("left")) <= left))
    totals["programs"] += 1
    event("stops" if world.stops else "no stop")
