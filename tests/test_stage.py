# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import itertools

import pytest

from praxis_remote.stage import Progress, Stage


def test_a_server_starts_at_the_first_stage() -> None:
    assert Progress().stage is Stage.STARTING


@pytest.mark.parametrize("order", list(itertools.permutations(Stage)))
def test_whatever_is_entered_the_stage_is_the_latest_that_was(order: tuple[Stage, ...]) -> None:
    progress = Progress()
    names = list(Stage)
    seen = [names.index(progress.stage)]
    for stage in order:
        progress.enter(stage)
        seen.append(names.index(progress.stage))
        assert progress.stage is max(order[: len(seen) - 1], key=names.index)
    assert seen == sorted(seen)
    assert progress.stage is Stage.DRAINING
