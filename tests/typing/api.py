# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Never run: `make types` checks that the public types say what users rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

from praxis_remote import (
    AsyncPolicyClient,
    Observation,
    PolicyClient,
    PolicyHandler,
    PolicyServer,
    RemoteError,
    build_observation,
    current_request,
)
from praxis_remote.errors import StatusCode
from praxis_remote.protocol import SpecHandler
from praxis_remote.schema import (
    DType,
    Empty,
    HealthResponse,
    PolicyServiceStub,
    PredictRequest,
    PredictResponse,
    Tensor,
)
from praxis_remote.schema.generated_monitor import StatusResponse
from praxis_remote.serialization import decode_numpy_array, decode_request, encode_request
from praxis_remote.specs import (
    FlagSpec,
    KwargSpec,
    NumberSpec,
    ObservationSpec,
    TensorSpec,
    TextSpec,
)
from praxis_remote.stub import BlockingPolicyServiceStub
from praxis_remote.testing import RecordingHandler, SpecifiedHandler


def blocking(client: PolicyClient, image: npt.NDArray[np.uint8]) -> None:
    action = client.predict_action(
        [{"image": image, "task": "go", "grip": True, "n": 1, "x": 0.5, "f": np.float32(1)}],
        policy_kwargs={"k": [1, None, {"nested": ("a", 2.5)}]},
        episode_ids=("a",),
        timeout=1.0,
    )
    assert_type(action, npt.NDArray[Any])
    assert_type(client.predict_action_from_parts(image, {"front": image}), npt.NDArray[Any])
    assert_type(client.health_check(), tuple[bool, str])
    assert_type(client.reset(episode_ids=["a"]), bool)
    assert_type(client.wait_ready(5), str)
    assert_type(client.status(seconds=60), StatusResponse)
    assert_type(client.observation_spec(), ObservationSpec | None)
    assert_type(client.check({"image": image, "task": "go"}, {"k": 1}), bool)
    assert_type(client.check([{"image": image}], timeout=1.0), bool)
    assert_type(client.session_id, str)
    assert_type(client.stub, BlockingPolicyServiceStub)
    assert_type(client.stub.predict(PredictRequest()), PredictResponse)
    assert_type(client.stub.health_check(Empty(), timeout=1), HealthResponse)
    with client as entered:
        assert_type(entered, PolicyClient)


async def awaiting(client: AsyncPolicyClient, observation: Observation) -> None:
    assert_type(await client.predict_action([observation]), npt.NDArray[Any])
    assert_type(await client.health_check(), tuple[bool, str])
    assert_type(await client.status(), StatusResponse)
    assert_type(await client.observation_spec(), ObservationSpec | None)
    assert_type(await client.check(observation, policy_kwargs=None), bool)
    assert_type(client.stub, PolicyServiceStub)
    assert_type(await client.stub.predict(PredictRequest()), PredictResponse)
    async with client as entered:
        assert_type(entered, AsyncPolicyClient)


def whatever_an_array_is_made_of(client: PolicyClient) -> None:
    mixed = {"observation.state": [0.1, 0.2], "task": "lift"}
    client.predict_action([mixed])
    client.predict_action([{"observation.state": [0.1, 0.2], "n": 1}])


class Narrow:
    """A policy that declares exactly what comes."""

    def predict_action(
        self,
        observations: list[dict[str, Any]],
        *,
        policy_kwargs: dict[str, Any] | None = None,
        episode_ids: tuple[str, ...] | None = None,
    ) -> npt.NDArray[np.float32]:
        return np.zeros(len(observations), np.float32)

    def reset(self, episode_ids: tuple[str, ...] | None = None) -> None: ...

    def model_info(self) -> str:
        return ""


class Wide:
    """A policy that takes more than comes."""

    def predict_action(
        self,
        observations: Sequence[Mapping[str, Any]],
        *,
        policy_kwargs: Mapping[str, Any] | None = None,
        episode_ids: Sequence[str] | None = None,
    ) -> npt.NDArray[Any]:
        return np.zeros(len(observations))

    def reset(self, episode_ids: Sequence[str] | None = None) -> None: ...

    def model_info(self) -> str:
        return ""


class Specified(Narrow):
    """A policy that says what it expects."""

    def observation_spec(self) -> ObservationSpec:
        return ObservationSpec(
            {
                "state": TensorSpec("float32", (7,)),
                "image": TensorSpec([np.uint8, np.dtype("float32")], (..., "H", None, 3)),
                "task": TextSpec(required=False),
                "grip": FlagSpec(),
                "n": NumberSpec(whole=True),
            },
            extra_keys=False,
            policy_kwargs={"t": KwargSpec(["number", "null"]), "mode": KwargSpec("text")},
        )


def what_a_policy_expects() -> None:
    handler: SpecHandler = Specified()
    PolicyServer(handler)
    spec = ObservationSpec.of({"state": [0.5], "task": "go"})
    PolicyServer(SpecifiedHandler(spec))
    assert_type(spec.as_dict(), dict[str, Any])
    TensorSpec("float32", 7)  # type: ignore[arg-type]
    KwargSpec("integer")  # type: ignore[arg-type]


def any_policy_may_be_served() -> None:
    PolicyServer(Narrow())
    PolicyServer(Wide())


def serving(handler: PolicyHandler) -> None:
    with PolicyServer(handler, host="0.0.0.0", port=0) as server:
        assert_type(server, PolicyServer)
        assert_type(server.port, int)
        server.stop(grace=1.5)
    PolicyServer(RecordingHandler(), host="unix:policy.sock")
    PolicyServer(RecordingHandler())
    PolicyServer(object())  # type: ignore[arg-type]


def inside_a_policy() -> None:
    request = current_request()
    assert_type(request.remaining(), float | None)
    assert_type(request.metadata, tuple[tuple[str, str | bytes], ...])


def messages() -> None:
    tensor = Tensor(data=b"", shape=[0], dtype=DType.DTYPE_FLOAT32)
    assert_type(decode_numpy_array(tensor), npt.NDArray[Any])
    assert_type(build_observation(state=[1.0, 2.0]), Observation)
    assert_type(encode_request([{"a": 1}]), PredictRequest)
    assert_type(decode_request(PredictRequest())[0], list[Observation])


def failing(client: PolicyClient) -> None:
    try:
        client.health_check()
    except RemoteError as error:
        assert_type(error.code(), StatusCode)
        assert_type(error.details(), str)
        assert_type(error.address, str | None)
