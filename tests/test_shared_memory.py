# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import gc
import os
import queue
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import ROOT
from faces import Face
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.settings import SettingCodes
from hosts import listen
from http2_peers import Peer
from hypothesis import given, settings
from processes import Gate, Start
from shared import HEADER, MIB, SEALS, Sharing, is_shared, mapped_here, shared_here
from strategies import Request, bits, requests

from praxis_remote import AsyncPolicyClient, Limits, PolicyClient, PolicyServer
from praxis_remote.codec import encode_predict_request
from praxis_remote.errors import (
    DeadlineExceededError,
    RemoteError,
    ResourceExhaustedError,
    UnavailableError,
)
from praxis_remote.shared_memory import AVAILABLE, borrower, lender
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler, connected

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this system has no memfd")

WAIT = 30.0
SIZE = 2 * MIB
NOBODY = 65534


def image(number: int, size: int = SIZE) -> np.ndarray[Any, Any]:
    """Returns an image that differs from all others."""
    return np.random.default_rng(number).integers(0, 256, size, np.uint8)


def observed(prediction: Prediction) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.asarray(prediction.observations[0]["image"])
    return array


class Seeing(RecordingHandler):
    """Notes of each image whether it was in shared memory, and keeps none."""

    def __init__(self, answer: Callable[[Prediction], Any] | None = None) -> None:
        super().__init__(answer)
        self.shared: list[bool] = []

    def predict_action(self, observations: Any, **kwargs: Any) -> Any:
        self.shared.append(is_shared(observations[0]["image"]))
        try:
            return super().predict_action(observations, **kwargs)
        finally:
            self.predictions.clear()


def held_at_rest(server: PolicyServer, client: PolicyClient) -> int:
    """Returns what a server holds when the last call of a client has ended."""
    client.health_check()
    client.health_check()
    return server.status().held_bytes


@pytest.fixture
def path(socket_folder: Path) -> Path:
    return socket_folder / "policy.sock"


@pytest.fixture
def unix(path: Path) -> str:
    return f"unix:{path}"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Whatever a test does, no memory outlives it."""
    yield
    assert shared_here() == (0, 0)
    assert not [file for file in Path("/dev/shm").iterdir() if "praxis" in file.name]


# ---------------------------------------------------------------- what goes through it


def test_large_messages_are_in_shared_memory_once_the_server_has_said_that_it_can(
    face: Face, unix: str
) -> None:
    handler = Seeing(lambda prediction: observed(prediction)[::-1])
    with PolicyServer(handler, host=unix) as server:
        client = face.client(server)
        seen = []
        for number in range(4):
            action = client.predict_action([{"image": image(number)}])
            np.testing.assert_array_equal(action, image(number)[::-1])
            action[:] = 0  # it is the caller's
            seen.append(is_shared(action))
        client.predict_action([{"image": image(0, 1000)}])
        del action
    assert handler.shared == [False, True, True, True, False]
    assert seen == [False, True, True, True]


@pytest.mark.parametrize("off", ["client", "server", "tcp"])
def test_nothing_is_shared_where_one_side_does_not_want_to_or_cannot(off: str, unix: str) -> None:
    handler = Seeing(observed)
    host = "127.0.0.1" if off == "tcp" else unix
    with (
        PolicyServer(handler, host=host, port=0, shared_memory=off != "server") as server,
        PolicyClient(host, server.port, timeout=WAIT, shared_memory=off != "client") as client,
    ):
        for number in range(3):
            action = client.predict_action([{"image": image(number)}])
            np.testing.assert_array_equal(action, image(number))
            assert not is_shared(action)
    assert handler.shared == [False] * 3


def test_what_is_shared_arrives_as_what_is_sent(unix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lender, "LARGE_BYTES", 1)
    monkeypatch.setattr(borrower, "LARGE_BYTES", 1)
    handler = RecordingHandler(lambda prediction: prediction.observations[0]["x"])
    odd = np.arange(20_001, dtype=np.int32).view(np.uint8)[1:].reshape(1, -1)

    with (
        PolicyServer(handler, host=unix),
        PolicyClient(unix, timeout=WAIT) as sharing,
        PolicyClient(unix, timeout=WAIT, shared_memory=False) as plain,
    ):
        sharing.predict_action([{"x": 0}])

        @settings(max_examples=40)
        @given(request=requests())
        def check(request: Request) -> None:
            batch = [{**request.observations[0], "x": odd}, *request.observations[1:]]
            found = []
            for client in (sharing, plain):
                handler.predictions.clear()
                action = client.predict_action(
                    batch, policy_kwargs=request.policy_kwargs, episode_ids=request.episode_ids
                )
                prediction = handler.predictions.pop()
                assert is_shared(np.asarray(prediction.observations[0]["x"])) == (client is sharing)
                found.append([bits(item) for item in (*prediction[:2], action)])
                found[-1].append(prediction.episode_ids)
            assert found[0] == found[1]

        check()
    handler.predictions.clear()


def test_the_async_client_shares_on_another_event_loop_too(unix: str) -> None:
    uvloop = pytest.importorskip("uvloop")
    handler = Seeing()

    async def main() -> None:
        async with AsyncPolicyClient(unix, timeout=WAIT) as client:
            for number in range(3):
                await client.predict_action([{"image": image(number)}])

    def serve_on_uvloop(server: PolicyServer) -> None:
        async def both() -> None:
            serving = asyncio.ensure_future(server.serve_async())
            await main()
            server.request_stop()
            await serving

        loop = uvloop.new_event_loop()
        loop.run_until_complete(both())
        loop.close()

    serve_on_uvloop(PolicyServer(handler, host=unix))
    assert handler.shared == [False, True, True]


# ---------------------------------------------------------------- who may use it when


def test_what_the_policy_keeps_stays_as_it_is_and_later_messages_take_the_socket(
    face: Face, unix: str
) -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, host=unix) as server:
        client = face.client(server)
        for number in range(12):
            client.predict_action([{"image": image(number)}])
        kept = [observed(prediction) for prediction in handler.predictions]
        shared = [is_shared(array) for array in kept]
        for number, array in enumerate(kept):
            np.testing.assert_array_equal(array, image(number))
            array += 1  # it is the policy's
        assert shared == [False, *[True] * 8, *[False] * 3]
        kept.clear()
        handler.predictions.clear()
        del array
        client.predict_action([{"image": image(0)}])
        assert is_shared(observed(handler.predictions.pop()))


def test_actions_that_the_caller_keeps_stay_as_they_are(face: Face, unix: str) -> None:
    with PolicyServer(Seeing(observed), host=unix) as server:
        client = face.client(server)
        kept = [client.predict_action([{"image": image(number)}]) for number in range(12)]
    assert any(map(is_shared, kept))
    for number, action in enumerate(kept):
        np.testing.assert_array_equal(action, image(number))


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_a_call_that_is_given_up_keeps_its_memory_until_the_policy_is_done_with_it(
    how: str, unix: str
) -> None:
    handler = GatedHandler()

    async def main() -> None:
        async with AsyncPolicyClient(unix, timeout=WAIT) as client:
            handler.let_end()
            await client.predict_action([{"image": image(0)}])
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, handler.wait_begun)
            for number in range(1, 4):
                timeout = None if how == "cancelled" else 0.2
                given_up = asyncio.ensure_future(
                    client.predict_action([{"image": image(number)}], timeout=timeout)
                )
                await loop.run_in_executor(None, handler.wait_begun)
                if how == "cancelled":
                    given_up.cancel()
                with pytest.raises((asyncio.CancelledError, DeadlineExceededError)):
                    await given_up
                # They wait behind it, with contents of their own.
                others = [
                    asyncio.ensure_future(
                        client.predict_action([{"image": image(10 * number + k)}])
                    )
                    for k in range(3)
                ]
                await client.health_check()
                handler.let_end(4)
                await asyncio.gather(*others)
                for _ in others:
                    await loop.run_in_executor(None, handler.wait_begun)

    with PolicyServer(handler, host=unix):
        asyncio.run(main())
    numbers = [
        0,
        *[n for number in range(1, 4) for n in (number, *range(10 * number, 10 * number + 3))],
    ]
    assert len(handler.predictions) == len(numbers)
    assert sum(is_shared(observed(prediction)) for prediction in handler.predictions) >= 7
    for number, prediction in zip(numbers, handler.predictions, strict=True):
        np.testing.assert_array_equal(observed(prediction), image(number))
    handler.predictions.clear()


def test_a_first_call_that_is_given_up_is_not_the_last_to_ask(unix: str) -> None:
    handler = GatedHandler()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with AsyncPolicyClient(unix, timeout=WAIT) as client:
            first = asyncio.ensure_future(client.predict_action([{"image": image(0)}]))
            await loop.run_in_executor(None, handler.wait_begun)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            handler.let_end(3)
            for number in range(1, 3):
                await client.predict_action([{"image": image(number)}])

    with PolicyServer(handler, host=unix):
        asyncio.run(main())
    assert [is_shared(observed(each)) for each in handler.predictions] == [False, False, True]
    handler.predictions.clear()


def test_a_first_call_that_is_refused_unread_is_not_the_last_to_ask() -> None:
    async def main() -> None:
        lending = lender.Lender(SIZE)
        for word in ("unread", "mapped"):
            asking = await lending.lend("path", [bytes(SIZE)])
            assert asking is not None
            assert asking.offer.endswith(";0")
            asking.sent = True
            asking.hear(word)
            asking.end()
        loan = await lending.lend("path", [bytes(SIZE)])
        assert loan is not None
        assert loan.offer.endswith(f";{SIZE}")
        loan.end()
        lending.close()

    asyncio.run(main())


def test_many_calls_at_once_some_given_up_get_their_own_answers(unix: str) -> None:
    handler = Seeing(lambda prediction: observed(prediction) ^ 255)

    async def call(client: AsyncPolicyClient, number: int) -> None:
        task = asyncio.ensure_future(client.predict_action([{"image": image(number, MIB)}]))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        if number % 3 == 0:
            task.cancel()
        try:
            action = await task
        except asyncio.CancelledError:
            return
        np.testing.assert_array_equal(action, image(number, MIB) ^ 255)

    async def main() -> None:
        async with AsyncPolicyClient(unix, timeout=WAIT) as client:
            for first in range(0, 60, 20):
                await asyncio.gather(*(call(client, first + k) for k in range(20)))

    with PolicyServer(handler, host=unix):
        asyncio.run(main())
    assert any(handler.shared)


def test_calls_that_are_refused_before_they_are_read_cost_no_memory(unix: str) -> None:
    handler = GatedHandler()
    with (
        PolicyServer(handler, host=unix, max_pending=0) as server,
        PolicyClient(unix, timeout=WAIT) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        # With no room to wait, the server's own first questions to the policy take it all.
        client.wait_ready()
        handler.let_end(2)
        for number in range(2):
            client.predict_action([{"image": image(number)}])
            handler.wait_begun()
        running = pool.submit(client.predict_action, [{"image": image(2)}])
        handler.wait_begun()
        for _ in range(12):
            with pytest.raises(ResourceExhaustedError):
                client.predict_action([{"image": image(3)}])
        assert server.status().held_bytes <= 3 * 2 * SIZE
        handler.let_end(2)
        running.result()
        client.predict_action([{"image": image(4)}])
        assert [is_shared(observed(each)) for each in handler.predictions] == [False, *[True] * 3]
        handler.predictions.clear()


def test_memory_that_is_not_used_is_given_back(unix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timers: list[Callable[[], Any]] = []
        later = loop.call_later

        def call_later(delay: float, callback: Callable[..., Any], *args: Any) -> Any:
            if callback.__qualname__ == "Lender._drop_spare":
                timers.append(callback)
                delay = WAIT
            return later(delay, callback, *args)

        monkeypatch.setattr(loop, "call_later", call_later)
        async with AsyncPolicyClient(unix, timeout=WAIT) as client:
            for size in (SIZE, SIZE, 5 * SIZE):
                await client.predict_action([{"image": image(0, size)}])
            pieces = client._channel._connecting.result()._lender._pieces  # type: ignore[union-attr]
            assert [piece.area.size for piece in pieces] == [2 * SIZE, 6 * SIZE]
            timers.pop()()
            await client.predict_action([{"image": image(0)}])
            timers.pop()()
            assert [piece.area.size for piece in pieces] == [2 * SIZE]
            timers.pop()()
            assert (pieces, timers) == ([], [])
            # The server lets go of it no later than at the next one.
            await client.predict_action([{"image": image(0)}])
            await client.health_check()
            await client.health_check()
            assert server.status().held_bytes == 2 * SIZE

    with PolicyServer(Seeing(), host=unix) as server:
        asyncio.run(main())


# ---------------------------------------------------------------- limits and lies


def test_what_the_limits_do_not_allow_takes_the_socket(unix: str) -> None:
    handler = Seeing(observed)
    limits = Limits(connection_bytes=1, total_bytes=1)  # two messages of the largest size
    with (
        PolicyServer(handler, host=unix, max_message_size=3 * MIB, limits=limits) as server,
        PolicyClient(unix, timeout=WAIT) as client,
    ):
        for number in range(5):
            # Memory for the request alone would be within them, and not for both.
            action = client.predict_action([{"image": image(number)}])
            np.testing.assert_array_equal(action, image(number))
            assert not is_shared(action)
            assert held_at_rest(server, client) <= 6 * MIB
    assert handler.shared == [False] * 5


def test_what_the_policy_keeps_does_not_count_after_its_call(unix: str) -> None:
    handler = RecordingHandler()
    limits = Limits(connection_bytes=1, total_bytes=1)
    with (
        PolicyServer(handler, host=unix, max_message_size=3 * MIB, limits=limits) as server,
        PolicyClient(unix, timeout=WAIT) as client,
    ):
        for number in range(6):
            client.predict_action([{"image": image(number)}])
            assert held_at_rest(server, client) <= 4 * MIB
    # The client's own limit is four of the largest messages, in pieces of 4 MiB.
    shared = [is_shared(observed(prediction)) for prediction in handler.predictions]
    assert shared == [False, *[True] * 5]
    for number, prediction in enumerate(handler.predictions):
        np.testing.assert_array_equal(observed(prediction), image(number))
    handler.predictions.clear()


def test_shared_memory_that_rests_makes_room_for_messages_of_others(unix: str) -> None:
    limits = Limits(connection_bytes=1, total_bytes=1)
    with (
        PolicyServer(Seeing(), host=unix, max_message_size=3 * MIB, limits=limits) as server,
        PolicyClient(unix, timeout=WAIT) as sharing,
        PolicyClient(unix, timeout=WAIT, shared_memory=False) as plain,
    ):
        for number in range(2):
            sharing.predict_action([{"image": image(number)}])
        assert held_at_rest(server, sharing) == 4 * MIB
        plain.predict_action([{"image": image(2, 3 * MIB - 100)}])
        assert held_at_rest(server, plain) == 0
        sharing.predict_action([{"image": image(3)}])
        assert held_at_rest(server, sharing) == 4 * MIB


MESSAGE = b"".join(encode_predict_request([{"image": image(0, 1000)}]))
NONCE = (b"n" * 16).hex()


def _refer(file: int, size: int = MIB, start: int = 64, length: int = len(MESSAGE)) -> str:
    return f"request={file};{NONCE};{size};{start};{length}"


# What a peer claims, and what the error says of it.
LIES: dict[str, tuple[Callable[[Sharing], str], str]] = {
    "no such file": (lambda peer: _refer(9999), "file 9999 of process"),
    "a socket": (lambda peer: _refer(peer.sock.fileno()), "no shared memory"),
    "another kind of memory": (lambda peer: _refer(peer.make(name="other")), "no shared memory"),
    "not sealed": (lambda peer: _refer(peer.make(seals=SEALS & ~2)), "not sealed"),
    "size": (lambda peer: _refer(peer.make(), 2 * MIB), f"{MIB} bytes instead of {2 * MIB}"),
    "size of 0": (lambda peer: _refer(peer.make(), 0), "allowed: within 64 and 0"),
    "too large": (lambda peer: _refer(peer.make(), 10**12), "memory of 1000000000000 bytes; allow"),
    "nonce": (lambda peer: _refer(peer.make(nonce=b"m" * 16)), "not begin with its nonce"),
    "in the head": (lambda peer: _refer(peer.make(), start=63), "allowed: within 64 and 1048576"),
    "beyond": (lambda peer: _refer(peer.make(), start=MIB - 8), "allowed: within 64 and 1048576"),
    "negative": (lambda peer: _refer(peer.make(), start=-64), "allowed: request=FILE;NONCE;SIZE"),
    "a long number": (lambda peer: _refer(10**30), "allowed: request=FILE;NONCE;SIZE"),
    "a large number": (lambda peer: _refer(2**31), "allowed: 0 to 2147483647"),
    "text": (lambda peer: "hello", "allowed: request=FILE;NONCE;SIZE;START;LENGTH and"),
    "twice": (lambda peer: f"{_refer(3)} {_refer(4)}", "allowed: request=FILE;NONCE;SIZE"),
    "the same for both": (
        lambda peer: " ".join([text := _refer(peer.make()), text.replace("quest", "sponse")]),
        "in use by another call, or twice",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_memory_costs_its_call_and_nothing_else(
    lie: str, unix: str, path: Path
) -> None:
    tell, expected = LIES[lie]
    handler = Seeing()
    with PolicyServer(handler, host=unix) as server, Sharing(path) as peer:
        offer = tell(peer)
        headers = peer.call(b"", offer)
        assert headers["grpc-status"] == "3"
        assert re.search(f"{HEADER}: .*{re.escape(expected)}", headers["grpc-message"])
        assert (headers[HEADER], headers["praxis-never-ran"]) == ("refused", "1")
        assert peer.call(MESSAGE)["grpc-status"] == "0"
        content = peer.make(nonce=b"o" * 16, content=MESSAGE)
        honest = _refer(content).replace(NONCE, (b"o" * 16).hex())
        assert peer.call(b"", honest)["grpc-status"] == "0"
        mapped = [MIB] * (1 + (lie == "the same for both"))
        assert server.status().held_bytes == sum(mapped)
    assert handler.shared == [False, False]  # small ones are copied


def test_a_request_over_the_limit_is_refused_as_on_the_socket(unix: str, path: Path) -> None:
    with PolicyServer(Seeing(), host=unix, max_message_size=MIB), Sharing(path) as peer:
        headers = peer.call(b"", _refer(peer.make(2 * MIB), 2 * MIB, length=MIB + 1))
        assert headers["grpc-status"] == "8"
        assert headers["grpc-message"].startswith("request of 1048577 bytes is larger")
        assert headers[HEADER] == "unread"


def test_a_request_in_memory_and_on_the_socket_is_refused(unix: str, path: Path) -> None:
    with PolicyServer(Seeing(), host=unix), Sharing(path) as peer:
        headers = peer.call(MESSAGE, _refer(peer.make(content=MESSAGE)))
        assert headers["grpc-status"] == "3"
        assert f"and one of {len(MESSAGE)} bytes came" in headers["grpc-message"]


def test_a_connection_may_have_a_number_of_pieces_and_each_is_used_by_one_call(
    unix: str, path: Path
) -> None:
    handler = RecordingHandler()  # it keeps what it gets
    large = b"".join(
        bytes(part) for part in encode_predict_request([{"image": image(0, MIB // 2)}])
    )
    with PolicyServer(handler, host=unix) as server, Sharing(path) as peer:
        files = [peer.make(content=large) for _ in range(17)]
        offers = [_refer(file, length=len(large)) for file in files]
        statuses = [peer.call(b"", offer)["grpc-status"] for offer in offers]
        assert statuses == [*["0"] * 16, "8"]
        again = peer.call(b"", offers[0])
        assert (again["grpc-status"], again[HEADER]) == ("3", "refused")
        assert server.status().held_bytes == 16 * MIB
    handler.predictions.clear()


def test_shared_memory_leaves_connections_half_of_the_files(
    unix: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PolicyServer(Seeing(), host=unix), Sharing(path) as peer:
        offers = [_refer(peer.make(content=MESSAGE)) for _ in range(3)]
        assert peer.call(b"", offers[0])["grpc-status"] == "0"
        gc.collect()
        os.close(free := os.dup(0))
        # One is open while memory is mapped, and another one stays.
        monkeypatch.setattr(resource, "getrlimit", lambda _: (2 * (free + 1),) * 2)
        refused = peer.call(b"", offers[1])
        assert refused[HEADER] == "refused"
        assert "half of the files that may be open are" in refused["grpc-message"]
        assert peer.call(b"", offers[0])["grpc-status"] == "0"
        monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
        assert peer.call(b"", offers[2])["grpc-status"] == "0"


def test_the_server_lets_go_of_memory_at_once_and_not_when_cycles_are_collected(
    unix: str, path: Path
) -> None:
    gc.disable()
    try:
        with PolicyServer(Seeing(), host=unix), Sharing(path) as peer:
            for _ in range(5):
                file = peer.make(content=MESSAGE)
                assert peer.call(b"", _refer(file))["grpc-status"] == "0"
                peer.let_go(file)
            assert mapped_here() == 1
    finally:
        gc.enable()


# ---------------------------------------------------------------- peers that do not share


def test_peers_that_do_not_share_get_and_send_what_they_always_did(unix: str, path: Path) -> None:
    with PolicyServer(Seeing(), host=unix), Sharing(path) as peer:
        headers = peer.call(MESSAGE)
        assert HEADER not in headers
        assert list(headers)[-2:] == ["grpc-status", "server-timing"]
        large = b"".join(bytes(part) for part in encode_predict_request([{"image": image(0)}]))
        assert HEADER not in peer.call(large)


def test_a_server_that_says_nothing_is_asked_once_and_gets_whole_messages(
    unix: str, path: Path
) -> None:
    asked: queue.SimpleQueue[tuple[dict[str, str], int]] = queue.SimpleQueue()
    calls = ["small", "large", "large", "large"]

    def answer(peer: Peer) -> None:
        for _ in calls:
            request = peer.wait_for(RequestReceived)
            peer.wait_for(StreamEnded)
            data = [event for event in peer.events if isinstance(event, DataReceived)]
            peer.events = [event for event in peer.events if event not in data]
            asked.put((dict(request.headers), sum(len(event.data) for event in data)))
            peer.h2.send_headers(
                request.stream_id,
                [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")],
                end_stream=True,
            )
            peer.flush()

    with listen(unix) as listener, ThreadPoolExecutor(1) as pool:
        client = PolicyClient(unix, timeout=WAIT)

        def serve() -> None:
            peer = Peer(listener.accept()[0], client=False)
            peer.start()
            peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**24})
            answer(peer)
            peer.close()

        done = pool.submit(serve)
        for kind in calls:
            with pytest.raises(RemoteError):
                client.predict_action([{"image": image(0, SIZE if kind == "large" else 1000)}])
        done.result()
        client.close()
    found = [asked.get() for _ in calls]
    assert [HEADER in headers for headers, _ in found] == [False, True, False, False]
    assert all(size > SIZE for _, size in found[1:])


def test_another_user_s_memory_is_not_opened(unix: str, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    script = f"""
import os, sys
import numpy as np
from praxis_remote import PolicyClient
os.setgid({NOBODY}); os.setuid({NOBODY})
with PolicyClient({unix!r}, timeout=30) as client:
    for number in range(3):
        client.predict_action([{{"image": np.full({SIZE}, number, np.uint8)}}])
    print(client._client._channel._connecting.result()._lender._stage.name)
"""
    handler = Seeing()
    path.parent.chmod(0o755)
    with PolicyServer(handler, host=unix, socket_mode=0o666):
        assert run(script) == "UNABLE"
    assert handler.shared == [False] * 3


# ---------------------------------------------------------------- processes that end, and fork


def run(script: str) -> str:
    """Returns what a script in a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_client_that_is_killed_leaves_the_policy_what_it_has_and_nothing_else(
    unix: str,
) -> None:
    handler = GatedHandler()
    script = f"""
import numpy as np
from praxis_remote import PolicyClient
client = PolicyClient({unix!r})
for number in range(3):
    client.predict_action([{{"image": np.full({SIZE}, number, np.uint8)}}])
"""
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with PolicyServer(handler, host=unix, observers=[Observer(ended)]) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        handler.let_end(2)
        for _ in range(3):
            handler.wait_begun()
        assert [ended.get(timeout=WAIT) for _ in range(2)] == ["OK", "OK"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ended.get(timeout=WAIT) == "CANCELLED"
        with PolicyClient(unix, timeout=WAIT) as client:
            client.health_check()
            assert server.status().held_bytes == 0
            handler.let_end(2)
            # It comes after that of the client that is no more.
            client.predict_action([{"image": image(3, 1000)}])
    del handler.predictions[3:]
    shared = [is_shared(observed(prediction)) for prediction in handler.predictions]
    assert shared == [False, True, True]
    assert observed(handler.predictions[2]).min() == observed(handler.predictions[2]).max() == 2
    handler.predictions.clear()


class Observer:
    """Tells of each call how it ended."""

    def __init__(self, ended: queue.SimpleQueue[Any]) -> None:
        self._ended = ended

    def call_ended(self, record: Any) -> None:
        self._ended.put(record.code.name)


def test_a_server_that_is_killed_leaves_the_client_nothing_and_the_next_one_shares(
    unix: str, start: Start, gate: Gate
) -> None:
    with ThreadPoolExecutor(1) as pool:
        process = start("serve", "policies:Policy", "--host", unix)
        with process.client() as client:
            for number in range(3):
                client.predict_action([{"image": image(number)}])
            assert shared_here() == (1, 2)
            call = pool.submit(client.predict_action, [{"image": image(3), "gate": gate.port}])
            gate.reached()
            process.send(signal.SIGKILL)
            with pytest.raises(UnavailableError):
                call.result(WAIT)
            del call
            assert shared_here() == (0, 0)
            process.process.wait()
            handler = Seeing()
            with PolicyServer(handler, host=unix):
                client.wait_ready(WAIT)
                for number in range(2):
                    client.predict_action([{"image": image(number)}])
    assert handler.shared == [False, True]


def test_a_forked_child_shares_memory_of_its_own(unix: str) -> None:
    script = f"""
import os, sys
import numpy as np
from praxis_remote import PolicyClient

def call(client, first):
    for number in range(first, first + 3):
        image = np.full({SIZE}, number, np.uint8)
        action = client.predict_action([{{"image": image}}])
        assert np.array_equal(action, image)
    return action

client = PolicyClient({unix!r}, timeout=30)
kept = call(client, 0)
child = os.fork()
last = call(client, 100 if child else 200)
assert (kept == 2).all()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert (last == 102).all()
call(client, 0)
"""
    handler = Seeing(observed)
    with PolicyServer(handler, host=unix):
        run(script)
    assert sorted(handler.shared) == [False] * 2 + [True] * 10


def test_what_a_policy_s_forked_child_has_stays_as_it_was(unix: str) -> None:
    script = f"""
import os
import numpy as np
from praxis_remote import PolicyClient, PolicyServer

go, went = os.pipe()
children = []

class Forking:
    def predict_action(self, observations, *, policy_kwargs=None):
        image = observations[0]["image"]
        if image[0] == 1:
            child = os.fork()
            if not child:
                os.read(go, 1)
                os._exit(0 if (image == 1).all() else 3)
            children.append(child)
        return np.zeros(1, np.float32)
    def reset(self): ...
    def model_info(self): return ""

with PolicyServer(Forking(), host={unix!r}), PolicyClient({unix!r}, timeout=30) as client:
    for number in range(12):
        client.predict_action([{{"image": np.full({SIZE}, number, np.uint8)}}])
    pieces = client._client._channel._connecting.result()._lender._pieces
    os.write(went, b"x")
    print(os.waitpid(children[0], 0)[1], len(pieces))
"""
    assert run(script) == "0 2"


def test_memory_is_not_shared_where_the_system_has_none_to_give(
    unix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError("there is none")

    handler = Seeing()
    with connected(handler, host=unix, timeout=WAIT) as (_, client):
        client.predict_action([{"image": image(0)}])
        monkeypatch.setattr(os, "memfd_create", refuse)
        client.predict_action([{"image": image(1)}])
        monkeypatch.undo()
        client.predict_action([{"image": image(2)}])
    assert handler.shared == [False, False, True]
