# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The example with a history and a plan does for each episode what it would do alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from examples.stateful.policy import TrackingPolicy
from praxis_remote import PolicyHandler
from praxis_remote.testing import connected

STEPS, LANES = 12, 5
IDS = [f"lane-{lane}" for lane in range(LANES)]
PATHS = np.random.default_rng(0).normal(size=(STEPS, LANES, 2)).cumsum(axis=0)


def observe(positions: Any) -> list[dict[str, Any]]:
    return [{"observation.state": position} for position in positions]


def follow(policy: Any, paths: Any = PATHS) -> npt.NDArray[np.float32]:
    return np.stack([policy.predict_action(observe(p), episode_ids=IDS) for p in paths])


def test_it_is_a_policy_handler() -> None:
    policy: PolicyHandler = TrackingPolicy()
    assert isinstance(policy, PolicyHandler)
    assert policy.model_info() == "TrackingPolicy(size=2, history=3, chunk=4), 0 episodes"


def test_what_moves_evenly_is_met_where_it_will_be() -> None:
    line = [np.array([step, -2.0 * step]) for step in range(20)]
    policy = TrackingPolicy(history=3, chunk=4)
    got = [policy.predict_action(observe([p]), episode_ids=["a"])[0] for p in line]
    np.testing.assert_allclose(got[4:19], line[5:], atol=1e-5)


def test_one_plan_is_played_before_the_next_is_made() -> None:
    policy, other = TrackingPolicy(chunk=4), TrackingPolicy(chunk=4)
    changed = PATHS.copy()
    changed[5:8] += 9  # within the second plan
    same = (follow(policy) == follow(other, changed)).all(axis=(1, 2))
    assert same.tolist() == [True] * 8 + [False] * 4


def test_the_order_of_a_batch_does_not_matter() -> None:
    expected, policy, rng = follow(TrackingPolicy()), TrackingPolicy(), np.random.default_rng(1)
    for positions, wanted in zip(PATHS, expected, strict=True):
        order = rng.permutation(LANES)
        got = policy.predict_action(observe(positions[order]), episode_ids=[IDS[i] for i in order])
        np.testing.assert_allclose(got, wanted[order], rtol=1e-6)


def test_one_at_a_time_is_the_same_as_all_at_once() -> None:
    expected, policy = follow(TrackingPolicy()), TrackingPolicy()
    for positions, wanted in zip(PATHS, expected, strict=True):
        for lane in range(LANES):
            got = policy.predict_action(observe(positions[[lane]]), episode_ids=[IDS[lane]])
            np.testing.assert_allclose(got[0], wanted[lane], rtol=1e-6)


def test_a_reset_forgets_only_the_episodes_it_names() -> None:
    policy = TrackingPolicy()
    follow(policy, PATHS[:6])
    policy.reset([IDS[2], "never seen"])
    got, fresh = follow(policy, PATHS[6:]), follow(TrackingPolicy(), PATHS[6:])
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(got[:, 2], fresh[:, 2])
    np.testing.assert_allclose(got[:, others], follow(TrackingPolicy())[6:][:, others])
    policy.reset()
    np.testing.assert_allclose(follow(policy), follow(TrackingPolicy()))


@pytest.mark.parametrize(
    ("observations", "ids", "text"),
    [
        (observe(PATHS[0, :1]), None, "episode_ids are needed"),
        (observe(PATHS[0, :2]), ["a", "a"], "its id is there twice"),
        ([*observe(PATHS[0, :1]), {"task": "lift"}], ["a", "b"], r"shape \(\); \(2,\) is expected"),
        ([*observe(PATHS[0, :1]), *observe([np.zeros(3)])], ["a", "b"], r"shape \(3,\)"),
    ],
)
def test_a_wrong_request_changes_nothing(observations: Any, ids: Any, text: str) -> None:
    policy = TrackingPolicy()
    with pytest.raises(ValueError, match=text):
        policy.predict_action(observations, episode_ids=ids)
    assert "0 episodes" in policy.model_info()
    with pytest.raises(ValueError, match=r"no options, got \['speed'\]"):
        policy.predict_action([], policy_kwargs={"speed": 2}, episode_ids=())
    with pytest.raises(ValueError, match="history at least 2 and chunk at least 1"):
        TrackingPolicy(history=1)


def test_it_does_the_same_over_the_network_as_here() -> None:
    with connected(TrackingPolicy(), timeout=30) as (_, client):
        assert follow(client).tobytes() == follow(TrackingPolicy()).tobytes()
