# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
import time
from typing import Any

import betterproto
import grpclib.const
import numpy as np
import pytest
from faces import Face
from grpclib.metadata import Deadline as GrpclibDeadline
from http2_peers import RawServer, framed
from test_http2 import HEADERS, OK, data, headers, respond_with

from praxis_remote import PolicyServer, current_request
from praxis_remote.errors import (
    BadResponseError,
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidValueError,
    UnavailableError,
    UnimplementedError,
)
from praxis_remote.schema import (
    Empty,
    PolicyServiceStub,
    PredictRequest,
    PredictResponse,
    ResetRequest,
    Tensor,
)
from praxis_remote.serialization import decode_numpy_array, encode_request
from praxis_remote.stub import BlockingPolicyServiceStub, _StubChannel
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler

WAIT = 30.0


def test_messages_go_in_and_out(face: Face) -> None:
    handler = RecordingHandler(lambda _: np.arange(6).reshape(2, 3))
    with PolicyServer(handler, port=0) as server:
        stub = face.client(server).stub
        request = encode_request([{"a": np.ones(3)}], policy_kwargs={"k": [1]}, episode_ids=["e"])
        response = stub.predict(request)
        assert isinstance(response, PredictResponse)
        assert np.array_equal(decode_numpy_array(response.action), [[0, 1, 2], [3, 4, 5]])
        assert stub.reset(ResetRequest(episode_ids=["e"])).success is True
        health = stub.health_check(Empty())
        assert (health.ready, health.model_info) == (True, "RecordingHandler")
    (prediction,) = handler.predictions
    assert (prediction.policy_kwargs, prediction.episode_ids) == ({"k": [1]}, ("e",))
    assert handler.resets == [("e",)]


def test_errors_are_those_of_this_package(face: Face) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server:
        client = face.client(server)
        with pytest.raises(InvalidArgumentError, match="batch is empty"):
            client.stub.predict(PredictRequest())
    with pytest.raises(UnavailableError):
        client.stub.health_check(Empty())


def test_timeout_deadline_and_metadata_are_sent(face: Face) -> None:
    seen: list[Any] = []

    def answer(_: Prediction) -> Any:
        request = current_request()
        seen.append((request.remaining(), dict(request.metadata)))
        return np.zeros(1)

    with PolicyServer(RecordingHandler(answer), port=0) as server:
        client = face.client(server, metadata={"robot": "left"})
        request = encode_request([{"a": 1}])
        client.stub.predict(request)
        client.stub.predict(request, timeout=5, metadata={"arm": "2"})
        client.stub.predict(request, deadline=GrpclibDeadline.from_timeout(3))
        client.stub.predict(request, timeout=2, deadline=GrpclibDeadline.from_timeout(9))
    remaining = [first for first, _ in seen]
    for left, most in zip(remaining, (WAIT, 5, 3, 2), strict=True):
        assert 0 < left <= most + 1e-3
    always = {"robot": "left", "praxis-session-id": client.session_id}
    assert [metadata for _, metadata in seen] == [always, {**always, "arm": "2"}, always, always]


def test_a_timeout_holds(face: Face) -> None:
    handler = GatedHandler()
    with PolicyServer(handler, port=0) as server:
        stub = face.client(server).stub
        began = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            stub.predict(encode_request([{"a": 1}]), timeout=0.1)
        assert time.monotonic() - began < WAIT
        handler.let_end()


def test_a_message_that_cannot_be_sent_is_an_error_that_names_the_field(face: Face) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server:
        stub = face.client(server).stub
        request = encode_request([{"a": 1}])
        request.observations[0].scalars[0].value.int_value = 2**70
        with pytest.raises(InvalidValueError, match="int_value"):
            stub.predict(request)


def test_what_arrives_is_read_strictly(face: Face) -> None:
    # betterproto's own parser takes this for a tensor of two bytes.
    cut_off = b"\x0a\x04" + b"\x0a\x05\xaa\xbb"
    script = respond_with(headers(*HEADERS), data(framed(cut_off)), headers(*OK, end=True))
    with RawServer(script) as server:
        client = face.client(server.port)
        with pytest.raises(BadResponseError, match="PredictResponse") as raised:
            client.stub.predict(encode_request([{"a": 1}]))
        assert raised.value.address == f"127.0.0.1:{server.port}"
        client.close()


def test_only_unary_calls_are_carried() -> None:
    channel = _StubChannel(None)  # type: ignore[arg-type]
    with pytest.raises(UnimplementedError, match="unary"):
        channel.request("/a/b", grpclib.const.Cardinality.UNARY_STREAM, Tensor, Tensor)


@pytest.mark.parametrize("name", ["predict", "reset", "health_check"])
def test_the_blocking_twin_has_the_stubs_methods_and_types(name: str) -> None:
    blocking = inspect.signature(getattr(BlockingPolicyServiceStub, name))
    generated = inspect.signature(getattr(PolicyServiceStub, name))

    def shape(signature: inspect.Signature) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in signature.parameters.values()]

    assert shape(blocking) == shape(generated)
    messages = [list(s.parameters.values())[1].annotation for s in (blocking, generated)]
    assert messages[0] == messages[1].strip('"')
    assert blocking.return_annotation == generated.return_annotation.strip('"')


def test_the_twin_has_a_method_for_each_of_the_stubs() -> None:
    def methods(kind: type) -> set[str]:
        inherited = set(dir(betterproto.ServiceStub)) | set(dir(object))
        return {name for name in dir(kind) if not name.startswith("_") and name not in inherited}

    assert methods(BlockingPolicyServiceStub) == methods(PolicyServiceStub)
