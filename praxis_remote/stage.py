# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How far a server has come. Nothing here knows what it does there."""

from __future__ import annotations

import enum

__all__ = ["Progress", "Stage"]


class Stage(enum.Enum):
    """How far a server has come; it never goes back."""

    STARTING = "starting"
    """It listens; calls wait for `PolicyServer.serve`."""
    WARMING = "warming"
    """The policy warms up; calls wait for that."""
    SERVING = "serving"
    """Calls are answered."""
    DRAINING = "draining"
    """It takes no more calls, or has stopped."""


_ORDER = tuple(Stage)


class Progress:
    """The stage of a server, which any thread may read and move on.

    Args:
        stage: The first one.
    """

    def __init__(self, stage: Stage = Stage.STARTING) -> None:
        # To add to it needs no lock, which a signal handler could find taken.
        self._entered = [stage]

    @property
    def stage(self) -> Stage:
        """The latest that was entered."""
        return max(self._entered, key=_ORDER.index)

    def enter(self, stage: Stage) -> None:
        """Moves on to a stage, unless a later one has been reached."""
        self._entered.append(stage)
