# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from faces import FACES, Face
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote import CallTiming, PolicyServer, ServerTiming, current_request, errors
from praxis_remote.calls import METHODS
from praxis_remote.codec import encode_predict_request
from praxis_remote.testing import RecordingHandler
from praxis_remote.timing import decode_server_timing, encode_server_timing

# Of a second, as the trailer has them.
STEP = 1e-6

ONE = [{"observation.state": np.zeros(7, np.float32)}]

seconds = st.floats(0, 1e5)


@pytest.fixture(params=FACES, ids=lambda face: face.__name__)
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    face: Face = request.param()
    yield face
    face.close()


# ------------------------------------------------------------------ text


@given(st.lists(seconds, min_size=1, max_size=6).map(sorted))
def test_a_trailer_says_all_phases_to_the_microsecond(marks: list[float]) -> None:
    read = decode_server_timing(encode_server_timing(marks))
    assert read is not None
    assert read == pytest.approx(ServerTiming.between(marks), abs=STEP)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("infer;dur=2", ServerTiming(infer=2e-3)),
        (' infer;desc="a policy";dur=2.5 ,x', ServerTiming(infer=2.5e-3)),
        ('infer;dur="2.5"', ServerTiming(infer=2.5e-3)),
        ("cache;dur=9, queue; dur = 1", ServerTiming(queue=1e-3)),
        ("", None),
        ("cache;dur=9", None),
        ("infer", None),
        ("infer;dur=", None),
        ("infer;dur=1.2.3", None),
        ("infer;dur=-1", None),
        ("infer;dur=nan", None),
        ("infer;dur=1," + 2000 * "a" + ", encode;dur=2", ServerTiming(infer=0.001)),
    ],
)
def test_what_others_write_is_read_where_it_means_our_phases(
    text: str, expected: ServerTiming | None
) -> None:
    assert decode_server_timing(text) == expected


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    timing = decode_server_timing(text)
    assert timing is None or all(phase >= 0 for phase in timing)


def test_phases_that_were_not_reached_took_no_time() -> None:
    assert ServerTiming.between([1.0]) == ServerTiming()
    assert ServerTiming.between([1.0, 1.5, 3.5]) == ServerTiming(receive=0.5, decode=2.0)


def test_the_network_is_what_client_and_server_leave() -> None:
    said = encode_server_timing([0, 0.5, 0.75, 0.75, 1.75, 2])
    timing = CallTiming.between("Predict", 10, 11, 15, 15.5, said)
    assert timing[:5] == ("Predict", 5.5, 1, 2, 0.5)


def test_the_network_is_never_below_nothing_where_clocks_disagree() -> None:
    said = encode_server_timing([0, 0, 0, 0, 9])
    assert CallTiming.between("Predict", 0, 1, 2, 3, said).network == 0


def test_where_the_server_says_nothing_its_work_counts_as_network() -> None:
    assert CallTiming.between("Reset", 0, 1, 4, 4, "") == ("Reset", 4, 1, 3, 0, None)


# ------------------------------------------------------------------ calls


def test_a_client_knows_where_the_time_of_each_method_went(face: Face) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server:
        client = face.client(server)
        assert client.last_timing is None
        calls: list[tuple[Callable[[], object], str]] = [
            (lambda: client.predict_action(ONE), "Predict"),
            (lambda: client.predict_action_from_parts([1.0]), "Predict"),
            (client.reset, "Reset"),
            (client.health_check, "HealthCheck"),
        ]
        for call, method in calls:
            call()
            timing: Any = client.last_timing
            assert timing.method == method
            assert timing.server is not None
            parts = timing.encode + timing.network + timing.server.total + timing.decode
            assert parts == pytest.approx(timing.total, abs=6 * STEP)


def test_what_cannot_be_told_of_timing_is_an_error_before_the_policy_is_called(face: Face) -> None:
    policy = RecordingHandler()
    with PolicyServer(policy, port=0) as server:
        client = face.client(server)
        with pytest.raises(TypeError, match="on_timing: int; pass a function of one CallTiming"):
            client.predict_action(ONE, on_timing=3)
    assert policy.predictions == []


def test_inference_is_at_least_as_long_as_the_policy_worked(face: Face) -> None:
    worked: list[float] = []

    def work(_: Any) -> Any:
        begun = time.monotonic()
        np.linalg.svd(np.ones((60, 60)))
        worked.append(time.monotonic() - begun)
        return np.zeros(1)

    with PolicyServer(RecordingHandler(work), port=0) as server:
        client = face.client(server)
        client.predict_action(ONE)
    assert client.last_timing.server.infer >= worked[0] - STEP


def test_who_is_told_of_the_timing_is_told_of_each_call_the_client_first(face: Face) -> None:
    told: list[tuple[str, CallTiming]] = []
    with PolicyServer(RecordingHandler(), port=0) as server:
        client = face.client(server, on_timing=lambda timing: told.append(("client", timing)))
        client.predict_action(ONE, on_timing=lambda timing: told.append(("call", timing)))
        client.predict_action_from_parts([1.0], on_timing=lambda t: told.append(("parts", t)))
        client.reset()
    assert [who for who, _ in told] == ["client", "call", "client", "parts", "client"]
    assert told[0][1] == told[1][1]
    assert told[-1][1] == client.last_timing


def test_a_call_that_fails_has_no_timing(face: Face) -> None:
    def refuse(_: Any) -> Any:
        raise ValueError("no")

    with PolicyServer(RecordingHandler(refuse), port=0) as server:
        told: list[CallTiming] = []
        client = face.client(server, on_timing=told.append)
        with pytest.raises(errors.InvalidArgumentError):
            client.predict_action(ONE)
    assert not told
    assert client.last_timing is None


def test_metadata_of_one_call_reaches_the_policy_after_that_of_the_client(face: Face) -> None:
    seen: list[Any] = []

    def note(_: Any) -> Any:
        seen.append([pair for pair in current_request().metadata if pair[0] in ("a", "b")])
        return np.zeros(1)

    with PolicyServer(RecordingHandler(note), port=0) as server:
        client = face.client(server, metadata={"a": "1"})
        client.predict_action(ONE, metadata={"b": "2"})
        client.predict_action(ONE)
        with pytest.raises(ValueError, match="metadata"):
            client.predict_action(ONE, metadata={"B": "2"})
    assert seen == [[("a", "1"), ("b", "2")], [("a", "1")]]


def test_a_policy_can_learn_how_long_its_request_has_waited(face: Face) -> None:
    seen: list[ServerTiming] = []

    def note(_: Any) -> Any:
        seen.append(current_request().timing)
        return np.zeros(1)

    with PolicyServer(RecordingHandler(note), port=0) as server:
        client = face.client(server)
        client.predict_action(ONE)
    (timing,) = seen
    assert timing.queue > 0
    assert timing[:3] == pytest.approx(client.last_timing.server[:3], abs=STEP)
    assert timing[3:] == (0, 0)


def raw_call(server: PolicyServer, path: str, request: bytes) -> Any:
    """Returns grpcio's finished call, or its error."""
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(path, bytes, bytes)
        try:
            return call.with_call(request, timeout=30)[1]
        except grpc.RpcError as error:
            return error


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_grpcio_sees_the_phases_in_the_trailing_metadata_of_every_reply(method: Any) -> None:
    request = b"".join(encode_predict_request(ONE, None, None)) if method.name == "Predict" else b""
    with PolicyServer(RecordingHandler(), port=0) as server:
        trailers = dict(raw_call(server, method.path, request).trailing_metadata())
    assert decode_server_timing(trailers["server-timing"]) is not None


@pytest.mark.parametrize("path", ["/praxis_remote.PolicyService/Predict", "/nothing/Here"])
def test_grpcio_sees_them_in_replies_that_are_errors(path: str) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server:
        error = raw_call(server, path, b"\xff\xff")
    assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)
    assert decode_server_timing(dict(error.trailing_metadata())["server-timing"]) is not None
