# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""grpc-js, an HTTP/2 stack of its own, calls our server by our ``.proto``."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registry import give_up, npm_project

from praxis_remote import PolicyServer, current_request
from praxis_remote.schema import include_path

from .endpoints import PEERS, Peer
from .peers.known_calls import TEXT, Policy, describe

pytestmark = pytest.mark.registry

PACKAGES = ["@grpc/grpc-js@1.12.2", "@grpc/proto-loader@0.7.13"]
STATE = np.arange(8, dtype=np.float32) / 3


class EchoPolicy(Policy):
    """A policy that returns what it got under ``a``, and keeps the request's metadata."""

    def predict_action(self, observations: Any, **keywords: Any) -> Any:
        self.metadata = dict(current_request().metadata)
        if "a" in observations[0]:
            self.does = lambda: observations[0]["a"]
        return super().predict_action(observations, **keywords)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    program = shutil.which("node")
    if program is None:
        give_up("node is not installed")
    modules = npm_project("grpc-js", PACKAGES) / "node_modules"
    log = tmp_path_factory.mktemp("node") / "log"
    command: list[str | Path] = [program, PEERS / "node_client.js"]
    with Peer(command, log, {"NODE_PATH": str(modules)}) as peer:
        yield peer


@pytest.fixture
def policy() -> EchoPolicy:
    return EchoPolicy()


@pytest.fixture
def client(node: Peer, policy: EchoPolicy) -> Iterator[Peer]:
    """The process, connected to a server of the policy."""
    with PolicyServer(policy, port=0) as server:
        connect(node, server)
        yield node
        policy.go_on.set()


def connect(node: Peer, server: PolicyServer, **options: Any) -> None:
    options = {"grpc.max_receive_message_length": -1, **options}
    node.ask("connect", include=str(include_path()), port=server.port, options=options)


def tensor(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Returns an array as proto-loader takes a tensor."""
    return {
        "data": {"base64": base64.b64encode(array.tobytes()).decode()},
        "shape": [str(length) for length in array.shape],
        "dtype": f"DTYPE_{array.dtype.name.upper()}",
    }


def named(key: str, array: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"key": key, "tensor": tensor(array)}


def predict_request(**observation: Any) -> dict[str, Any]:
    return {"observations": [observation]}


def test_every_kind_of_value_arrives_and_an_action_comes_back(
    client: Peer, policy: EchoPolicy
) -> None:
    image = (np.arange(2 * 224 * 224 * 3) % 256).astype(np.uint8).reshape(2, 224, 224, 3)
    request = {
        "observations": [
            {
                "tensors": [
                    named("observation.state", STATE),
                    named("observation.images", image),
                    named("flags", np.array([True, False])),
                    named("ids", np.array([-(2**63), 2**63 - 1])),
                ],
                "strings": [{"key": "task", "value": TEXT}],
                "scalars": [
                    {"key": "count", "value": {"int_value": str(2**63 - 1)}},
                    {"key": "scale", "value": {"float_value": 0.1}},
                    {"key": "done", "value": {"bool_value": False}},
                ],
            },
            {},
        ],
        "policy_kwargs": {
            "none": {"null_value": "NULL_VALUE"},
            "steps": {"int_value": "0"},
            "modes": {"list_value": {"values": [{"string_value": "x"}, {"bool_value": True}]}},
            "deep": {"struct_value": {"fields": {"ä": {"float_value": -1.5}}}},
        },
        "episode_ids": ["a", "ü"],
    }
    answer = client.ask("call", method="Predict", request=request)
    action = np.arange(14, dtype=np.float32).reshape(2, 7)
    assert answer == {"returned": {"action": tensor(action)}}
    observation = {
        "observation.state": STATE,
        "observation.images": image,
        "flags": np.array([True, False]),
        "ids": np.array([-(2**63), 2**63 - 1]),
        "task": TEXT,
        "count": 2**63 - 1,
        "scale": 0.1,
        "done": False,
    }
    policy_kwargs = {"none": None, "steps": 0, "modes": ["x", True], "deep": {"ä": -1.5}}
    keywords = {"policy_kwargs": policy_kwargs, "episode_ids": ("a", "ü")}
    assert policy.seen == [
        ["predict_action", describe(([observation, {}],)), describe(keywords)],
    ]


def test_reset_and_health_check_answer(client: Peer, policy: EchoPolicy) -> None:
    for ids in (["a", "b"], []):
        answer = client.ask("call", method="Reset", request={"episode_ids": ids})
        assert answer == {"returned": {"success": True}}
    assert [keywords for _, _, keywords in policy.seen] == [
        describe({"episode_ids": ("a", "b")}),
        describe({"episode_ids": None}),
    ]
    answer = client.ask("call", method="HealthCheck", request={})
    assert answer == {"returned": {"ready": True, "model_info": "interop 🤖"}}


def test_metadata_reaches_the_policy(client: Peer, policy: EchoPolicy) -> None:
    every_byte = bytes(range(256))
    encoded = {"base64": base64.b64encode(every_byte).decode()}
    pairs = [["robot", "arm-7"], ["map-bin", encoded]]
    client.ask("call", method="Predict", request=predict_request(), metadata=pairs)
    # grpc-js sends headers of its own as well.
    assert policy.metadata | {"robot": "arm-7", "map-bin": every_byte} == policy.metadata


def test_a_bad_tensor_is_the_callers_fault(client: Peer, policy: EchoPolicy) -> None:
    bad = tensor(STATE) | {"shape": ["9"]}
    request = predict_request(tensors=[{"key": "a", "tensor": bad}])
    answer = client.ask("call", method="Predict", request=request)
    assert answer["status"] == "INVALID_ARGUMENT"
    assert "36 bytes, but 32 bytes" in answer["details"]
    assert policy.seen == []


def test_the_text_of_an_error_arrives_as_it_is(client: Peer, policy: EchoPolicy) -> None:
    def fail() -> None:
        raise RuntimeError("ü 🤖 100%\n%41")

    policy.does = fail
    answer = client.ask("call", method="Reset", request={})
    assert answer == {"status": "INTERNAL", "details": "ü 🤖 100%\n%41"}


def test_a_late_answer_is_a_deadline_exceeded(client: Peer, policy: EchoPolicy) -> None:
    policy.go_on.clear()
    answer = client.ask("call", method="Predict", request=predict_request(), timeout_ms=200)
    assert answer["status"] == "DEADLINE_EXCEEDED"
    policy.go_on.set()
    assert "returned" in client.ask("call", method="Predict", request=predict_request())


@pytest.mark.parametrize("size", [65_535, 5_000_000, 20_000_000])
def test_a_message_of_many_frames_goes_over_in_both_directions(
    client: Peer, policy: EchoPolicy, size: int
) -> None:
    large = {"data": {"ramp": size}, "shape": [str(size)], "dtype": "DTYPE_UINT8"}
    request = predict_request(tensors=[{"key": "a", "tensor": large}])
    answer = client.ask("call", method="Predict", request=request)
    expected = (np.arange(size) % 251).astype(np.uint8)
    assert policy.seen[0][1] == describe(([{"a": expected}],))
    data = {"sha256": hashlib.sha256(expected.tobytes()).hexdigest(), "length": size}
    assert answer == {
        "returned": {"action": {"data": data, "shape": [str(size)], "dtype": "DTYPE_UINT8"}}
    }


def test_a_request_over_the_limit_costs_only_itself(node: Peer, policy: EchoPolicy) -> None:
    with PolicyServer(policy, port=0, max_message_size=100_000) as server:
        connect(node, server)
        large = {"data": {"ramp": 5_000_000}, "shape": ["5000000"], "dtype": "DTYPE_UINT8"}
        request = predict_request(tensors=[{"key": "a", "tensor": large}])
        answer = node.ask("call", method="Predict", request=request)
        assert answer["status"] == "RESOURCE_EXHAUSTED"
        assert "returned" in node.ask("call", method="Predict", request=predict_request())


def test_compressed_calls_are_understood(node: Peer, policy: EchoPolicy) -> None:
    with PolicyServer(policy, port=0) as server:
        connect(node, server, **{"grpc.default_compression_algorithm": 2})
        request = predict_request(tensors=[named("a", np.zeros((100, 3), np.float32))])
        answer = node.ask("call", method="Predict", request=request)
    assert answer["returned"]["action"]["shape"] == ["100", "3"]


def test_fifty_calls_at_once_each_get_their_own_answer(client: Peer) -> None:
    calls = [
        {"method": "Predict", "request": predict_request(tensors=[named("a", STATE + index)])}
        for index in range(50)
    ]
    answers = client.ask("calls", all=calls)
    assert answers == [{"returned": {"action": tensor(STATE + index)}} for index in range(50)]
