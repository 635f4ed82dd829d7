# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Evaluates policies with praxis-eval, over whatever praxis-remote its Python has."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
import threading
from typing import Any

# The interpreter is isolated from this folder as from everything else.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120 - before any other import

import numpy as np
from omegaconf import OmegaConf  # type: ignore[import-not-found]  # not of the dev extra
from praxis_eval.envs.subprocess_runtime import local_policy_server  # type: ignore[import-not-found]  # not of the dev extra
from praxis_eval.policies.remote import RemotePolicy  # type: ignore[import-not-found]  # not of the dev extra

import praxis_remote
from interop.peers.known_calls import describe
from interop.peers.orders import obey

SERVER_THREAD = "praxis-eval-subprocess-policy-server"


class CountingPolicy:
    """An evaluation's policy: its action is how many steps each episode has taken."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}
        self.seen: list[Any] = []

    def reset(self, episode_ids: Any = None) -> None:
        self.seen.append(["reset", describe(episode_ids)])
        for episode_id in list(self.steps) if episode_ids is None else episode_ids:
            self.steps.pop(episode_id, None)

    def act(
        self,
        observations: Any,
        *,
        action_spec: Any = None,
        policy_kwargs: Any = None,
        episode_ids: Any = None,
    ) -> Any:
        self.seen.append(["act", describe(policy_kwargs), describe(episode_ids)])
        for episode_id in episode_ids:
            self.steps[episode_id] = self.steps.get(episode_id, 0) + 1
        actions = [[self.steps[episode_id]] * 7 for episode_id in episode_ids]
        return np.array(actions, np.float32)


class Evaluation:
    """What an evaluation does with praxis-remote."""

    def about(self) -> Any:
        return {
            "file": praxis_remote.__file__,
            "version": importlib.metadata.version("praxis-remote"),
            "requires": importlib.metadata.requires("praxis-eval"),
        }

    def drive(self, port: int) -> Any:
        """Acts through a policy that is served elsewhere."""
        policy = RemotePolicy(f"127.0.0.1:{port}", timeout=30)
        images = np.arange(2 * 64 * 64 * 3, dtype=np.uint8).reshape(2, 64, 64, 3)
        observations: list[dict[str, Any]] = [
            {
                "observation.state": np.full(8, index, np.float32),
                "observation.images.front": images[index],
                "task": "pick",
            }
            for index in range(2)
        ]
        options = OmegaConf.create({"steps": 4, "nested": {"scale": [0.5, None, True]}})
        try:
            policy.reset()
            policy.reset(["b"])
            plain = policy.act(observations)
            full = policy.act(observations, policy_kwargs=options, episode_ids=["a", "b"])
        finally:
            policy.close()
        return [describe(plain), describe(full)]

    def serve_and_drive(self) -> Any:
        """Runs an evaluation's local server from its beginning to its end."""
        served = CountingPolicy()
        observations = [{"observation.state": np.zeros(3, np.float32)}] * 2
        with local_policy_server(served, device="cpu") as address:
            thread = next(item for item in threading.enumerate() if item.name == SERVER_THREAD)
            policy = RemotePolicy(address, timeout=30)
            ready = policy.client.health_check()
            first = policy.act(observations, episode_ids=["a", "b"])
            policy.reset(["a"])
            second = policy.act(observations, episode_ids=["a", "b"], policy_kwargs={"n": 1})
            policy.reset()
            third = policy.act(observations, episode_ids=["a", "b"])
            policy.close()
        host, port = address.rsplit(":", 1)
        with socket.socket() as probe:
            # Only an end of the listening socket makes this possible.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
            probe.listen()
        return {
            "ready": ready,
            "actions": [action[:, 0].tolist() for action in (first, second, third)],
            "seen": served.seen,
            "thread ended": not thread.is_alive(),
        }

    def serve_and_fail(self) -> Any:
        """Leaves an evaluation's local server by an exception."""
        try:
            with local_policy_server(CountingPolicy(), device="cpu"):
                raise KeyError("the simulator broke")
        except KeyError:
            return [item.name for item in threading.enumerate() if item.name == SERVER_THREAD]


if __name__ == "__main__":
    obey(Evaluation())
