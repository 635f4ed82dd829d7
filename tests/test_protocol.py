# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
from pathlib import Path

import praxis_remote
from praxis_remote import PolicyClient, PolicyHandler, PolicyServer
from praxis_remote.testing import RecordingHandler


def test_any_object_with_the_three_methods_is_a_policy() -> None:
    assert isinstance(RecordingHandler(), PolicyHandler)
    assert not isinstance(object(), PolicyHandler)


def test_the_names_and_defaults_are_those_that_users_of_0_1_1_have_in_their_code() -> None:
    def parameters(function: object) -> str:
        signature = inspect.signature(function)  # type: ignore[arg-type]
        return ", ".join(
            ("*" if p.kind is p.KEYWORD_ONLY else "")
            + p.name
            + ("" if p.default is p.empty else f"={p.default!r}")
            for p in signature.parameters.values()
        )

    assert parameters(PolicyClient).startswith("host='localhost', port=50051, *timeout=None")
    assert parameters(PolicyClient.predict_action) == (
        "self, observations, *policy_kwargs=None, *episode_ids=None, *timeout=None, "
        "*retries=None, *metadata=None, *on_timing=None"
    )
    assert parameters(PolicyClient.predict_action_from_parts) == (
        "self, state=None, images=None, task_description=None, "
        "*policy_kwargs=None, *episode_id=None, *timeout=None, "
        "*retries=None, *metadata=None, *on_timing=None"
    )
    assert parameters(PolicyClient.reset) == "self, *episode_ids=None, *timeout=None, *retries=None"
    assert parameters(PolicyClient.health_check) == "self, *timeout=None, *retries=None"
    assert parameters(PolicyServer).startswith("handler, *host='127.0.0.1', *port=50051")
    assert parameters(PolicyServer.serve) == "self, *block=True"
    assert parameters(PolicyServer.stop) == "self, *grace=0"
    for method in (PolicyHandler.predict_action, RecordingHandler.predict_action):
        assert parameters(method) == "self, observations, *policy_kwargs=None, *episode_ids=None"


def test_every_name_of_0_1_1_is_still_exported() -> None:
    assert {
        "Observation",
        "ObservationValue",
        "PolicyClient",
        "PolicyHandler",
        "PolicyServer",
        "PolicyKwargValue",
        "__version__",
        "build_observation",
    } <= set(praxis_remote.__all__)


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(praxis_remote.__file__).with_name("py.typed").is_file()
