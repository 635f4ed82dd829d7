# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy with a real, small CNN on the processor, by PyTorch; clients are those of `waiting`."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found,unused-ignore]  # whoever measures it installs it

from benchmarks.payloads import ACTION_FLOATS, STATE_FLOATS, Action
from benchmarks.peers.praxis import PACKAGES, serve_handler
from benchmarks.peers.waiting_async import connect

__all__ = ["PACKAGES", "connect", "serve"]

_STATE, _IMAGES = "observation.state", "observation.images."


class Network(torch.nn.Module):  # type: ignore[misc,unused-ignore]  # without PyTorch it is Any
    """Five convolutions over each camera, joined with the state: 1.3 million weights."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 256, 256)
        layers: list[Any] = []
        for wide, wider in pairwise(widths):
            layers += [torch.nn.Conv2d(wide, wider, 3, stride=2, padding=1), torch.nn.ReLU()]
        self.eye = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.head = torch.nn.Sequential(
            torch.nn.Linear(2 * widths[-1] + STATE_FLOATS, 256),
            torch.nn.ReLU(),
            torch.nn.Linear(256, ACTION_FLOATS),
        )

    def forward(self, images: list[Any], state: Any) -> Any:
        """Returns actions of shape (batch, ACTION_FLOATS)."""
        seen = [self.eye(each.permute(0, 3, 1, 2).float().div(255)) for each in images]
        return self.head(torch.cat([*seen, state], dim=1))


class Handler:
    """Runs the network on a batch, stacked by the server or here."""

    def __init__(self) -> None:
        # The clients need the other cores.
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self._network = Network().eval()

    def predict_action(self, observations: Any, *, policy_kwargs: Any = None) -> Action:  # noqa: ARG002 - the contract's names
        """Returns an action for each observation."""
        if not isinstance(observations, dict):
            keys = observations[0]
            observations = {key: np.stack([each[key] for each in observations]) for key in keys}
        images = [
            torch.from_numpy(value)
            for key, value in observations.items()
            if key.startswith(_IMAGES)
        ]
        with torch.inference_mode():
            action = self._network(images, torch.from_numpy(observations[_STATE]))
        result: Action = action.numpy()
        return result

    def reset(self) -> None:
        """Remembers nothing."""

    def model_info(self) -> str:
        """Returns what it is."""
        return "a small CNN"


def serve(policy: Any, *, unix: bool, options: str = "{}") -> str:  # noqa: ARG001 - what is asked of every peer
    """Serves the network, with more options for the server as JSON."""
    return serve_handler(Handler(), unix=unix, **json.loads(options))
