# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy that sees a pendulum through a camera, swings it up and keeps it up.

Serve it with::

    python -m praxis_remote serve examples.pendulum.policy:PendulumPolicy --port 50051

It does what a learned policy does at run time: it reads images and a state vector,
remembers something about every episode, and answers for a whole batch. All of its
arithmetic is done row by row in 64 bits, so that an action depends on nothing but its
own episode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from praxis_remote import Observation, PolicyKwargValue

# The physics of Gymnasium's Pendulum-v1. An angle of zero is upright.
TIME_STEP = 0.05  # s
GRAVITY = 15.0  # rad/s² at the horizontal: 3 g / (2 l)
TORQUE_GAIN = 3.0  # rad/s² for each N m: 3 / (m l²)
SPEED_LIMIT = 8.0  # rad/s


class PendulumPolicy:
    """Energy shaping far from the top, a linear-quadratic regulator close to it.

    Args:
        torque_limit: The largest torque the motor is asked for, in N m.
        catch_angle: The regulator takes over this close to the top, in rad.
        release_angle: The regulator gives up this far from the top, in rad.
    """

    def __init__(
        self,
        torque_limit: float = 2.0,
        catch_angle: float = 0.4,
        release_angle: float = 0.8,
    ) -> None:
        if not 0 < catch_angle < release_angle:
            raise ValueError(f"0 < catch_angle < release_angle, got {catch_angle}, {release_angle}")
        self.torque_limit = torque_limit
        self.catch_angle = catch_angle
        self.release_angle = release_angle
        self._gain = _regulator_gain()
        self._episodes: dict[str, _Episode] = {}

    def predict_action(
        self,
        observations: Sequence[Observation],
        *,
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        episode_ids: Sequence[str] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Returns a torque for each observation, as an array of shape (batch, 1).

        Raises:
            ValueError: The options or the ids are not what this policy needs.
        """
        if policy_kwargs:
            raise ValueError(f"this policy has no options, got {sorted(policy_kwargs)}")
        if episode_ids is None:
            raise ValueError("this policy remembers episodes: episode_ids are needed")
        torques = [
            self._torque(self._observe(episode_id, observation))
            for episode_id, observation in zip(episode_ids, observations, strict=True)
        ]
        return np.array(torques, dtype=np.float32).reshape(-1, 1)

    def reset(self, episode_ids: Sequence[str] | None = None) -> None:
        """Forgets these episodes, or all of them."""
        if episode_ids is None:
            self._episodes.clear()
            return
        for episode_id in episode_ids:
            self._episodes.pop(episode_id, None)

    def model_info(self) -> str:
        """Returns the policy's name and settings."""
        return (
            f"PendulumPolicy(torque_limit={self.torque_limit}, "
            f"catch_angle={self.catch_angle}, release_angle={self.release_angle})"
        )

    def _observe(self, episode_id: str, observation: Observation) -> _Episode:
        angle = angle_in_image(np.asarray(observation["observation.images.front"]))
        (torque,) = np.asarray(observation["observation.state"], dtype=np.float64).tolist()
        episode = self._episodes.get(episode_id)
        if episode is None:
            episode = self._episodes[episode_id] = _Episode(angle)
        else:
            episode.update(angle, torque)
        return episode

    def _torque(self, episode: _Episode) -> float:
        angle, velocity = episode.angle, episode.velocity
        stabilise = -(self._gain[0] * angle + self._gain[1] * velocity)
        if episode.stabilising:
            episode.stabilising = abs(angle) < self.release_angle
        else:
            # The motor at its limit cannot stop a pendulum that comes too fast.
            within_reach = abs(stabilise) < 2 * self.torque_limit
            episode.stabilising = abs(angle) < self.catch_angle and within_reach
        torque = stabilise if episode.stabilising else self._swing_up(angle, velocity)
        return max(-self.torque_limit, min(self.torque_limit, torque))

    def _swing_up(self, angle: float, velocity: float) -> float:
        # Zero for a pendulum that would just come to rest at the top.
        energy = velocity**2 / 2 + GRAVITY * (math.cos(angle) - 1)
        return -energy * math.copysign(1.0, velocity)


@dataclass
class _Episode:
    """What is remembered between two observations of one pendulum.

    A single image shows no velocity. It is estimated by predicting each image from
    the last one and learning from the difference (a Luenberger observer).
    """

    angle: float
    velocity: float = 0.0
    stabilising: bool = False

    def update(self, seen_angle: float, torque: float) -> None:
        """Moves the estimate on by one step.

        Args:
            seen_angle: The angle in the new image.
            torque: What the motor did since the previous image.
        """
        acceleration = GRAVITY * math.sin(self.angle) + TORQUE_GAIN * torque
        velocity = self.velocity + TIME_STEP * acceleration
        velocity = max(-SPEED_LIMIT, min(SPEED_LIMIT, velocity))
        angle = self.angle + TIME_STEP * velocity
        surprise = math.remainder(seen_angle - angle, math.tau)
        self.angle = math.remainder(angle + 0.8 * surprise, math.tau)
        self.velocity = velocity + 0.6 * surprise / TIME_STEP


def angle_in_image(image: npt.NDArray[np.uint8]) -> float:
    """Returns the angle of the red rod that turns about the middle of the image.

    The rod points to its centre of mass. The sums are exact, being of integers.
    """
    redness = np.maximum(image[..., 0].astype(np.int64) - image[..., 1], 0)
    height, width = redness.shape
    right = int(redness.sum(axis=0) @ (2 * np.arange(width) + 1 - width))
    down = int(redness.sum(axis=1) @ (2 * np.arange(height) + 1 - height))
    return math.atan2(-right, -down)


def _regulator_gain() -> tuple[float, float]:
    """Solves the discrete Riccati equation for the pendulum linearised at the top.

    The weights are those of the environment's own reward.
    """
    a = np.array([[1 + GRAVITY * TIME_STEP**2, TIME_STEP], [GRAVITY * TIME_STEP, 1]])
    b = np.array([[TORQUE_GAIN * TIME_STEP**2], [TORQUE_GAIN * TIME_STEP]])
    state_cost, torque_cost = np.diag([1.0, 0.1]), np.array([[0.001]])
    p, gain = state_cost, np.zeros((1, 2))
    for _ in range(500):
        gain = np.linalg.solve(torque_cost + b.T @ p @ b, b.T @ p @ a)
        p = state_cost + a.T @ p @ (a - b @ gain)
    return float(gain[0, 0]), float(gain[0, 1])
