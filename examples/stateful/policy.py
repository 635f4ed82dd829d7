# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy with a history and a plan for each episode, as learned ones have them.

It follows something that moves: from the last positions that it saw it fits a line, and
goes where that will be. It looks once for several steps: of each plan one action is
played a call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from praxis_remote import Observation, PolicyKwargValue

Vectors = npt.NDArray[np.float64]


@dataclass
class _Episode:
    """What is remembered between two calls."""

    history: deque[Vectors]
    plan: deque[Vectors] = field(default_factory=deque)


class TrackingPolicy:
    """Says where what it follows will be at the next step.

    Args:
        size: Numbers in a position, which is ``observation.state``.
        history: How many positions it fits a line through.
        chunk: For how many steps it plans.
    """

    def __init__(self, size: int = 2, history: int = 3, chunk: int = 4) -> None:
        if history < 2 or chunk < 1:
            raise ValueError(
                f"history at least 2 and chunk at least 1, got history={history}, chunk={chunk}"
            )
        self.size = size
        self.history = history
        self.chunk = chunk
        self._weights = _weights(history, chunk)
        self._episodes: dict[str, _Episode] = {}

    def predict_action(
        self,
        observations: Sequence[Observation],
        *,
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        episode_ids: Sequence[str] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Returns one position for each observation.

        Rows may be of any episodes, in any order, from one client or several.

        Raises:
            ValueError: The request is at fault; nothing has been remembered of it.
        """
        if policy_kwargs:
            raise ValueError(f"no options, got {sorted(policy_kwargs)}")
        if episode_ids is None:
            raise ValueError("this policy remembers episodes: episode_ids are needed")
        if len(set(episode_ids)) < len(episode_ids):
            raise ValueError("an episode has one step in a call: its id is there twice")
        # All that can fail comes before anything is changed.
        positions = [self._position(observation) for observation in observations]
        episodes = []
        for episode_id, position in zip(episode_ids, positions, strict=True):
            episode = self._episodes.get(episode_id)
            if episode is None:
                # As if it had been there for ever.
                past = deque([position] * self.history, maxlen=self.history)
                episode = self._episodes[episode_id] = _Episode(past)
            else:
                episode.history.append(position)
            episodes.append(episode)
        self._plan([episode for episode in episodes if not episode.plan])
        return np.array([episode.plan.popleft() for episode in episodes], np.float32)

    def _position(self, observation: Observation) -> Vectors:
        position = np.array(observation.get("observation.state"), np.float64)
        if position.shape != (self.size,):
            raise ValueError(
                f"observation.state: shape {position.shape}; {(self.size,)} is expected"
            )
        return position

    def _plan(self, episodes: Sequence[_Episode]) -> None:
        """Looks ahead, for all of them at once: here a learned policy would run its network."""
        if episodes:
            histories: Any = np.array([episode.history for episode in episodes])
            for episode, plan in zip(episodes, self._weights @ histories, strict=True):
                episode.plan.extend(plan)

    def reset(self, episode_ids: Sequence[str] | None = None) -> None:
        """Forgets these episodes, or all of them; it may never have seen them."""
        if episode_ids is None:
            self._episodes.clear()
            return
        for episode_id in episode_ids:
            self._episodes.pop(episode_id, None)

    def model_info(self) -> str:
        """Returns the policy's name, settings and how many episodes it remembers."""
        settings = f"size={self.size}, history={self.history}, chunk={self.chunk}"
        return f"TrackingPolicy({settings}), {len(self._episodes)} episodes"


def _weights(history: int, chunk: int) -> Vectors:
    """Returns what makes a plan of a history: the line of least squares, continued."""
    past = np.arange(history) - (history - 1) / 2
    ahead = (history - 1) / 2 + np.arange(1, chunk + 1)
    return 1 / history + np.outer(ahead, past) / (past @ past)
