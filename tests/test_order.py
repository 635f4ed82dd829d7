# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""That a client sends the calls of an episode one after the other, whatever their size.

The peer takes little of a message until the first health check comes: all that was begun
before that and may leave has then arrived.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from h2.settings import SettingCodes, Settings
from http2_peers import Peer, RawServer, framed

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer
from praxis_remote.calls import HEALTH_CHECK, PREDICT, RESET
from praxis_remote.errors import CallCancelledError, DeadlineExceededError, RemoteError
from praxis_remote.schema import (
    HealthResponse,
    Observation,
    PredictRequest,
    PredictResponse,
    ResetRequest,
    ResetResponse,
    StringField,
)
from praxis_remote.serialization import encode_numpy_array
from praxis_remote.shared_memory import AVAILABLE
from praxis_remote.testing import RecordingHandler

WAIT = 30.0
WINDOW = 1000
LARGE = "L" * (20 * WINDOW)
HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
REPLIES = {
    PREDICT.path: bytes(PredictResponse(action=encode_numpy_array(np.zeros((1, 1))))),
    RESET.path: bytes(ResetResponse(success=True)),
    HEALTH_CHECK.path: bytes(HealthResponse(ready=True)),
}


class SlowPeer:
    """Answers whatever arrives whole.

    Args:
        open_up: What is done when the first health check comes.

    Attributes:
        arrived: The names of calls in the order in which they have arrived whole.
        before: Those that had when the first health check came.
    """

    def __init__(self, open_up: Callable[[Peer], None] | None = None) -> None:
        self.arrived: list[str] = []
        self.before: list[str] | None = None
        self._open_up = open_up or widen
        self._paths: dict[int, str] = {}
        self._messages: defaultdict[int, bytearray] = defaultdict(bytearray)

    def __call__(self, peer: Peer) -> None:
        peer.h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: WINDOW}
        )
        peer.start()
        while data := peer.sock.recv(65536):
            for event in peer.h2.receive_data(data):
                self._take(peer, event)
            peer.flush()

    def _take(self, peer: Peer, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._paths[event.stream_id] = path_of(event)
        elif isinstance(event, DataReceived):
            self._messages[event.stream_id] += event.data
        elif isinstance(event, StreamEnded):
            self._answer(peer, event.stream_id)

    def _answer(self, peer: Peer, stream_id: int) -> None:
        path = self._paths[stream_id]
        if path != HEALTH_CHECK.path:
            self.arrived.append(name_of(path, bytes(self._messages[stream_id][5:])))
        elif self.before is None:
            self.before = list(self.arrived)
            self._open_up(peer)
        peer.h2.send_headers(stream_id, HEADERS)
        peer.h2.send_data(stream_id, framed(REPLIES[path]))
        peer.h2.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)


def path_of(event: RequestReceived) -> str:
    headers: Any = event.headers
    return str(dict(headers)[":path"])


def name_of(path: str, message: bytes) -> str:
    if path == RESET.path:
        return "reset"
    (observation,) = PredictRequest().parse(message).observations[:1]
    return observation.strings[0].key


def widen(peer: Peer) -> None:
    peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**20})


def refuse(peer: Peer) -> None:
    """Ends the first call, of which only a part has come."""
    peer.h2.reset_stream(1, ErrorCodes.INTERNAL_ERROR)


class Ids(list[str]):
    """Tells when a call looks at them, which sends without a pause what it may."""

    def __init__(self, ids: str) -> None:
        super().__init__(ids)
        self.seen = threading.Event()

    def __iter__(self) -> Iterator[str]:
        self.seen.set()
        return super().__iter__()


class Caller:
    """Begins calls one after the other, and does not wait for their answers."""

    def predict(self, name: str, ids: str, *, text: str = "", **options: Any) -> Future[Any]:
        """Begins one with an episode, or none, for each letter."""
        rows = [{name: text}] * max(1, len(ids))
        return self._begun("predict_action", ids, rows, **options)

    def reset(self, ids: str = "") -> Future[Any]:
        return self._begun("reset", ids)

    def _begun(self, method: str, ids: str, *args: Any, **options: Any) -> Future[Any]:
        episode_ids = Ids(ids)
        given = episode_ids if ids or method == "reset" else None
        future = self.begin(method, *args, episode_ids=given, **options)
        assert given is None or episode_ids.seen.wait(WAIT)
        return future

    def ask(self) -> None:
        """Does the health check, after all that has begun."""
        assert self.begin("health_check").result(WAIT)

    def begin(self, method: str, *args: Any, **options: Any) -> Future[Any]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Threads(Caller):
    """Threads that share a client."""

    def __init__(self, host: str, port: int) -> None:
        self._client = PolicyClient(host, port, timeout=WAIT)
        self._pool = ThreadPoolExecutor(16)

    def begin(self, method: str, *args: Any, **options: Any) -> Future[Any]:
        return self._pool.submit(getattr(self._client, method), *args, **options)

    def close(self) -> None:
        self._client.close()
        self._pool.shutdown()


class Tasks(Caller):
    """Tasks of one event loop."""

    def __init__(self, host: str, port: int) -> None:
        self.client = AsyncPolicyClient(host, port, timeout=WAIT)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def begin(self, method: str, *args: Any, **options: Any) -> Future[Any]:
        call = getattr(self.client, method)(*args, **options)
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def run(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        self.run(self.client.close()).result(WAIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


CALLERS = pytest.mark.parametrize("make", [Threads, Tasks])
Make = Callable[[str, int], Caller]


def done(*futures: Future[Any]) -> None:
    for future in futures:
        future.result(WAIT)


@CALLERS
@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("ab", "bc"), ("aa", "a")])
def test_a_small_call_does_not_overtake_a_large_one_of_its_episode(
    make: Make, first: str, second: str
) -> None:
    peer = SlowPeer()
    with RawServer(peer, quiet=True) as server:
        caller = make("127.0.0.1", server.port)
        calls = [caller.predict("large", first, text=LARGE), caller.predict("small", second)]
        caller.ask()
        done(*calls)
        caller.close()
    assert (peer.before, peer.arrived) == ([], ["large", "small"])


@CALLERS
def test_those_that_wait_leave_in_the_order_in_which_they_came(make: Make) -> None:
    peer = SlowPeer()
    with RawServer(peer, quiet=True) as server:
        caller = make("127.0.0.1", server.port)
        calls = [caller.predict("large", "a", text=LARGE)]
        calls += [caller.predict("0", "a"), caller.predict("1", "ab", text=LARGE)]
        calls += [caller.predict("2", "b"), caller.reset("b"), caller.predict("3", "b")]
        caller.ask()
        done(*calls)
        caller.close()
    assert (peer.before, peer.arrived) == ([], ["large", "0", "1", "2", "reset", "3"])


@CALLERS
@pytest.mark.parametrize("ids", ["a", ""])
def test_a_reset_of_everything_waits_for_all_and_those_that_come_later_for_it(
    make: Make, ids: str
) -> None:
    peer = SlowPeer()
    with RawServer(peer, quiet=True) as server:
        caller = make("127.0.0.1", server.port)
        large = caller.predict("large", ids, text=LARGE)
        if not ids:
            # Nothing tells when a call without ids has begun, but that it holds up nobody.
            done(caller.predict("small", "a"))
        reset = caller.reset()
        later = caller.predict("later", "b")
        caller.ask()
        done(large, reset, later)
        caller.close()
    small = [] if ids else ["small"]
    assert (peer.before, peer.arrived) == (small, [*small, "large", "reset", "later"])


@CALLERS
@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("a", ""), ("", "a"), ("", "")])
def test_calls_of_other_episodes_and_of_none_do_not_wait(
    make: Make, first: str, second: str
) -> None:
    peer = SlowPeer()
    with RawServer(peer, quiet=True) as server:
        caller = make("127.0.0.1", server.port)
        large = caller.predict("large", first, text=LARGE)
        done(caller.predict("small", second))
        caller.ask()
        done(large)
        caller.close()
    assert peer.arrived == ["small", "large"]


@CALLERS
def test_a_call_whose_timeout_passes_while_it_waits_never_ran_and_lets_nobody_pass(
    make: Make,
) -> None:
    peer = SlowPeer()
    with RawServer(peer, quiet=True) as server:
        caller = make("127.0.0.1", server.port)
        large = caller.predict("large", "a", text=LARGE)
        late = caller.predict("late", "ab", timeout=0.05)
        other, same = caller.predict("other", "b"), caller.predict("same", "a")
        with pytest.raises(DeadlineExceededError, match="an earlier one of its episodes") as caught:
            late.result(WAIT)
        assert caught.value.never_ran
        assert caught.value.address == f"127.0.0.1:{server.port}"
        done(other)
        caller.ask()
        done(large, same)
        caller.close()
    assert (peer.before, peer.arrived) == (["other"], ["other", "large", "same"])


def test_a_call_that_is_cancelled_while_it_waits_does_not_hold_up_those_behind_it() -> None:
    peer = SlowPeer()
    with RawServer(peer, quiet=True) as server:
        caller = Tasks("127.0.0.1", server.port)
        large = caller.predict("large", "a", text=LARGE)
        cancelled, last = caller.predict("cancelled", "a"), caller.predict("last", "a")
        assert cancelled.cancel()
        caller.ask()
        done(large, last)
        caller.close()
    assert (peer.before, peer.arrived) == ([], ["large", "last"])


@CALLERS
def test_a_call_that_fails_while_it_is_sent_lets_the_next_one_go(make: Make) -> None:
    peer = SlowPeer(refuse)
    with RawServer(peer, quiet=True) as server:
        caller = make("127.0.0.1", server.port)
        large = caller.predict("large", "a", text=LARGE)
        small = caller.predict("small", "a")
        caller.ask()
        done(small)
        with pytest.raises(RemoteError, match="INTERNAL_ERROR"):
            large.result(WAIT)
        caller.close()
    assert (peer.before, peer.arrived) == ([], ["small"])


def test_closing_ends_the_calls_that_wait() -> None:
    peer = SlowPeer()
    with RawServer(peer, quiet=True) as server:
        caller = Tasks("127.0.0.1", server.port)
        calls = [caller.predict("large", "a", text=LARGE), caller.predict("small", "a")]
        done(caller.begin("close"))
        for call in calls:
            with pytest.raises(CallCancelledError, match="the client was closed"):
                call.result(WAIT)
        caller.close()
    assert peer.arrived == []


def test_calls_of_the_stub_keep_the_order_as_well() -> None:
    peer = SlowPeer()
    with RawServer(peer, quiet=True) as server:
        caller = Tasks("127.0.0.1", server.port)
        large = caller.predict("large", "a", text=LARGE)
        row = Observation(strings=[StringField(key="small", value="")])
        request = PredictRequest(observations=[row], episode_ids=["a"])
        calls = [large, caller.run(caller.client.stub.predict(request))]
        calls.append(caller.run(caller.client.stub.reset(ResetRequest())))
        caller.ask()
        done(*calls)
        caller.close()
    assert (peer.before, peer.arrived) == ([], ["large", "small", "reset"])


def test_what_a_loop_that_is_gone_has_left_holds_up_nobody() -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, port=0) as server:
        client = AsyncPolicyClient("127.0.0.1", server.port, timeout=WAIT)

        async def call(name: str) -> None:
            await client.predict_action([{name: ""}], episode_ids=["a"])

        loop = asyncio.new_event_loop()
        left = {loop.create_task(call("left")) for _ in range(2)}
        loop.run_until_complete(asyncio.sleep(0))

        async def go_on() -> None:
            await asyncio.gather(call("next"), call("last"))
            await client.close()

        asyncio.run(go_on())
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left))
        loop.close()
    assert [next(iter(each.observations[0])) for each in handler.predictions] == ["next", "last"]


@pytest.mark.skipif(not AVAILABLE, reason="this system has no memfd")
@CALLERS
def test_a_message_that_is_copied_to_shared_memory_is_not_overtaken(
    make: Make, socket_folder: Path
) -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, host=f"unix:{socket_folder}/policy.sock", port=0) as server:
        caller = make(server.host, server.port)
        image = np.zeros(24 * 2**20, np.uint8)
        # The first one asks whether the server can.
        done(caller.begin("predict_action", [{"image": image}], episode_ids=["a"]))
        ids = Ids("a")
        large = caller.begin("predict_action", [{"image": image}], episode_ids=ids)
        assert ids.seen.wait(WAIT)
        done(caller.predict("small", "a"), large)
        caller.close()
    keys = [next(iter(each.observations[0])) for each in handler.predictions]
    assert keys == ["image", "image", "small"]
