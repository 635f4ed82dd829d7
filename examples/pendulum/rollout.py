# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The simulator's side: a batch of pendulums, and whoever says how to move them.

The loop does not know whether its policy runs here or on another machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import trange

from praxis_remote import Observation, build_observation

TASK = "swing the pendulum up and keep it upright"
UPRIGHT = 0.2
"""A pendulum this close to the top, in rad, counts as upright."""
HOLD_STEPS = 50
"""An episode succeeds when the pendulum is upright for this many steps at its end."""

TIME_STEP = 0.05  # s
FILM_EVERY = 2  # steps

_FILMED_ENVS = 16
_SHRINK = 4  # 500 x 500 pixels as rendered, 125 x 125 as sent

# Rendering then needs no display.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


class Predict(Protocol):
    """The method that a policy and a client of a remote policy have in common."""

    def __call__(
        self, observations: Sequence[Observation], *, episode_ids: Sequence[str]
    ) -> npt.NDArray[Any]:
        """Returns an action for each observation."""
        ...


@dataclass(frozen=True)
class Rollout:
    """What happened, with the step as the first axis and the environment as the second."""

    actions: npt.NDArray[np.float32]  # (steps, envs, 1), N m
    rewards: npt.NDArray[np.float64]  # (steps, envs)
    angles: npt.NDArray[np.float64]  # (steps, envs), rad
    film: npt.NDArray[np.uint8]  # (shots, some envs, height, width, 3)
    latencies: npt.NDArray[np.float64]  # (steps,), s
    seconds: float

    @property
    def returns(self) -> npt.NDArray[np.float64]:
        """The sum of an episode's rewards, for each environment."""
        return np.asarray(self.rewards.sum(axis=0))

    @property
    def successes(self) -> npt.NDArray[np.bool_]:
        """Whether the pendulum was upright at the end, for each environment."""
        return np.asarray((np.abs(self.angles[-HOLD_STEPS:]) < UPRIGHT).all(axis=0))


def episode_ids(envs: int, seed: int) -> list[str]:
    """Returns the names by which a policy tells the environments apart."""
    return [f"pendulum-{seed + index}" for index in range(envs)]


def rollout(predict: Predict, *, envs: int, steps: int, seed: int, title: str) -> Rollout:
    """Runs one episode in every environment.

    Args:
        predict: The policy, near or far.
        envs: How many environments run side by side.
        steps: The length of an episode, 0.05 s each.
        seed: Of the first environment; the next one has the next seed.
        title: Shown beside the progress bar.
    """
    ids = episode_ids(envs, seed)
    torque = np.zeros((envs, 1), dtype=np.float32)
    actions, rewards, angles, film, latencies = [], [], [], [], []
    simulator = gymnasium.make_vec(
        "Pendulum-v1",
        num_envs=envs,
        vectorization_mode="sync",
        render_mode="rgb_array",
        max_episode_steps=steps,
    )
    start = time.perf_counter()
    try:
        simulator.reset(seed=seed)
        for step in trange(steps, desc=title, unit="step"):
            images = _camera_images(simulator)
            observations = [
                build_observation(state=t, images={"front": image}, task_description=TASK)
                for t, image in zip(torque, images, strict=True)
            ]
            asked = time.perf_counter()
            torque = predict(observations, episode_ids=ids)
            latencies.append(time.perf_counter() - asked)
            state, reward, *_ = simulator.step(torque)
            actions.append(torque)
            rewards.append(reward)
            angles.append(np.arctan2(state[:, 1], state[:, 0]))
            if step % FILM_EVERY == 0:
                film.append(images[:_FILMED_ENVS])
    finally:
        simulator.close()
    return Rollout(
        actions=np.stack(actions),
        rewards=np.stack(rewards),
        angles=np.stack(angles),
        film=np.stack(film),
        latencies=np.array(latencies),
        seconds=time.perf_counter() - start,
    )


def _camera_images(simulator: gymnasium.vector.VectorEnv[Any, Any, Any]) -> npt.NDArray[np.uint8]:
    frames = [Image.fromarray(np.asarray(frame)) for frame in simulator.render() or ()]
    return np.stack([np.asarray(frame.reduce(_SHRINK)) for frame in frames])
