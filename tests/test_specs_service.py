# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A server checks requests against what its policy says, and clients learn it before."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import numpy as np
import pytest
from faces import Face
from hosts import LOOPBACK, unused_port

from praxis_remote import PolicyClient, PolicyServer, Stage, wire
from praxis_remote.calls import GET_OBSERVATION_SPEC, GET_STATUS, PREDICT
from praxis_remote.codec import QUICK_ITEMS, PredictCall
from praxis_remote.errors import (
    BadResponseError,
    DeadlineExceededError,
    HandlerError,
    InvalidArgumentError,
    InvalidValueError,
    RequestRefusedError,
    UnavailableError,
    UnsupportedTypeError,
)
from praxis_remote.protocol import SpecHandler
from praxis_remote.schema import DType, PredictResponse, Tensor
from praxis_remote.schema.generated_specs import KeySpec, SpecKind, SpecResponse
from praxis_remote.specs import KwargSpec, ObservationSpec, TensorSpec, TextSpec
from praxis_remote.specs.messages import MAX_ITEMS, encode_spec
from praxis_remote.specs.publishing import Specs
from praxis_remote.specs.spec import MAX_KEYS
from praxis_remote.testing import GatedHandler, RecordingHandler, SpecifiedHandler, connected

WAIT = 30.0
SPEC = ObservationSpec(
    {"observation.state": TensorSpec("float32", (7,)), "task": TextSpec(required=False)},
    policy_kwargs={"temperature": KwargSpec("number")},
)
OTHER = ObservationSpec({"observation.state": TensorSpec("float64", (7,))})
GOOD = {"observation.state": np.zeros(7, np.float32)}
BAD = {"observation.state": np.zeros((1, 8)), "task": 3}
WHY = (
    "the request is not what the policy expects, in 3 ways:\n"
    "1. observations[1]['observation.state']: got float64 (1, 8), expected float32 (7,); "
    "hint: x.astype('float32')\n"
    "2. observations[1]['task']: got whole number, expected text\n"
    "3. policy_kwargs['temperature']: got text, expected number"
)


class Says(RecordingHandler):
    """Says once it may, and as often as it is asked, what it is told to say."""

    def __init__(self, said: Any = SPEC) -> None:
        super().__init__()
        self.said = said
        self.asked: list[str] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def warmup(self) -> None:
        self.begun.set()
        assert self.go_on.wait(WAIT)

    def observation_spec(self) -> Any:
        self.asked.append(threading.current_thread().name)
        if isinstance(self.said, BaseException):
            raise self.said
        return self.said


class GatedSays(GatedHandler):
    def observation_spec(self) -> ObservationSpec:
        return SPEC


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


# ---------------------------------------------------------------- what is refused


def test_the_server_and_the_client_say_the_same_of_a_request_and_neither_calls_the_policy(
    host: str, face: Face
) -> None:
    policy = SpecifiedHandler(SPEC)
    assert isinstance(policy, SpecHandler)
    with PolicyServer(policy, host=host, port=0) as server:
        client = face.client(server)
        with pytest.raises(InvalidArgumentError) as refused:
            client.predict_action([GOOD, BAD], policy_kwargs={"temperature": "hot"})
        assert refused.value.details() == WHY
        assert refused.value.never_ran
        with pytest.raises(InvalidArgumentError) as found:
            client.check([GOOD, BAD], {"temperature": "hot"})
        assert str(found.value) == str(refused.value)
        assert found.value.never_ran
        assert policy.predictions == []
        assert client.check(GOOD, {"temperature": 0.5})
        client.predict_action([GOOD], policy_kwargs={"temperature": 0.5})
        client.predict_action([{**GOOD, "extra": 1}], policy_kwargs={"extra": [1]})
    assert len(policy.predictions) == 2


def test_a_wrong_request_is_refused_while_the_policy_works(pool: ThreadPoolExecutor) -> None:
    policy = GatedSays()
    with connected(policy, timeout=WAIT) as (_, client):
        running = pool.submit(client.predict_action, [GOOD])
        policy.wait_begun()
        with pytest.raises(InvalidArgumentError, match="got nothing, expected float32"):
            client.predict_action([{}])
        assert client.check(GOOD)
        assert not running.done()
        policy.let_end()
        running.result(WAIT)
    assert len(policy.predictions) == 1


def test_requests_that_come_while_the_policy_warms_up_are_checked_as_well(
    pool: ThreadPoolExecutor,
) -> None:
    policy = Says()
    policy.go_on.clear()
    with connected(policy, timeout=WAIT) as (server, client):
        assert policy.begun.wait(WAIT)
        calls = [pool.submit(client.predict_action, [each]) for each in (BAD, GOOD)]
        asking = pool.submit(client.observation_spec)
        while server.status().in_flight != 3:
            client.health_check()
        with pytest.raises(DeadlineExceededError):
            client.observation_spec(timeout=0.05)
        policy.go_on.set()
        with pytest.raises(InvalidArgumentError, match="in 2 ways"):
            calls[0].result(WAIT)
        calls[1].result(WAIT)
        assert asking.result(WAIT) == SPEC
    assert len(policy.predictions) == 1


def test_a_request_of_very_many_keys_is_checked_and_keeps_its_error_short(face: Face) -> None:
    policy = SpecifiedHandler(ObservationSpec({"a": TextSpec()}, extra_keys=False))
    many = {f"key{number}": number for number in range(QUICK_ITEMS + 1)}
    with PolicyServer(policy, port=0) as server:
        client = face.client(server)
        with pytest.raises(InvalidArgumentError) as caught:
            client.predict_action([{"a": "x", **many}])
        assert len(caught.value.details()) < 4096
        assert "in more than 1000 ways" in caught.value.details()
        client.predict_action([{"a": "x"}] * (QUICK_ITEMS + 1))
    assert len(policy.predictions) == 1


ASIDE = ["praxis-remote-decoder"]


@pytest.mark.parametrize(
    ("observations", "threads"),
    [([GOOD], []), ([GOOD] * (QUICK_ITEMS + 1), ASIDE), ([GOOD, BAD], ASIDE)],
    ids=["short", "long", "wrong"],
)
def test_what_takes_long_is_told_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, observations: list[Any], threads: list[str]
) -> None:
    told: list[str] = []
    check = Specs.check

    def note(specs: Specs, request: PredictCall) -> None:
        told.append(threading.current_thread().name)
        check(specs, request)

    with connected(SpecifiedHandler(SPEC), timeout=30) as (_, client):
        # From now on it is known what the policy expects.
        client.observation_spec()
        monkeypatch.setattr(Specs, "check", note)
        with suppress(InvalidArgumentError):
            client.predict_action(observations)
    assert told == threads


@pytest.mark.parametrize(
    ("observation", "error", "said"),
    [
        ([], InvalidValueError, "the batch is empty"),
        (3, UnsupportedTypeError, "a int is no batch"),
        ({**GOOD, "n": 2**63}, InvalidValueError, r"observations\[0\]\['n'\]: .* beyond int64"),
        ({1: 1, "1": 2}, InvalidValueError, "two keys are '1' as text"),
        ({**GOOD, "task": "\ud800"}, InvalidValueError, "lone surrogate"),
        ({"observation.state": [0.1] * 7}, InvalidArgumentError, "got float64"),
        ({"observation.state": None}, InvalidArgumentError, "got None, expected float32"),
        ({"observation.state": np.zeros(7, "f2")}, InvalidArgumentError, "got float16"),
    ],
)
def test_a_check_refuses_what_could_not_be_sent(
    face: Face, observation: Any, error: type[Exception], said: str
) -> None:
    with (
        PolicyServer(SpecifiedHandler(SPEC), port=0) as server,
        pytest.raises(error, match=said),
    ):
        face.client(server).check(observation)


# ---------------------------------------------------------------- who says it


def test_the_policy_is_asked_once_on_its_thread_whoever_asks(face: Face) -> None:
    policy = Says()
    with PolicyServer(policy, port=0) as server:
        for _ in range(2):
            client = face.client(server)
            assert client.observation_spec() == SPEC
            client.predict_action([GOOD])
        with (
            PolicyClient(port=server.port, timeout=WAIT) as client,
            pickle.loads(pickle.dumps(client)) as copy,
        ):
            assert copy.observation_spec() == SPEC
    assert policy.asked == [policy.predictions[0].thread]


@pytest.mark.parametrize("policy", [RecordingHandler, Says], ids=["no method", "None"])
def test_a_policy_that_says_nothing_takes_anything(policy: Callable[..., Any], face: Face) -> None:
    handler = policy() if policy is RecordingHandler else policy(None)
    with PolicyServer(handler, port=0) as server:
        client = face.client(server)
        assert client.observation_spec() is None
        assert client.check({"whatever": object()}) is False
        client.predict_action([BAD])
    assert len(handler.predictions) == 1


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (ZeroDivisionError("no config"), r"observation_spec\(\) failed: ZeroDivisionError: no con"),
        (SystemExit(), r"observation_spec\(\) failed: SystemExit$"),
        ({"a": 1}, r"observation_spec\(\) returned a dict; return a praxis_remote.specs.Observ"),
    ],
    ids=["raises", "exits", "dict"],
)
def test_a_policy_that_cannot_say_it_stops_the_server(said: Any, text: str) -> None:
    with pytest.raises(HandlerError, match=text):
        PolicyServer(Says(said), port=0).serve()
    with pytest.raises(HandlerError, match=text):
        asyncio.run(PolicyServer(Says(said), port=0).serve_async())


def test_why_a_server_stopped_where_nobody_waits_is_in_its_log(
    caplog: pytest.LogCaptureFixture, pool: ThreadPoolExecutor
) -> None:
    policy = Says(OSError("no config"))
    policy.go_on.clear()
    with connected(policy, timeout=WAIT) as (server, client):
        call = pool.submit(client.predict_action, [GOOD])
        while not server.status().in_flight:
            policy.begun.wait(WAIT)
        policy.go_on.set()
        with pytest.raises(UnavailableError, match="shutting down"):
            call.result(WAIT)
        server.stop()
        assert server.stage is Stage.DRAINING
    assert policy.predictions == []
    (record,) = [r for r in caplog.records if "observation_spec() failed" in r.getMessage()]
    assert (record.levelno, record.__dict__["method"]) == (logging.ERROR, "observation_spec")


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (SPEC, "observation_spec is a ObservationSpec; the server calls it"),
        (lambda observation: SPEC, "cannot be called as"),
    ],
    ids=["not callable", "wants arguments"],
)
def test_a_method_that_cannot_be_called_is_found_when_the_server_is_made(
    method: Any, text: str
) -> None:
    policy = RecordingHandler()
    policy.__dict__["observation_spec"] = method
    with pytest.raises(TypeError, match=text):
        PolicyServer(policy, port=0)


def test_a_spec_is_told_to_nobody_without_the_token_that_calls_need() -> None:
    with PolicyServer(SpecifiedHandler(SPEC), port=0, tokens=["secret"]) as server:
        with PolicyClient(port=server.port, timeout=WAIT) as stranger:
            for ask in (stranger.observation_spec, lambda: stranger.check(GOOD)):
                with pytest.raises(RequestRefusedError, match="wants a token"):
                    ask()
        with PolicyClient(port=server.port, timeout=WAIT, token="secret") as client:
            assert client.check(GOOD)


# ---------------------------------------------------------------- what a client remembers


class Peer:
    """A server of another kind: answers with the bytes and refusals that it is given.

    Attributes:
        spec: What it says it expects: a message, bytes, or None for a method it has not.
        refuses: Whether it rejects predictions.
        asked: How often it was asked for its spec.
        predicted: How often it was sent observations.
    """

    def __init__(self) -> None:
        self.spec: SpecResponse | bytes | None = encode_spec(SPEC)
        self.refuses = False
        self.asked = self.predicted = 0

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        def get_spec(_: bytes, context: grpc.ServicerContext) -> bytes:
            assert self.spec is not None
            self.asked += 1
            return self.spec if isinstance(self.spec, bytes) else wire.write_message(self.spec)

        def predict(_: bytes, context: grpc.ServicerContext) -> bytes:
            self.predicted += 1
            if self.refuses:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
            return wire.write_message(PredictResponse(Tensor(b"\0", [1], DType.DTYPE_UINT8)))

        def get_status(_: bytes, context: grpc.ServicerContext) -> bytes:
            return b"\x5a\0" * (MAX_ITEMS + 1)

        methods = {PREDICT.path: predict, GET_STATUS.path: get_status}
        if self.spec is not None:
            methods[GET_OBSERVATION_SPEC.path] = get_spec
        method = methods.get(getattr(details, "method", ""))
        return method and grpc.unary_unary_rpc_method_handler(method)


@contextmanager
def serving(peer: Peer) -> Iterator[int]:
    """Serves what the peer says and yields the port."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            return peer.service(handler_call_details)

    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads, handlers=[Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait(WAIT)


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def peer_port(peer: Peer) -> Iterator[int]:
    with serving(peer) as port:
        yield port


def test_a_server_that_has_no_such_method_publishes_no_spec(
    peer: Peer, peer_port: int, face: Face
) -> None:
    peer.spec = None
    client = face.client(peer_port)
    assert client.observation_spec() is None
    assert client.check(BAD) is False
    client.predict_action([BAD])


def test_a_check_asks_once_and_a_question_each_time(peer: Peer, peer_port: int, face: Face) -> None:
    client = face.client(peer_port)
    client.predict_action([GOOD])
    for _ in range(3):
        assert client.check(GOOD)
    assert peer.asked == 1
    assert client.observation_spec() == client.observation_spec() == SPEC
    assert peer.asked == 3


def test_nothing_is_refused_by_a_spec_that_was_remembered(
    peer: Peer, peer_port: int, face: Face
) -> None:
    client = face.client(peer_port)
    assert client.check(GOOD)
    peer.spec = encode_spec(OTHER)
    assert client.check({"observation.state": np.zeros(7)})
    peer.spec = encode_spec(SPEC)
    assert client.check(GOOD)
    with pytest.raises(InvalidArgumentError, match="got float64"):
        client.check({"observation.state": np.zeros(7)})
    assert peer.predicted == 0


def test_a_spec_that_let_pass_what_the_server_refuses_is_forgotten(
    peer: Peer, peer_port: int, face: Face
) -> None:
    client = face.client(peer_port)
    assert client.check(GOOD)
    peer.spec, peer.refuses = encode_spec(OTHER), True
    with pytest.raises(InvalidArgumentError, match="no"):
        client.predict_action([GOOD])
    with pytest.raises(InvalidArgumentError, match="expected float64"):
        client.check(GOOD)


def test_a_server_that_was_restarted_is_asked_for_its_own_spec(face: Face) -> None:
    port = unused_port(LOOPBACK)
    double = {"observation.state": np.zeros(7)}
    with PolicyServer(SpecifiedHandler(SPEC), port=port):
        client = face.client(port)
        assert client.check(GOOD)
    with PolicyServer(SpecifiedHandler(OTHER), port=port):
        with pytest.raises(InvalidArgumentError, match="expected float64"):
            client.check(GOOD)
        assert client.check(double)
    with PolicyServer(RecordingHandler(), port=port):
        assert client.check({"anything": 1}) is False


# ---------------------------------------------------------------- servers that mean harm

TENSOR = SpecKind.TENSOR
TEXT = SpecKind.TEXT


def key(**fields: Any) -> SpecResponse:
    """Returns a message with one key."""
    one = {"key": "a", "kinds": [TENSOR], "dtypes": ["uint8"], **fields}
    return SpecResponse(published=True, observation=[KeySpec(**one)])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (key(kinds=[99]), r"observation\[0\]: kind 99, which this version of praxis-remote does"),
        (key(kinds=[-1]), r"observation\[0\]: kind -1, which"),
        (key(kinds=[]), r"observation\[0\]: kinds \[\]; a key of an observation has one"),
        (key(kinds=[TENSOR] * 5000), r"has one, of tensor"),
        (key(kinds=[6]), r"kinds \['null'\]; a key"),
        (key(dtypes=["float16"]), r"observation\[0\]: dtypes: 'float16'; supported: "),
        (key(dtypes=["complex" * 9999]), r"observation\[0\]: dtypes: "),
        (key(dtypes=[]), r"observation\[0\]: dtypes: none"),
        (key(shape=[-2]), r"observation\[0\]: shape\[0\]: -2; allowed: "),
        (key(shape=[-1], names=["x" * 41]), r"shape\[0\]: 'x+'; allowed: "),
        (key(shape=[3], names=["x" * 9999]), r"shape: 3 has the name 'x+\.\.\.'; -1 is needed"),
        (key(shape=[3], names=["", ""]), r"shape: 2 names for 1 sizes"),
        (key(shape=[1] * 65), "65 dimensions; at most 64 are allowed"),
        (
            SpecResponse(published=True, observation=[KeySpec(key="a", kinds=[TEXT])] * 2),
            "observation: a key is there twice",
        ),
        (
            SpecResponse(published=True, policy_kwargs=[KeySpec(key="a")]),
            r"policy_kwargs\[0\]: kinds: none",
        ),
        (
            SpecResponse(published=True, policy_kwargs=[KeySpec(key="a", kinds=[TENSOR])]),
            r"policy_kwargs\[0\]: kinds: 'tensor'; allowed: ",
        ),
        (
            SpecResponse(
                published=True,
                observation=[KeySpec(key=str(n), kinds=[TEXT]) for n in range(MAX_KEYS + 1)],
            ),
            f"observation: {MAX_KEYS + 1} keys; at most {MAX_KEYS} are allowed",
        ),
        (key(shape=[1] * (MAX_ITEMS + 1)), f"more than {MAX_ITEMS} items"),
        (b"\x12\xff", "SpecResponse"),
    ],
    ids=range(19),
)
def test_a_spec_that_is_none_is_an_error_of_the_server(
    peer: Peer, peer_port: int, face: Face, spec: SpecResponse | bytes, said: str
) -> None:
    peer.spec = spec
    client = face.client(peer_port)
    with pytest.raises(BadResponseError, match=said) as caught:
        client.observation_spec()
    assert len(str(caught.value)) < 1000
    with pytest.raises(BadResponseError):
        client.check(GOOD)
    # The connection is none the worse for it.
    client.predict_action([GOOD])


def test_the_largest_spec_that_a_policy_may_publish_reaches_its_callers(face: Face) -> None:
    tensor = TensorSpec(None, ["name"] * 64)
    spec = ObservationSpec({f"key{number}": tensor for number in range(MAX_KEYS)})
    with PolicyServer(SpecifiedHandler(spec), port=0) as server:
        assert face.client(server).observation_spec() == spec


def test_an_answer_of_very_many_items_is_an_error_of_the_server(peer_port: int, face: Face) -> None:
    with pytest.raises(BadResponseError, match=f"more than {MAX_ITEMS} items"):
        face.client(peer_port).status()
