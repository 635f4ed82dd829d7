# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is sent again, how often and when: by a clock of the tests, then by both clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest
from faces import Face
from h2.events import StreamEnded
from hosts import unused_port
from http2_peers import Peer, RawServer
from test_never_ran import BATCH, HEADERS, OK, answer

from praxis_remote import PolicyServer, retries
from praxis_remote.backoff import Backoff
from praxis_remote.calls import Deadline, check_retries
from praxis_remote.errors import (
    DeadlineExceededError,
    HandlerError,
    MessageTooLargeError,
    RemoteError,
    ResourceExhaustedError,
    UnavailableError,
)
from praxis_remote.retries import MayRepeat, if_never_ran, if_unavailable, repeat
from praxis_remote.schema import PredictRequest, ResetResponse
from praxis_remote.testing import GatedHandler, RecordingHandler

WAIT = 30.0
LOST = UnavailableError("lost")
UNTAKEN = UnavailableError("untaken", never_ran=True)
FULL = ResourceExhaustedError("full", never_ran=True)


class Attempts:
    """Comes to one outcome after another, on a clock that only its pauses drive."""

    def __init__(self, *outcomes: RemoteError | str, may_repeat: MayRepeat = if_never_ran) -> None:
        self._outcomes = list(outcomes)
        self._may_repeat = may_repeat
        self.now = 100.0
        self.pauses: list[float] = []

    async def _call(self) -> str:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, str):
            return outcome
        raise type(outcome)(outcome.details(), never_ran=outcome.never_ran)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def run(self, times: int, timeout: float | None = None) -> str:
        return asyncio.run(
            repeat(
                self._call,
                times,
                self._may_repeat,
                None if timeout is None else Deadline(self.now + timeout),
                backoff=Backoff(chance=lambda: 0.0),
                sleep=self._sleep,
                clock=lambda: self.now,
            )
        )

    def error(self, times: int, timeout: float | None = None) -> RemoteError:
        with pytest.raises(RemoteError) as raised:
            self.run(times, timeout)
        return raised.value

    @property
    def left(self) -> int:
        return len(self._outcomes)


# ---------------------------------------------------------------- by the tests' clock


def test_what_never_ran_is_tried_again_after_pauses_until_it_goes_well() -> None:
    attempts = Attempts(UNTAKEN, FULL, UNTAKEN, "done")
    assert attempts.run(3) == "done"
    assert attempts.pauses == [0.02, 0.04, 0.08]


def test_the_last_error_is_raised_and_tells_the_tries() -> None:
    error = Attempts(UNTAKEN, UNTAKEN, FULL).error(2)
    assert isinstance(error, ResourceExhaustedError)
    assert error.details() == "full; tried 3 times"
    assert str(error) == "RESOURCE_EXHAUSTED: full; tried 3 times"


@pytest.mark.parametrize(
    "outcome",
    [
        LOST,
        ResourceExhaustedError("full"),
        HandlerError("failed", never_ran=True),
        DeadlineExceededError("late", never_ran=True),
    ],
)
def test_what_may_have_run_or_will_not_pass_is_tried_once(outcome: RemoteError) -> None:
    attempts = Attempts(outcome, "again")
    error = attempts.error(3)
    assert type(error) is type(outcome)
    assert (attempts.left, error.details()) == (1, outcome.details())


def test_a_message_that_is_too_large_stays_so() -> None:
    error = MessageTooLargeError("request", 2, 1)
    error.never_ran = True
    assert not if_never_ran(error)
    assert not if_unavailable(error)


def test_what_does_no_harm_is_tried_again_though_it_may_have_run() -> None:
    assert Attempts(LOST, LOST, "done", may_repeat=if_unavailable).run(2) == "done"
    assert Attempts(FULL, "done", may_repeat=if_unavailable).run(2) == "done"
    full = ResourceExhaustedError("full")
    assert Attempts(full, "done", may_repeat=if_unavailable).error(2).details() == "full"


def test_a_call_of_which_one_try_may_have_run_is_not_said_to_have_not() -> None:
    assert Attempts(UNTAKEN, UNTAKEN, may_repeat=if_unavailable).error(1).never_ran
    assert not Attempts(LOST, UNTAKEN, may_repeat=if_unavailable).error(1).never_ran


def test_nothing_is_begun_after_the_deadline() -> None:
    # 0.02 + 0.04 fit, 0.08 more do not.
    attempts = Attempts(UNTAKEN, UNTAKEN, UNTAKEN, "late")
    assert attempts.error(9, timeout=0.1).details() == "untaken; tried 3 times"
    assert (attempts.pauses, attempts.left) == ([0.02, 0.04], 1)


def test_none_leaves_the_number_to_the_method_and_what_is_no_number_is_an_error() -> None:
    assert [check_retries(n) for n in (None, 0, 5)] == [None, 0, 5]
    with pytest.raises(ValueError, match="retries: -1"):
        check_retries(-1)
    with pytest.raises(TypeError):
        check_retries(1.5)  # type: ignore[arg-type]  # what is tested


# ---------------------------------------------------------------- by both clients


class Hook(Backoff):
    """Does something before each try but the first, instead of waiting."""

    def __init__(self, hook: Callable[[], object]) -> None:
        super().__init__()
        self._hook = hook

    def next(self) -> float:
        self._hook()
        return 0.0


def before_retries(monkeypatch: pytest.MonkeyPatch, hook: Callable[[], object]) -> None:
    monkeypatch.setattr(retries, "Backoff", lambda: Hook(hook))


def refuse(peer: Peer, *trailers: tuple[str, str]) -> None:
    stream_id = peer.wait_for(StreamEnded).stream_id
    status = [*HEADERS, ("grpc-status", "8"), ("grpc-message", "full"), *trailers]
    peer.h2.send_headers(stream_id, status, end_stream=True)
    peer.flush()


def test_a_prediction_is_sent_again_as_often_as_the_client_or_the_call_says(face: Face) -> None:
    def script(peer: Peer) -> None:
        for _ in range(7):
            refuse(peer, ("praxis-never-ran", "1"))
        answer(peer)

    with RawServer(script) as server:
        client = face.client(server.port, retries=1)
        with pytest.raises(ResourceExhaustedError, match="full; tried 2 times"):
            client.predict_action(BATCH)
        with pytest.raises(ResourceExhaustedError, match=r"full \("):
            client.predict_action(BATCH, retries=0)
        with pytest.raises(ResourceExhaustedError, match="tried 3 times"):
            client.predict_action_from_parts([0.0], retries=2)
        assert client.predict_action(BATCH).shape == (1, 1)
        client.close()


def test_without_retries_a_prediction_is_sent_once_and_so_is_what_the_stub_sends(
    face: Face,
) -> None:
    def script(peer: Peer) -> None:
        refuse(peer, ("praxis-never-ran", "1"))
        refuse(peer, ("praxis-never-ran", "1"))
        peer.wait_closed()

    with RawServer(script) as server:
        client = face.client(server.port)
        with pytest.raises(ResourceExhaustedError, match=r"full \("):
            client.predict_action(BATCH)
        with pytest.raises(ResourceExhaustedError, match=r"full \("):
            client.stub.predict(PredictRequest())
        client.close()


def test_a_refusal_without_the_servers_word_is_not_sent_again(face: Face) -> None:
    def script(peer: Peer) -> None:
        refuse(peer)
        peer.wait_closed()

    with RawServer(script) as server:
        client = face.client(server.port, retries=3)
        with pytest.raises(ResourceExhaustedError, match=r"full \("):
            client.predict_action(BATCH)
        client.close()


def test_resets_and_health_checks_survive_a_lost_connection_and_predictions_do_not(
    face: Face,
) -> None:
    def cut(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        peer.close()

    def answer_reset(peer: Peer) -> None:
        stream_id = peer.wait_for(StreamEnded).stream_id
        message = bytes(ResetResponse(success=True))
        peer.h2.send_headers(stream_id, HEADERS)
        peer.h2.send_data(stream_id, b"\0\0\0\0" + bytes([len(message)]) + message)
        peer.h2.send_headers(stream_id, OK, end_stream=True)
        peer.flush()
        cut(peer)

    with RawServer(cut, cut, answer_reset) as server:
        client = face.client(server.port)
        assert client.reset()
        with pytest.raises(UnavailableError) as raised:
            client.predict_action(BATCH, retries=3)
        client.close()
    assert not raised.value.never_ran
    assert "tried" not in raised.value.details()


def test_a_server_that_is_refusing_and_then_there_is_found(
    face: Face, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = unused_port(host)
    with ExitStack() as stack:

        def start() -> None:
            stack.enter_context(PolicyServer(RecordingHandler(), host=host, port=port))

        before_retries(monkeypatch, start)
        assert face.client(port, host, retries=1).predict_action(BATCH).shape == (1, 1)


def test_a_server_that_restarts_during_calls_has_reset_again_and_no_prediction_twice(
    face: Face, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = GatedHandler(), RecordingHandler()
    with ExitStack() as stack:
        server = stack.enter_context(PolicyServer(old, host=host, port=0))
        client = face.client(server, retries=3)

        def stop_when_begun() -> None:
            old.wait_begun()
            server.stop()

        stopping = threading.Thread(target=stop_when_begun)
        stopping.start()
        with pytest.raises(UnavailableError) as raised:
            client.predict_action(BATCH)
        assert not raised.value.never_ran
        old.let_end()
        stopping.join(WAIT)

        def restart() -> None:
            stack.enter_context(PolicyServer(new, host=host, port=server.port))

        before_retries(monkeypatch, restart)
        assert client.reset()
    assert (len(new.predictions), new.resets) == (0, [None])


def test_a_server_that_restarted_between_calls_is_found_by_a_prediction(
    face: Face, host: str
) -> None:
    with PolicyServer(RecordingHandler(), host=host, port=0) as server:
        client = face.client(server)
        client.predict_action(BATCH)
    new = RecordingHandler(lambda _: np.ones(1))
    with PolicyServer(new, host=host, port=server.port):
        assert client.predict_action(BATCH) == [1]
    assert len(new.predictions) == 1


def test_a_call_gives_up_with_its_deadline_and_not_after_all_its_retries(
    face: Face, host: str
) -> None:
    client = face.client(unused_port(host), host, retries=10**9)
    # It depends on chance whether the last pause or the last try is cut short.
    with pytest.raises(RemoteError, match=r"cannot connect.*; tried \d+ times"):
        client.predict_action(BATCH, timeout=0.1)
