# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import gc
import heapq
import logging
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from h2.events import PingAckReceived, SettingsAcknowledged, StreamEnded
from http2_peers import RawClient, framed

from praxis_remote import PolicyClient, PolicyServer, codec
from praxis_remote.calls import PREDICT
from praxis_remote.errors import RemoteError
from praxis_remote.framing import MessageReader
from praxis_remote.memory import Pool, Stock, allocate
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler, connected

MIB = 2**20
WAIT = 30.0


def address(view: Any) -> int:
    """Returns where memory is."""
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])


class FakeTime:
    """The clock of an event loop, and what it would call as time passes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> None:
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._loop = loop
        self.now = 0.0
        monkeypatch.setattr(loop, "call_later", self._call_later)

    def _call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.now + delay, callback, args, self._loop)
        heapq.heappush(self._timers, (timer.when(), len(self._timers), timer))
        return timer

    @property
    def due(self) -> list[float]:
        """When something is to be called."""
        return [when for when, _, timer in self._timers if not timer.cancelled()]

    def pass_seconds(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                timer._run()
        self.now = end


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTime]:
    """Makes a loop the running one whose time passes when a test wants it to."""
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    yield FakeTime(monkeypatch, loop)
    asyncio._set_running_loop(None)
    loop.close()


@pytest.fixture
def pool(time: FakeTime) -> Pool:
    return Pool()


# ---------------------------------------------------------------- what is used again


@pytest.mark.parametrize(
    "keep",
    [
        lambda view: view,
        lambda view: view[5:],
        lambda view: view[5:][3:7],
        lambda view: view.cast("f"),
        lambda view: view.toreadonly(),
        lambda view: np.frombuffer(view, np.uint8),
        lambda view: np.frombuffer(view, np.float32, 4, 16),
        lambda view: np.frombuffer(view, np.uint8).reshape(-1, 4)[1:, ::2].T[0],
        lambda view: [np.frombuffer(view, np.uint8)[3:4]],
        lambda view: {"a": (np.frombuffer(view, np.uint8).view(np.int32),)},
        lambda view: np.frombuffer(view, np.uint8)[8:].data,
        lambda view: iter(view[1:]),
    ],
    ids=range(12),
)
def test_memory_is_used_again_only_when_nothing_refers_to_any_part_of_it(
    pool: Pool, keep: Callable[[memoryview], object]
) -> None:
    view = pool.allocate(MIB)
    first = address(view)
    kept = keep(view)
    del view
    other = pool.allocate(MIB)
    assert address(other) != first
    del kept
    assert address(pool.allocate(MIB)) == first
    assert address(other) != first


def test_memory_in_use_keeps_its_content_whatever_else_arrives(pool: Pool) -> None:
    kept = []
    for number in range(50):
        view = pool.allocate(100_000)
        np.frombuffer(view, np.uint8)[:] = number
        if number % 3 == 0:
            kept.append((number, np.frombuffer(view, np.uint8, 10, number)))
        del view
    for number, array in kept:
        assert array.tolist() == [number] * 10


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (MIB, MIB, True),
        (MIB, MIB // 2, True),
        (MIB, MIB // 2 - 1, False),  # a small array would keep far more than it needs
        (MIB, MIB + 1, False),
        (1, 1, True),
    ],
)
def test_memory_is_used_again_for_what_fits_and_is_not_far_smaller(
    pool: Pool, before: int, after: int, same: bool
) -> None:
    first = pool.allocate(before)
    where = address(first)
    del first
    second = pool.allocate(after)
    assert len(second) == after
    assert (address(second) == where) is same


def test_memory_is_writable_and_starts_where_arrays_of_any_dtype_may(pool: Pool) -> None:
    view = pool.allocate(MIB)
    assert not view.readonly
    assert view.format == "B"
    assert address(view) % 16 == 0


def test_no_bytes_at_all_are_memory_too(pool: Pool) -> None:
    assert len(pool.allocate(0)) == len(pool.allocate(0)) == len(allocate(0)) == 0


# ---------------------------------------------------------------- what is kept


def spare(pool: Pool) -> int:
    """Returns how many bytes a pool holds that nobody refers to."""
    return sum(block.size for block in pool._blocks if block.spare)


def test_what_is_spare_is_given_back_when_it_was_not_used_for_a_while(
    pool: Pool, time: FakeTime
) -> None:
    pool.allocate(MIB)
    time.pass_seconds(0.5)
    assert spare(pool) == MIB
    time.pass_seconds(1.5)
    assert spare(pool) == 0
    assert time.due == []  # and nothing wakes the loop any more


def test_what_is_used_again_and_again_stays(pool: Pool, time: FakeTime) -> None:
    where = address(pool.allocate(MIB))
    for _ in range(20):
        time.pass_seconds(0.9)
        assert address(pool.allocate(MIB)) == where


def test_what_is_in_use_is_used_again_however_long_the_use_took(pool: Pool, time: FakeTime) -> None:
    view = pool.allocate(MIB)
    where = address(view)
    time.pass_seconds(100)
    del view
    assert address(pool.allocate(MIB)) == where


def test_what_is_spare_is_given_back_when_other_memory_is_needed_but_for_16_mib(
    pool: Pool,
) -> None:
    held = [pool.allocate(size * MIB) for size in (4, 9, 20)]
    del held
    kept = pool.allocate(64 * MIB)
    assert spare(pool) <= 16 * MIB
    assert len(kept) == 64 * MIB


def test_of_what_is_spare_that_which_was_used_last_is_kept(pool: Pool) -> None:
    old, new = pool.allocate(12 * MIB), pool.allocate(6 * MIB)
    where = address(new)
    del old, new
    other = pool.allocate(MIB)
    assert spare(pool) == 6 * MIB
    assert address(pool.allocate(6 * MIB)) == where
    del other


def test_who_keeps_everything_does_not_pay_for_it_at_each_message(pool: Pool) -> None:
    kept = [pool.allocate(64 * 1024) for _ in range(500)]
    assert len(pool._blocks) <= 32
    where = address(kept.pop())
    assert address(pool.allocate(64 * 1024)) == where


def test_nothing_is_kept_after_the_end(pool: Pool, time: FakeTime) -> None:
    held = pool.allocate(MIB)
    pool.close()
    late = pool.allocate(MIB)
    assert (len(held), len(late)) == (MIB, MIB)
    assert pool._blocks == []
    assert time.due == []
    pool.close()


def test_a_small_message_has_memory_of_its_own_and_a_large_one_that_of_the_pool(
    pool: Pool,
) -> None:
    for size, count in ((64 * 1024 - 1, 0), (64 * 1024, 1)):
        reader = MessageReader(MIB, "request", pool.allocate)
        reader.feed(framed(bytes(size)))
        assert len(reader.end() or b"") == size
        assert len(pool._blocks) == count


# ---------------------------------------------------------------- a server's requests


@pytest.fixture
def no_gc() -> Iterator[None]:
    """What is in a reference cycle stays. Nothing is logged: a record keeps its traceback."""
    gc.collect()
    gc.disable()
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


IMAGE = np.zeros(300_000, np.uint8)
TIMES = 10


def raise_one(kind: type[BaseException]) -> Any:
    raise kind("on purpose")


class ForgetfulHandler(RecordingHandler):
    """Keeps nothing of what it is asked."""

    def predict_action(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().predict_action(*args, **kwargs)
        finally:
            self.predictions.clear()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize(
    "answer",
    [
        lambda: np.zeros(1, np.float32),
        lambda: np.zeros(100_000, np.float32),
        lambda: "no array",
        lambda: raise_one(ValueError),
        lambda: raise_one(KeyError),
        lambda: raise_one(SystemExit),
        lambda: raise_one(RemoteError),
    ],
    ids=["quick", "large", "unusable", "rejecting", "failing", "exiting", "refusing"],
)
def test_large_requests_land_in_the_same_memory_one_after_the_other(
    answer: Callable[[], Any],
) -> None:
    places: list[int] = []

    def note(prediction: Prediction) -> Any:
        places.append(address(prediction.observations[0]["image"]))
        return answer()

    with connected(ForgetfulHandler(note), timeout=WAIT) as (_, client):
        for _ in range(TIMES):
            with suppress(RemoteError):
                client.predict_action([{"image": IMAGE}])
            client.health_check()  # the policy's thread has let go of the job before
    assert len(places) == TIMES
    assert len(set(places)) == 1


class Upload:
    """A server's memory for requests, and a peer that sends large ones."""

    def __init__(self, server: PolicyServer) -> None:
        self._server = server
        self.peer = RawClient(server.port)
        self.message = framed(b"".join(codec.encode_predict_request([{"image": IMAGE}])))

    def send(self, size: int | None = None, *headers: tuple[str, str]) -> int:
        """Sends a request, or the first bytes of one; returns the number of the stream."""
        stream_id = self.peer.request(PREDICT.path, *headers)
        data, limit = self.message[:size], 2**14
        for begin in range(0, len(data), limit):
            last = size is None and begin + limit >= len(data)
            self.peer.data(stream_id, data[begin : begin + limit], end_stream=last)
        return stream_id

    def blocks(self) -> int:
        """Returns how many pieces of memory the server has for requests by now."""
        self.settle()
        return len(self._server._listener.memory._blocks)

    def settle(self) -> None:
        """Waits until the server has seen all that was sent, and its policy is idle."""
        with PolicyClient("127.0.0.1", self._server.port, timeout=WAIT) as client:
            self.peer.h2.ping(b"settled?")
            self.peer.flush()
            self.peer.wait_for(PingAckReceived)
            client.health_check()


@pytest.fixture
def upload() -> Iterator[Upload]:
    with PolicyServer(ForgetfulHandler(), port=0) as server:
        upload = Upload(server)
        # The window for more than a frame is known from the settings on.
        upload.peer.wait_for(SettingsAcknowledged)
        yield upload
        upload.peer.close()


@pytest.mark.usefixtures("no_gc")
def test_requests_that_are_reset_halfway_or_when_complete_leave_no_memory_behind(
    upload: Upload,
) -> None:
    for size in [100_000, 200_000, 299_999] * 3:
        stream_id = upload.send(size)
        upload.peer.h2.reset_stream(stream_id)
        upload.peer.flush()
        assert upload.blocks() == 1


@pytest.mark.usefixtures("no_gc")
def test_requests_that_break_the_rules_leave_no_memory_behind(upload: Upload) -> None:
    for _ in range(TIMES):
        stream_id = upload.send(200_000)
        upload.peer.data(stream_id, b"", end_stream=True)  # too early
        upload.peer.wait_for(StreamEnded, stream_id)
        assert upload.blocks() == 1


@pytest.mark.usefixtures("no_gc")
def test_requests_whose_connection_is_lost_leave_no_memory_behind(upload: Upload) -> None:
    for _ in range(TIMES):
        upload.send(200_000)
        upload.settle()
        upload.peer.close()
        upload.peer = RawClient(upload._server.port)
        upload.peer.wait_for(SettingsAcknowledged)
        assert upload.blocks() == 1


@pytest.mark.usefixtures("no_gc")
def test_requests_that_expire_halfway_leave_no_memory_behind(upload: Upload) -> None:
    for _ in range(TIMES):
        stream_id = upload.send(200_000, ("grpc-timeout", "1m"))
        upload.peer.wait_for(StreamEnded, stream_id)
        assert upload.blocks() <= 1


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("how", ["reset", "expired"])
def test_requests_that_end_while_they_wait_for_the_policy_leave_no_memory_behind(
    how: str,
) -> None:
    handler = GatedHandler()
    with (
        PolicyServer(handler, port=0) as server,
        ThreadPoolExecutor(1) as pool,
        PolicyClient(server.host, server.port, timeout=WAIT) as client,
    ):
        client.health_check()  # later ones are answered while the policy works
        running = pool.submit(client.predict_action, [{"a": 1}])
        handler.wait_begun()
        upload = Upload(server)
        upload.peer.wait_for(SettingsAcknowledged)
        for _ in range(TIMES):
            if how == "reset":
                stream_id = upload.send()
                upload.settle()
                upload.peer.h2.reset_stream(stream_id)
                upload.peer.flush()
            else:
                stream_id = upload.send(None, ("grpc-timeout", "20m"))
                upload.peer.wait_for(StreamEnded, stream_id)
            assert upload.blocks() == 1
        handler.let_end()
        running.result(WAIT)
        upload.peer.close()
        assert len(handler.predictions) == 1


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("how", ["answered", "rejected", "failed", "expired", "refused"])
def test_a_client_keeps_nothing_of_a_request_whatever_became_of_it(how: str) -> None:
    class Image(np.ndarray[Any, np.dtype[np.uint8]]):
        """An array that a weak reference can refer to."""

    answers = {
        "rejected": lambda prediction: raise_one(ValueError),
        "failed": lambda prediction: raise_one(KeyError),
    }
    handler = GatedHandler(answers.get(how))
    limit = 1000 if how == "refused" else 2 * len(IMAGE)
    if how != "expired":
        handler.let_end()
    with (
        PolicyServer(handler, port=0, max_message_size=limit) as server,
        PolicyClient(server.host, server.port, timeout=WAIT) as client,
    ):
        client.health_check()
        image = IMAGE.view(Image)
        alive = weakref.ref(image)
        timeout = 0.01 if how == "expired" else None
        with suppress(RemoteError):
            client.predict_action([{"image": image}], timeout=timeout)
        del image
        assert alive() is None
        handler.let_end()


def place_of(memory: memoryview) -> int:
    return int(np.frombuffer(memory, np.uint8).__array_interface__["data"][0])


def test_a_stock_hands_out_the_same_memory_again_but_never_what_is_still_referred_to() -> None:
    stock = Stock(4096)
    first = stock.take(10_000)
    first[:] = bytes([1]) * 10_000
    # A view of a view is enough.
    kept = np.frombuffer(first, np.uint8)[5000:]
    del first
    places = []
    for number in range(2, 10):
        memory = stock.take(10_000)
        memory[:] = bytes([number]) * 10_000
        places.append(place_of(memory))
        del memory
    assert set(kept.tolist()) == {1}
    assert len(set(places)) == 1
    assert places[0] % 4096 == 0
    assert place_of(stock.take(5_000)) == places[0]
    # A hundredth of it would keep all of it.
    assert place_of(stock.take(100)) != places[0]
