# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What goes over between this package and praxis-remote 0.1.1, in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from praxis_remote import PolicyClient

from .endpoints import ROOT
from .peers.known_calls import (
    ACTIONS,
    CALLS,
    PARTS,
    RESETS,
    arrays,
    big_endian_arrays,
    describe,
)
from .sides import OURS, PAIRINGS, THEIRS, Pairing, Sides

pytestmark = pytest.mark.registry

each_pairing = pytest.mark.parametrize("pairing", PAIRINGS, ids=str)
ARRAY_ACTIONS = [f"array: {name}" for name in arrays()] + ["ordinary", "5 MB", "40 MB"]
PLAIN_ACTIONS = ["list of floats", "float", "int", "bool"]


def arrives(value: Any) -> Any:
    """Returns a value of an observation as the handler shall get it."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    array = np.asarray(value)
    return array.astype(array.dtype.newbyteorder("<"))


def kwarg_arrives(value: Any) -> Any:
    """Returns a policy keyword argument as the handler shall get it."""
    if isinstance(value, Mapping):
        return {str(key): kwarg_arrives(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [kwarg_arrives(item) for item in value]
    return None if value is None else arrives(value)


def seen_for(
    observations: Any, policy_kwargs: Any = None, episode_ids: Sequence[Any] | None = None
) -> Any:
    """Returns what a policy shall have seen of one call of `predict_action`."""
    batch = [{str(key): arrives(value) for key, value in each.items()} for each in observations]
    ids = None if episode_ids is None else tuple(map(str, episode_ids))
    keywords = {"policy_kwargs": kwarg_arrives(policy_kwargs or {}), "episode_ids": ids}
    return [["predict_action", describe((batch,)), describe(keywords)]]


def test_each_side_runs_the_implementation_that_it_is_named_after(sides: Sides) -> None:
    ours, theirs = (sides[name].peer.ask("about") for name in (OURS, THEIRS))
    assert Path(ours["file"]).parent == ROOT / "praxis_remote"
    assert Path(theirs["file"]).parent != ROOT / "praxis_remote"
    assert theirs["version"] == "0.1.1"


# ---------------------------------------------------------------- predict_action


def predict(sides: Sides, pairing: Pairing, call: str) -> tuple[Any, Any]:
    server = sides[pairing.server]
    server.will("ordinary")
    server.seen()
    answer = sides[pairing.client].peer.ask("predict", port=server.port(), call=call)
    return answer, server.seen()


@each_pairing
@pytest.mark.parametrize("call", [name for name in CALLS if name != "big-endian arrays"])
def test_a_handler_receives_exactly_what_was_sent(
    sides: Sides, pairing: Pairing, call: str
) -> None:
    answer, seen = predict(sides, pairing, call)
    assert answer == {"returned": describe(ACTIONS["ordinary"]())}
    assert seen == seen_for(**CALLS[call]())


@pytest.mark.parametrize("server", [OURS, THEIRS])
def test_a_handler_of_either_receives_the_big_endian_arrays_that_we_convert(
    sides: Sides, server: str
) -> None:
    _, seen = predict(sides, Pairing(OURS, server), "big-endian arrays")
    assert seen == seen_for([big_endian_arrays()])


@each_pairing
@pytest.mark.parametrize("action", [*ARRAY_ACTIONS, *PLAIN_ACTIONS])
def test_a_caller_receives_exactly_the_action_that_was_returned(
    sides: Sides, pairing: Pairing, action: str
) -> None:
    server = sides[pairing.server]
    server.will(action)
    answer = sides[pairing.client].peer.ask("predict", port=server.port(), call="no kwargs")
    server.seen()
    assert answer == {"returned": describe(arrives_as_action(ACTIONS[action]()))}


def arrives_as_action(action: Any) -> Any:
    array = np.asarray(action)
    return array.astype(array.dtype.newbyteorder("<"))


@pytest.mark.parametrize("client", [OURS, THEIRS])
def test_callers_of_either_receive_the_big_endian_actions_that_we_convert(
    sides: Sides, client: str
) -> None:
    server = sides[OURS]
    server.will("big-endian")
    answer = sides[client].peer.ask("predict", port=server.port(), call="no kwargs")
    assert answer == {"returned": describe(big_endian_arrays()["float32"].astype("<f4"))}


@each_pairing
@pytest.mark.parametrize("parts", PARTS)
def test_parts_become_the_same_observation(sides: Sides, pairing: Pairing, parts: str) -> None:
    check_parts(sides, pairing, parts)


def check_parts(sides: Sides, pairing: Pairing, parts: str) -> None:
    server = sides[pairing.server]
    server.will("ordinary")
    server.seen()
    answer = sides[pairing.client].peer.ask("predict_parts", port=server.port(), parts=parts)
    assert answer == {"returned": describe(ACTIONS["ordinary"]())}
    given = PARTS[parts]
    observation: dict[str, Any] = {}
    if "state" in given:
        observation["observation.state"] = np.asarray(given["state"])
    for key, image in given.get("images", {}).items():
        name = key if key.startswith("observation.") else f"observation.images.{key}"
        observation[name] = image
    if "task_description" in given:
        observation["task"] = str(given["task_description"])
    ids = [given["episode_id"]] if "episode_id" in given else None
    assert server.seen() == seen_for([observation], given.get("policy_kwargs"), ids)


@each_pairing
def test_a_handler_without_episodes_works_for_callers_that_send_none(
    sides: Sides, pairing: Pairing
) -> None:
    client, server = sides[pairing.client].peer, sides[pairing.server]
    port = server.port("without episodes")
    server.seen("without episodes")
    for call in ("no kwargs", "episode ids None"):
        assert "returned" in client.ask("predict", port=port, call=call)
    for reset in ("all", "None", "empty list"):
        assert "returned" in client.ask("reset", port=port, reset=reset)
    assert len(server.seen("without episodes")) == 5


# ---------------------------------------------------------------- reset, health_check


@each_pairing
@pytest.mark.parametrize("reset", RESETS)
def test_a_reset_arrives_with_its_episodes(sides: Sides, pairing: Pairing, reset: str) -> None:
    server = sides[pairing.server]
    server.will("ordinary")
    server.seen()
    answer = sides[pairing.client].peer.ask("reset", port=server.port(), reset=reset)
    assert answer == {"returned": describe(True)}
    ids = tuple(map(str, RESETS[reset].get("episode_ids") or ())) or None
    assert server.seen() == [["reset", describe(()), describe({"episode_ids": ids})]]


@each_pairing
@pytest.mark.parametrize(
    ("policy", "info"), [("ordinary", "interop 🤖"), ("with odd info", "{'name': 'odd'}")]
)
def test_a_health_check_tells_the_policys_name(
    sides: Sides, pairing: Pairing, policy: str, info: str
) -> None:
    port = sides[pairing.server].port(policy)
    answer = sides[pairing.client].peer.ask("health_check", port=port)
    assert answer == {"returned": describe((True, info))}


def test_the_published_server_publishes_no_spec_and_takes_what_it_took(sides: Sides) -> None:
    sides[THEIRS].will("ordinary")
    with PolicyClient("127.0.0.1", sides[THEIRS].port(), timeout=30) as client:
        assert client.observation_spec() is None
        assert client.check({"observation.state": np.zeros(7)}) is False
        client.predict_action([{"observation.state": np.zeros(7)}])
    sides[THEIRS].seen()
