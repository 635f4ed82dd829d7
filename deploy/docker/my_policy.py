# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What the Dockerfile beside it serves; yours goes in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class MyPolicy:
    """Moves nothing."""

    def predict_action(
        self,
        observations: Sequence[Any],
        *,
        policy_kwargs: Any = None,  # noqa: ARG002 - your policy may look at them
    ) -> np.ndarray[Any, Any]:
        """Returns an action for each observation."""
        return np.zeros((len(observations), 7), np.float32)

    def reset(self, episode_ids: Sequence[str] | None = None) -> None:
        """Forgets nothing, as it remembers nothing."""

    def model_info(self) -> str:
        """Returns its name."""
        return "MyPolicy"
