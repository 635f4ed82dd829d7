# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from praxis_remote.backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(chance=lambda: 0.0)
    pauses = [backoff.next() for _ in range(9)]
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0]


def test_a_reset_begins_with_the_first_pause_again() -> None:
    backoff = Backoff(chance=lambda: 0.0)
    first = [backoff.next() for _ in range(3)]
    backoff.reset()
    assert [backoff.next() for _ in range(3)] == first


@pytest.mark.parametrize(("chance", "part"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_chance_takes_up_to_a_half_of_a_pause_and_nothing_of_the_next(
    chance: float, part: float
) -> None:
    backoff = Backoff(1.0, 4.0, lambda: chance)
    assert [backoff.next(), backoff.next()] == [part, 2 * part]


def test_two_of_them_do_not_come_together() -> None:
    one, other = Backoff(), Backoff()
    assert [one.next() for _ in range(9)] != [other.next() for _ in range(9)]
