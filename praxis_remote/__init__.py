# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Call a robot policy on another machine: observations go over, an action comes back."""

from __future__ import annotations

from .protocol import PolicyHandler
from .serialization import build_observation
from .types import Observation, ObservationValue, PolicyKwargValue

__version__ = "0.1.2"

__all__ = [
    "Observation",
    "ObservationValue",
    "PolicyHandler",
    "PolicyKwargValue",
    "__version__",
    "build_observation",
]
