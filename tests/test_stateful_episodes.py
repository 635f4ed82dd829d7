# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Each action is that of its own episode, whoever calls, disconnects, resets or waits too long.

Hypothesis draws programs of clients, over real sockets, for a real server with the example
policy and a clock that the test turns. What must come back is worked out from all that each
episode has seen, in plain Python; what the policy remembers must be what is not over.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from profiles import examples
from typing_extensions import override

from examples.stateful.policy import TrackingPolicy
from praxis_remote import AsyncPolicyClient, Observation, PolicyClient, PolicyServer
from praxis_remote.context import current_requests
from praxis_remote.errors import InvalidArgumentError
from praxis_remote.eviction import RECONNECT_SECONDS, Eviction

WAIT = 30.0
TTL = 60.0
HISTORY, CHUNK = 3, 4
NAMES = [f"episode {number}" for number in range(6)]

Point = tuple[float, float]


# ---------------------------------------------------------------- what must hold


@dataclass
class Expected:
    """An episode, as all that it has seen."""

    owner: str
    seen: list[Point] = field(default_factory=list)
    used: float = 0.0

    def step(self, point: Point) -> Point:
        """Returns where the line through the last points is at this step."""
        self.seen.append(point)
        ahead = (len(self.seen) - 1) % CHUNK
        begin = len(self.seen) - 1 - ahead
        past = [self.seen[max(0, begin - back)] for back in range(HISTORY)]
        x, y = (_line([p[axis] for p in past], ahead + 1) for axis in range(2))
        return x, y


def _line(latest_first: Sequence[float], ahead: int) -> float:
    """Returns the value so many steps ahead of three, on the line of least squares."""
    newest, middle, oldest = latest_first
    slope = (newest - oldest) / 2
    return (newest + middle + oldest) / 3 + slope * (1 + ahead)


class Model:
    """The episodes that are not over."""

    def __init__(self) -> None:
        self.now = 0.0
        self.episodes: dict[str, Expected] = {}
        self.gone: dict[str, float] = {}

    def call(self, session: str, names: Sequence[str], points: Sequence[Point]) -> list[Point]:
        actions = []
        for name, point in zip(names, points, strict=True):
            episode = self.episodes.setdefault(name, Expected(session))
            episode.owner, episode.used = session, self.now
            actions.append(episode.step(point))
        self.gone.pop(session, None)
        return actions

    def disconnect(self, session: str) -> None:
        self.gone.setdefault(session, self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for name, episode in list(self.episodes.items()):
            gone = self.gone.get(episode.owner)
            left = gone is not None and gone + RECONNECT_SECONDS <= self.now
            if left or episode.used + TTL <= self.now:
                del self.episodes[name]


# ---------------------------------------------------------------- what is there


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Served(TrackingPolicy):
    """The example, and where its calls came from."""

    def __init__(self) -> None:
        super().__init__(history=HISTORY, chunk=CHUNK)
        self.peers: dict[str, str] = {}
        # How many requests each call was for.
        self.joined: list[int] = []

    def predict_action(
        self, observations: Sequence[Observation], **options: Any
    ) -> npt.NDArray[np.float32]:
        requests = current_requests()
        for request in requests:
            self.peers[str(dict(request.metadata)["praxis-session-id"])] = request.peer
        self.joined.append(len(requests))
        return super().predict_action(observations, **options)

    def remembered(self) -> set[str]:
        return set(self._episodes)


class Client:
    """A client of either kind; each method returns when it is done."""

    def __init__(self, port: int, *, is_async: bool) -> None:
        self._loop = asyncio.new_event_loop() if is_async else None
        kind = AsyncPolicyClient if is_async else PolicyClient
        self.client: Any = kind("127.0.0.1", port, timeout=WAIT)
        self.session: str = self.client.session_id
        self.connected = False

    def run(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        result = function(*args, **options)
        return result if self._loop is None else self._loop.run_until_complete(result)

    def connect(self) -> None:
        """Has a connection that works, so that no call finds out that it does not."""
        if not self.connected:
            self.run(self.client.wait_ready, timeout=WAIT)
            self.connected = True

    def predict(self, names: Sequence[str], points: Sequence[Point]) -> Any:
        self.connect()
        batch = _observe(points)
        return self.run(self.client.predict_action, batch, episode_ids=list(names))

    def predict_each(self, names: Sequence[str], steps: Sequence[Sequence[Point]]) -> list[Any]:
        return [self.predict(names, step) for step in steps]

    def pipeline(self, name: str, points: Sequence[Point]) -> list[Any]:
        """Calls with one after the other, and waits for no answer in between."""
        self.connect()
        if self._loop is None:
            return [self.predict([name], [point]) for point in points]

        async def calls() -> list[Any]:
            predict = self.client.predict_action
            return list(
                await asyncio.gather(
                    *(predict(_observe([point]), episode_ids=[name]) for point in points)
                )
            )

        return self._loop.run_until_complete(calls())

    def reset(self, names: Sequence[str] | None) -> None:
        self.connect()
        assert self.run(self.client.reset, episode_ids=names)

    def close(self) -> None:
        self.run(self.client.close) if self._loop is not None else self.client.close()
        if self._loop is not None:
            self._loop.close()


def _observe(points: Sequence[Point]) -> list[Observation]:
    return [{"observation.state": np.array(point, np.float32)} for point in points]


points = st.tuples(*[st.integers(-50, 50).map(float)] * 2)
names = st.sampled_from(NAMES)
which = st.integers(0, 9)


class Machine(RuleBasedStateMachine):
    """Clients of a server whose policy remembers episodes, and what it must remember."""

    server_options: dict[str, Any] = {}  # noqa: RUF012 - a subclass has its own

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.model = Model()
        self.policy = Served()
        self.patch = pytest.MonkeyPatch()
        self.closed = threading.Semaphore(0)
        self.came = threading.Semaphore(0)
        self.clients: list[Client] = []
        self.server = PolicyServer(
            self.policy,
            port=0,
            episode_ttl=TTL,
            end_episodes_on_disconnect=True,
            **self.server_options,
        )
        assert self.server._eviction is not None
        self.eviction: Eviction = self.server._eviction
        self.eviction._clock = self.clock
        self.tell_of(self.server._listener, "_closed", self.closed)
        self.tell_of(self.eviction, "_begin", self.came)
        self.server.serve(block=False)
        self.pool = ThreadPoolExecutor(4)

    def tell_of(self, owner: Any, name: str, happened: threading.Semaphore) -> None:
        """Lets the test wait until something of the server's has happened."""
        function = getattr(owner, name)

        def told(*args: Any) -> None:
            function(*args)
            happened.release()

        self.patch.setattr(owner, name, told)

    def client(self, number: int) -> Client:
        return self.clients[number % len(self.clients)]

    def check(self, got: Any, expected: Any) -> None:
        np.testing.assert_allclose(got, np.array(expected), atol=1e-3)

    def in_loop(self, function: Callable[[], object]) -> None:
        async def call() -> None:
            function()

        loop = self.server._loop
        assert loop is not None
        asyncio.run_coroutine_threadsafe(call(), loop).result(WAIT)

    def in_policy(self, function: Callable[[], Any]) -> Any:
        return self.server._scheduler.call(function)

    @contextmanager
    def policy_busy(self) -> Iterator[Callable[[], None]]:
        """Has the policy's thread at work, and gives what waits until one more call has come."""
        working, may_end = threading.Event(), threading.Event()

        def work() -> None:
            working.set()
            assert may_end.wait(WAIT)

        def call_came() -> None:
            assert self.came.acquire(timeout=WAIT)

        self.server._scheduler.post(work)
        assert working.wait(WAIT)
        while self.came.acquire(blocking=False):
            pass  # of calls that are over
        try:
            yield call_came
        finally:
            may_end.set()

    # ------------------------------------------------------------ clients

    @initialize(is_async=st.booleans())
    def begin(self, is_async: bool) -> None:
        self.come(is_async)

    @precondition(lambda self: len(self.clients) < 4)
    @rule(is_async=st.booleans())
    def come(self, is_async: bool) -> None:
        self.clients.append(Client(self.server.port, is_async=is_async))

    @rule(who=which, reset_after=st.booleans())
    def lose_the_connection(self, who: int, reset_after: bool) -> None:
        """It breaks; the client goes on on another one."""
        client = self.client(who)
        peer = self.policy.peers.pop(client.session, None)
        connections = [c for c in self.server._listener.connections if c.peer == peer]
        if not connections:
            return
        (connection,) = connections
        if reset_after:
            self.in_loop(lambda: connection.protocol.connection.transport.abort())
        else:
            self.in_loop(lambda: connection.protocol.close("the test says so"))
        self.wait_closed(client)

    @precondition(lambda self: len(self.clients) > 1)
    @rule(who=which)
    def leave(self, who: int) -> None:
        client = self.client(who)
        self.clients.remove(client)
        connected = client.connected
        client.close()
        if connected:
            self.wait_closed(client)

    def wait_closed(self, client: Client) -> None:
        assert self.closed.acquire(timeout=WAIT)
        client.connected = False
        self.model.disconnect(client.session)

    # ------------------------------------------------------------ calls

    @rule(who=which, name=names, point=points)
    def step(self, who: int, name: str, point: Point) -> None:
        client = self.client(who)
        got = client.predict([name], [point])
        self.check(got, self.model.call(client.session, [name], [point]))

    @rule(who=which, batch=st.dictionaries(names, points, min_size=1))
    def step_several(self, who: int, batch: dict[str, Point]) -> None:
        client = self.client(who)
        got = client.predict(list(batch), list(batch.values()))
        self.check(got, self.model.call(client.session, list(batch), list(batch.values())))

    @rule(who=which, name=names, several=st.lists(points, min_size=2, max_size=6))
    def step_without_waiting(self, who: int, name: str, several: list[Point]) -> None:
        client = self.client(who)
        got = client.pipeline(name, several)
        for action, point in zip(got, several, strict=True):
            self.check(action, self.model.call(client.session, [name], [point]))

    @rule(owners=st.lists(which, min_size=len(NAMES), max_size=len(NAMES)), data=st.data())
    def step_at_the_same_time(self, owners: list[int], data: st.DataObject) -> None:
        """Each client has some of the episodes, and calls several times with them."""
        shares: dict[Client, list[str]] = {}
        for name, number in zip(NAMES, owners, strict=True):
            shares.setdefault(self.client(number), []).append(name)
        steps = {
            client: data.draw(st.lists(st.tuples(*[points] * len(share)), min_size=1, max_size=4))
            for client, share in shares.items()
        }
        for client in shares:
            client.connect()
        self.policy.joined.clear()
        with self.policy_busy() as call_came:
            futures = {
                client: self.pool.submit(client.predict_each, share, steps[client])
                for client, share in shares.items()
            }
            for _ in futures:
                call_came()
        for client, future in futures.items():
            for got, step in zip(future.result(WAIT), steps[client], strict=True):
                self.check(got, self.model.call(client.session, shares[client], step))
        self.check_joined(len(shares))

    def check_joined(self, callers: int) -> None:
        """Looks how many of the calls that came together were run together."""
        assert set(self.policy.joined) == {1}

    @rule(who=which, name=names, point=points)
    def step_wrongly(self, who: int, name: str, point: Point) -> None:
        """Nothing is remembered of it, but that the episode is there."""
        client = self.client(who)
        with pytest.raises(InvalidArgumentError):
            client.predict([name, name], [point, point])
        if name in self.model.episodes:
            episode = self.model.episodes[name]
            episode.owner, episode.used = client.session, self.model.now
        # As every call of its session does.
        self.model.gone.pop(client.session, None)

    @rule(who=which, some=st.none() | st.lists(names, min_size=1, max_size=3))
    def reset(self, who: int, some: list[str] | None) -> None:
        client = self.client(who)
        client.reset(some)
        for name in NAMES if some is None else some:
            self.model.episodes.pop(name, None)
        self.model.gone.pop(client.session, None)

    # ------------------------------------------------------------ time

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        self.model.advance(seconds)
        self.in_loop(self.eviction.look)

    @rule(seconds=st.sampled_from([1.0, RECONNECT_SECONDS, TTL / 2, TTL]))
    def time_passes(self, seconds: float) -> None:
        self.advance(seconds)

    @rule(who=which, name=names, point=points)
    def step_while_the_end_waits(self, who: int, name: str, point: Point) -> None:
        """What is over, but not ended yet, goes on; the rest ends."""
        client = self.client(who)
        client.connect()
        with self.policy_busy() as call_came:
            kept = self.model.episodes.get(name)
            self.advance(TTL)
            call = self.pool.submit(client.predict, [name], [point])
            call_came()
        if kept is not None:
            self.model.episodes[name] = kept
        self.check(call.result(WAIT), self.model.call(client.session, [name], [point]))

    # ------------------------------------------------------------ what must hold

    @invariant()
    def what_is_over_is_forgotten_and_nothing_else(self) -> None:
        remembered = self.in_policy(self.policy.remembered)
        assert remembered == set(self.model.episodes)

    def teardown(self) -> None:
        for client in self.clients:
            client.close()
        self.server.stop()
        self.pool.shutdown()
        self.patch.undo()


# Not shrunk: each try at a program that hangs takes half a minute.
SETTINGS = settings(
    max_examples=examples(25),
    stateful_step_count=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

TestEpisodes = Machine.TestCase
TestEpisodes.settings = SETTINGS


class JoiningMachine(Machine):
    """The same, of a server that joins calls."""

    server_options = {"max_batch_size": len(NAMES), "max_batch_delay": 0.001}  # noqa: RUF012 - as above

    @override
    def check_joined(self, callers: int) -> None:
        assert self.policy.joined[0] == callers


TestJoinedEpisodes = JoiningMachine.TestCase
TestJoinedEpisodes.settings = SETTINGS
