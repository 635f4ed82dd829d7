# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The example policy is a good one, keeps its episodes apart, and the demo runs."""

from __future__ import annotations

import dataclasses
import math
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from examples.pendulum import demo, rollout
from examples.pendulum.policy import PendulumPolicy, angle_in_image
from praxis_remote import Observation, PolicyHandler, build_observation

ROOT = Path(__file__).parents[1]
DEMO = [sys.executable, "-m", "examples.pendulum.demo"]
ENVS, STEPS = 5, 40
IDS = [f"lane-{lane}" for lane in range(ENVS)]

Recording = list[list[Observation]]


@pytest.fixture(scope="module")
def recording() -> Recording:
    """What a policy saw, a batch for each step."""
    policy = PendulumPolicy()
    batches: Recording = []

    def predict(
        observations: Sequence[Observation], *, episode_ids: Sequence[str]
    ) -> npt.NDArray[Any]:
        batches.append(list(observations))
        return policy.predict_action(observations, episode_ids=episode_ids)

    rollout.rollout(predict, envs=ENVS, steps=STEPS, seed=3, title="recording")
    return batches


def actions(
    policy: PendulumPolicy, batches: Iterable[Sequence[Observation]]
) -> npt.NDArray[np.float32]:
    return np.stack([policy.predict_action(batch, episode_ids=IDS) for batch in batches])


def bits(array: npt.NDArray[np.float32]) -> list[list[int]]:
    rows: list[list[int]] = array[..., 0].view(np.uint32).tolist()
    return rows


@pytest.mark.parametrize(
    ("angle", "velocity"),
    [
        (math.pi, 0.0),
        (math.pi, 1.0),
        (-math.pi, -1.0),
        (math.pi / 2, 0.0),
        (-math.pi / 2, 1.0),
        (2.5, -0.5),
        (0.5, -1.0),
        (-0.1, 1.0),
        (0.0, 0.0),
        (1.0, 8.0),
    ],
)
def test_the_policy_swings_up_and_stays_up(angle: float, velocity: float) -> None:
    policy = PendulumPolicy()
    torque = np.zeros(1, dtype=np.float32)
    angles = []
    env = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
    try:
        env.reset(seed=0)
        env.unwrapped.state = np.array([angle, velocity])  # type: ignore[attr-defined]
        for _ in range(200):
            image = np.asarray(env.render(), dtype=np.uint8)
            observation = build_observation(state=torque, images={"front": image[::4, ::4]})
            torque = policy.predict_action([observation], episode_ids=["only"])[0]
            state, *_ = env.step(torque)
            angles.append(math.atan2(state[1], state[0]))
    finally:
        env.close()
    assert np.abs(angles[-100:]).max() < 0.05


@pytest.mark.parametrize("angle", np.linspace(-3.1, 3.1, 9).tolist())
def test_the_angle_is_read_from_the_image(angle: float) -> None:
    env = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
    try:
        env.reset(seed=0)
        env.unwrapped.state = np.array([angle, 0.0])  # type: ignore[attr-defined]
        assert angle_in_image(np.asarray(env.render(), dtype=np.uint8)) == pytest.approx(
            angle, abs=0.01
        )
    finally:
        env.close()


def test_it_is_a_policy_handler_with_defaults() -> None:
    policy: PolicyHandler = PendulumPolicy()
    assert isinstance(policy, PolicyHandler)
    assert "torque_limit=1.5" in PendulumPolicy(torque_limit=1.5).model_info()


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ValueError, match="catch_angle < release_angle"):
        PendulumPolicy(catch_angle=1.0)
    with pytest.raises(ValueError, match="episode_ids are needed"):
        PendulumPolicy().predict_action([])
    with pytest.raises(ValueError, match=r"no options, got \['speed'\]"):
        PendulumPolicy().predict_action([], policy_kwargs={"speed": 2}, episode_ids=())


def test_the_order_of_a_batch_does_not_matter(recording: Recording) -> None:
    expected = actions(PendulumPolicy(), recording)
    policy, rng = PendulumPolicy(), np.random.default_rng(0)
    for batch, wanted in zip(recording, expected, strict=True):
        order = rng.permutation(ENVS)
        got = policy.predict_action(
            [batch[lane] for lane in order], episode_ids=[IDS[lane] for lane in order]
        )
        assert got.tobytes() == wanted[order].tobytes()


def test_one_at_a_time_is_the_same_as_all_at_once(recording: Recording) -> None:
    policy = PendulumPolicy()
    one_by_one = np.stack(
        [
            np.concatenate(
                [
                    policy.predict_action([observation], episode_ids=[episode_id])
                    for episode_id, observation in zip(IDS, batch, strict=True)
                ]
            )
            for batch in recording
        ]
    )
    assert bits(one_by_one) == bits(actions(PendulumPolicy(), recording))


def test_episodes_that_are_mixed_up_get_other_actions(recording: Recording) -> None:
    swapped = [[batch[1], batch[0], *batch[2:]] for batch in recording[1:]]
    expected = actions(PendulumPolicy(), recording)
    got = actions(PendulumPolicy(), [recording[0], *swapped])
    assert bits(got[1:, :2]) != bits(expected[1:, [1, 0]])
    assert bits(got[:, 2:]) == bits(expected[:, 2:])


def test_a_reset_forgets_only_the_episodes_it_names(recording: Recording) -> None:
    policy = PendulumPolicy()
    expected = actions(PendulumPolicy(), recording)
    half = 10
    actions(policy, recording[:half])
    policy.reset([IDS[2]])
    got = actions(policy, recording[half:])
    fresh = actions(PendulumPolicy(), recording[half:])
    others = [0, 1, 3, 4]
    assert bits(got[:, others]) == bits(expected[half:, others])
    assert bits(got[:, [2]]) == bits(fresh[:, [2]])
    assert bits(got[:, [2]]) != bits(expected[half:, [2]])


def test_a_reset_without_names_forgets_all(recording: Recording) -> None:
    policy = PendulumPolicy()
    expected = actions(policy, recording)
    policy.reset()
    assert bits(actions(policy, recording)) == bits(expected)


def test_a_difference_in_the_last_bit_is_found() -> None:
    result = rollout.rollout(
        PendulumPolicy().predict_action, envs=2, steps=3, seed=0, title="in process"
    )
    demo.check_equal(result, result)
    changed = result.actions.copy()
    changed[1, 1] = np.nextafter(changed[1, 1], np.float32(9))
    with pytest.raises(demo.DemoError, match="1 of 6 actions differ"):
        demo.check_equal(result, dataclasses.replace(result, actions=changed))
    with pytest.raises(demo.DemoError, match="remote is float32"):
        demo.check_equal(result, dataclasses.replace(result, actions=changed.astype(np.float64)))


def test_the_demo_runs_and_writes_its_files(tmp_path: Path) -> None:
    options = ["--envs", "3", "--steps", "12", "--output", str(tmp_path / "out")]
    ran = subprocess.run([*DEMO, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (
        "all 36 actions and 3 returns, remote and in process, are equal to the last bit"
        in ran.stdout
    )
    with Image.open(tmp_path / "out" / "pendulum.png") as plot:
        assert plot.format == "PNG"
    with Image.open(tmp_path / "out" / "pendulum.gif") as film:
        assert film.format == "GIF"
        assert getattr(film, "n_frames", 1) > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_takes_its_server_with_it(number: int, tmp_path: Path) -> None:
    options = ["--envs", "1", "--steps", "100000", "--output", str(tmp_path)]
    with subprocess.Popen(
        [*DEMO, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        port = int(running.stdout.readline().rpartition(":")[2])
        running.send_signal(number)
        _, errors = running.communicate()
    assert running.returncode == 130, errors
    assert errors.endswith("interrupted\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_server_that_does_not_start_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "HANDLER", "examples.pendulum.policy:NoSuchPolicy")
    with pytest.raises(demo.DemoError, match="did not say where it is"), demo.policy_server():
        pass
    assert "NoSuchPolicy" in capfd.readouterr().err
