# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""That an error says that the policy never began on a call: where it must, and nowhere else."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from authority import Authority
from cutting_proxy import CuttingProxy
from faces import FACES, Face
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamEnded
from h2.settings import SettingCodes, Settings
from hosts import listen, port_of, unused_port
from http2_peers import Peer, RawServer, framed, raw_frame
from hyperframe.frame import GoAwayFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from praxis_remote import PolicyServer
from praxis_remote.errors import (
    CallCancelledError,
    DeadlineExceededError,
    MessageTooLargeError,
    RemoteError,
    UnavailableError,
)
from praxis_remote.http2 import client as http2_client
from praxis_remote.schema import NamedTensor, Observation, PredictRequest, PredictResponse, Tensor
from praxis_remote.serialization import encode_numpy_array
from praxis_remote.testing import GatedHandler, RecordingHandler

WAIT = 30.0
BATCH = [{"n": 1}]
HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]
ACTION = framed(bytes(PredictResponse(action=encode_numpy_array(np.zeros((1, 1))))))

# One frame, of which no socket takes more than a part while the peer reads nothing.
ONE_FRAME = 4 * 2**20 - 2000
LARGE = NamedTensor(key="a", tensor=Tensor(data=bytes(ONE_FRAME)))


def answer(peer: Peer, stream_id: int | None = None) -> None:
    """Answers a prediction and waits for the end."""
    if stream_id is None:
        stream_id = peer.wait_for(StreamEnded).stream_id
    peer.h2.send_headers(stream_id, HEADERS)
    peer.h2.send_data(stream_id, ACTION)
    peer.h2.send_headers(stream_id, OK, end_stream=True)
    peer.flush()
    peer.wait_closed()


def narrow(peer: Peer, window: int = 10) -> int:
    """Lets only the beginning of a request through, and returns its stream."""
    peer.h2.local_settings = Settings(
        client=False, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: window}
    )
    peer.start()
    stream_id: int = peer.wait_for(RequestReceived).stream_id
    return stream_id


def widen(peer: Peer, sent: threading.Event) -> None:
    """Lets one large frame through, and waits until all of it was handed over."""
    peer.h2.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.INITIAL_WINDOW_SIZE: 2**23,
            SettingCodes.MAX_FRAME_SIZE: 2**22,
        },
    )
    peer.h2.max_inbound_frame_size = 2**22
    peer.start()
    peer.wait_for(RequestReceived)
    assert sent.wait(WAIT)


def goaway(peer: Peer, last: int, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
    # By hand: h2 itself sends nothing more after a GOAWAY.
    peer.sock.sendall(GoAwayFrame(0, last_stream_id=last, error_code=code).serialize())


def fails(face: Face, *scripts: Callable[[Peer], None], quiet: bool = False, **options: Any) -> Any:
    """Returns the error of a prediction, by a server that follows the scripts."""
    with RawServer(*scripts, quiet=quiet) as server:
        client = face.client(server.port, **options)
        with pytest.raises(RemoteError) as raised:
            client.predict_action(BATCH)
        client.close()
    return raised.value


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a client has handed all of a request to its connection."""
    event = threading.Event()
    original = http2_client._ClientCall.sent

    def tell(call: http2_client._ClientCall) -> None:
        original(call)
        event.set()

    monkeypatch.setattr(http2_client._ClientCall, "sent", tell)
    return event


@pytest.fixture(params=["bare", "tls"])
def tls(request: pytest.FixtureRequest) -> Authority | None:
    """Who issues certificates, where there are some."""
    return request.getfixturevalue("authority") if request.param == "tls" else None


def fails_large(
    face: Face, tls: Authority | None, script: Callable[[Peer], None], *, joined: bool = False
) -> Any:
    """Returns the error of a prediction that is too large for the sockets to hold."""
    theirs, ours = (None, None) if tls is None else (tls.raw_server(), tls.client())
    with RawServer(script, quiet=True, tls=theirs) as server:
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = face.client(server.port, tls=ours)
        request = PredictRequest(observations=[Observation(tensors=[LARGE])])
        batch = [{"a": np.zeros(ONE_FRAME, np.uint8)}]
        with pytest.raises(UnavailableError) as raised:
            client.stub.predict(request) if joined else client.predict_action(batch)
        client.close()
    return raised.value


# ---------------------------------------------------------------- it never ran


def test_a_call_without_a_connection_never_ran(face: Face, host: str) -> None:
    with pytest.raises(UnavailableError, match="cannot connect") as raised:
        face.client(unused_port(host), host).predict_action(BATCH)
    assert raised.value.never_ran
    assert pickle.loads(pickle.dumps(raised.value)).never_ran


def test_a_call_whose_time_passes_while_it_connects_never_ran(face: Face, host: str) -> None:
    with listen(host) as silent:
        client = face.client(port_of(silent), host)
        with pytest.raises(DeadlineExceededError) as raised:
            client.predict_action(BATCH, timeout=0.05)
    assert raised.value.never_ran


def test_a_call_of_a_closed_client_never_ran(face: Face) -> None:
    client = face.client(1)
    client.close()
    with pytest.raises(CallCancelledError, match="make a new one") as raised:
        client.predict_action(BATCH)
    assert raised.value.never_ran


def test_a_call_that_cannot_be_encoded_never_ran(face: Face) -> None:
    with pytest.raises(TypeError) as raised:
        face.client(1).predict_action([{"a": object()}])
    assert isinstance(raised.value, RemoteError)
    assert raised.value.never_ran


def test_a_request_over_this_sides_limit_never_ran_and_is_not_tried_again(face: Face) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server:
        client = face.client(server, max_message_size=100, retries=3)
        with pytest.raises(MessageTooLargeError) as raised:
            client.predict_action([{"a": np.zeros(1000)}])
    assert raised.value.never_ran
    assert "tried" not in str(raised.value)


def test_a_call_that_is_refused_time_and_again_never_ran(face: Face) -> None:
    def refuse(peer: Peer) -> None:
        for _ in range(10):
            peer.h2.reset_stream(peer.wait_for(StreamEnded).stream_id, ErrorCodes.REFUSED_STREAM)
            peer.flush()
        peer.wait_closed()

    error = fails(face, refuse)
    assert isinstance(error, UnavailableError)
    assert error.never_ran


def test_a_call_beyond_a_goaway_with_an_error_never_ran_and_one_before_it_may_have(
    face: Face,
) -> None:
    def leave(last: int) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            peer.wait_for(StreamEnded)
            goaway(peer, last, ErrorCodes.ENHANCE_YOUR_CALM)
            peer.wait_closed()

        return script

    assert fails(face, leave(0)).never_ran
    assert not fails(face, leave(1)).never_ran


def test_a_connection_lost_before_the_end_of_the_request_was_let_through(face: Face) -> None:
    def cut(peer: Peer) -> None:
        narrow(peer)
        peer.close()

    error = fails(face, cut, quiet=True)
    assert isinstance(error, UnavailableError)
    assert error.never_ran


def test_a_call_whose_time_passes_before_all_of_it_was_let_through_never_ran(face: Face) -> None:
    def hold(peer: Peer) -> None:
        narrow(peer)
        peer.wait_closed()

    error = fails(face, hold, quiet=True, timeout=0.2)
    assert isinstance(error, DeadlineExceededError)
    assert error.never_ran


def test_a_request_of_which_the_socket_did_not_take_all_never_ran(
    face: Face, sent: threading.Event, tls: Authority | None
) -> None:
    def cut(peer: Peer) -> None:
        widen(peer, sent)
        peer.close()

    assert fails_large(face, tls, cut).never_ran


def test_the_servers_word_that_a_call_never_ran_is_taken(face: Face) -> None:
    assert fails(face, refuse_with(("praxis-never-ran", "1"))).never_ran
    assert not fails(face, refuse_with()).never_ran


def refuse_with(*trailers: tuple[str, str]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        stream_id = peer.wait_for(StreamEnded).stream_id
        status = [*HEADERS, ("grpc-status", "8"), ("grpc-message", "full"), *trailers]
        peer.h2.send_headers(stream_id, status, end_stream=True)
        peer.flush()
        peer.wait_closed()

    return script


# ---------------------------------------------------------------- it may have run


def test_a_connection_lost_after_the_end_of_the_request_leaves_it_open(face: Face) -> None:
    def cut(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        peer.close()

    error = fails(face, cut, retries=3)
    assert isinstance(error, UnavailableError)
    assert not error.never_ran
    assert "tried" not in error.details()


def test_a_call_that_runs_when_its_time_passes_or_its_client_closes_is_not_said_to_have_not(
    face: Face, host: str
) -> None:
    handler = GatedHandler()
    with PolicyServer(handler, host=host, port=0) as server:
        with pytest.raises(DeadlineExceededError) as raised:
            face.client(server).predict_action(BATCH, timeout=0.2)
        assert not raised.value.never_ran
        handler.let_end()


def test_what_may_still_leave_when_this_side_closes_is_not_said_to_have_not_left(
    face: Face, sent: threading.Event, tls: Authority | None
) -> None:
    def break_the_protocol(peer: Peer) -> None:
        widen(peer, sent)
        peer.sock.sendall(raw_frame(0, 0, b"\0"))  # DATA on stream 0
        peer.wait_closed()

    error = fails_large(face, tls, break_the_protocol)
    assert "broke the protocol" in error.details()
    assert not error.never_ran


@pytest.mark.parametrize("joined", [False, True])
def test_a_request_of_which_the_socket_took_the_end_late_may_have_run(
    face: Face, sent: threading.Event, joined: bool, tls: Authority | None
) -> None:
    def cut(peer: Peer) -> None:
        widen(peer, sent)
        peer.wait_for(StreamEnded)
        peer.close()

    assert not fails_large(face, tls, cut, joined=joined).never_ran


# ---------------------------------------------------------------- moved to another connection


def test_a_call_that_a_leaving_server_did_not_take_is_sent_on_another_connection(
    face: Face,
) -> None:
    def leave(peer: Peer) -> None:
        peer.wait_for(StreamEnded)
        goaway(peer, 0)
        peer.wait_closed()

    with RawServer(leave, answer) as server:
        client = face.client(server.port)
        assert client.predict_action(BATCH).shape == (1, 1)
        client.close()
    error = fails(face, leave, leave)
    assert "before it took the call" in error.details()
    assert error.never_ran


def test_a_goaway_amid_a_request_that_it_takes_lets_it_end_and_else_moves_it(face: Face) -> None:
    def leave(last: int) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            stream_id = narrow(peer)
            goaway(peer, last)
            if last:
                peer.h2.increment_flow_control_window(10**6, stream_id)
                peer.flush()
                answer(peer)
            else:
                peer.wait_closed()

        return script

    def begin_and_answer(peer: Peer) -> None:
        peer.start()
        answer(peer)

    for scripts in ([leave(1)], [leave(0), begin_and_answer]):
        with RawServer(*scripts, quiet=True) as server:
            client = face.client(server.port)
            assert client.predict_action(BATCH).shape == (1, 1)
            client.close()


def test_a_call_refused_by_a_connection_that_goes_away_is_sent_on_another(face: Face) -> None:
    def leave(peer: Peer) -> None:
        stream_id = peer.wait_for(StreamEnded).stream_id
        goaway(peer, stream_id)
        peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
        peer.flush()
        peer.wait_closed()

    with RawServer(leave, answer) as server:
        client = face.client(server.port)
        assert client.predict_action(BATCH).shape == (1, 1)
        client.close()


def test_a_call_refused_by_a_connection_that_stays_is_sent_on_it_again(face: Face) -> None:
    def refuse_once(peer: Peer) -> None:
        peer.h2.reset_stream(peer.wait_for(StreamEnded).stream_id, ErrorCodes.REFUSED_STREAM)
        peer.flush()
        answer(peer)

    with RawServer(refuse_once) as server:
        client = face.client(server.port)
        assert client.predict_action(BATCH).shape == (1, 1)
        client.close()


# ---------------------------------------------------------------- cut at every byte


class Cut:
    """Calls a real server through a proxy that cuts, and compares claim and truth."""

    def __init__(self) -> None:
        self.handler = RecordingHandler()
        self.server = PolicyServer(self.handler, port=0)
        self._numbers = iter(range(1, 10**9))

    def call(self, make_face: type[Face], **cut: Any) -> tuple[RemoteError | None, list[int]]:
        """Returns the error, if any, and the bytes that were passed on."""
        number = next(self._numbers)
        face = make_face()
        error = None
        with CuttingProxy(self.server.port, **cut) as proxy:
            try:
                face.client(proxy.port).predict_action([{"n": number}])
            except RemoteError as raised:
                error = raised
            finally:
                face.close()
        ran = self._ran(number)
        assert error is not None or ran
        if error is not None and error.never_ran:
            assert not ran, (cut, error)
        return error, proxy.passed

    def _ran(self, number: int) -> bool:
        # First come first served: what the server has taken before has run after this.
        face = FACES[0]()
        face.client(self.server).predict_action([{"n": 0}])
        face.close()
        return any(p.observations[0]["n"] == number for p in self.handler.predictions)


@pytest.fixture(scope="module")
def cut() -> Iterator[Cut]:
    cut = Cut()
    with cut.server:
        yield cut


@pytest.mark.parametrize("make_face", FACES)
def test_no_call_that_ran_is_said_to_have_not_wherever_its_request_is_cut(
    cut: Cut, make_face: type[Face]
) -> None:
    _, (size, _) = cut.call(make_face)
    assert size > 200
    errors = [cut.call(make_face, cut_request=n)[0] for n in range(size)]
    # Before the client's greeting is through there is no connection, and at the end of the
    # request nobody can know. After it the client says goodbye.
    assert errors[0] is not None
    assert errors[0].never_ran
    assert any(error is not None and not error.never_ran for error in errors)
    assert errors[-1] is None


@pytest.mark.parametrize("make_face", FACES)
@settings(max_examples=100)
@given(n=st.integers(0, 400), hard=st.booleans(), request_too=st.booleans())
def test_no_call_that_ran_is_said_to_have_not_whatever_is_cut(
    cut: Cut, make_face: type[Face], n: int, hard: bool, request_too: bool
) -> None:
    if request_too:
        cut.call(make_face, cut_request=n, hard=hard)
    else:
        cut.call(make_face, cut_response=n, hard=hard)
