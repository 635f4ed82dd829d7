# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Which peers run out of patience, by a clock that the tests turn."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.http2.offence import OffenceError
from praxis_remote.http2.patience import Patience


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def spend_all(patience: Patience) -> int:
    """Returns how many frames were borne."""
    count = 0

    def spend() -> None:
        nonlocal count
        while True:
            patience.spend()
            count += 1

    with pytest.raises(OffenceError) as caught:
        spend()
    assert caught.value.code is ErrorCodes.ENHANCE_YOUR_CALM
    return count


def test_a_burst_is_borne_and_not_more() -> None:
    assert spend_all(Patience(Clock())) == 400


def test_time_gives_some_back_and_no_more_than_a_burst() -> None:
    clock = Clock()
    patience = Patience(clock)
    spend_all(patience)
    clock.now = 1.0
    assert spend_all(patience) == pytest.approx(200, abs=1)
    clock.now = 1000.0
    assert spend_all(patience) == pytest.approx(400, abs=1)


def test_a_hundred_cancelled_calls_a_second_are_borne_for_ever() -> None:
    clock = Clock()
    patience = Patience(clock)
    for turn in range(60 * 100):
        clock.now = turn / 100
        patience.spend()


@given(st.integers(1, 100), st.integers(1, 5))
def test_what_brings_calls_forward_is_borne_at_any_rate(calls: int, megabytes: int) -> None:
    patience = Patience(Clock())
    for _ in range(20 * calls):
        patience.answered()
        for _ in range(8):
            patience.spend()
    for _ in range(megabytes * 64):
        patience.moved(16 * 1024)
        for _ in range(16):  # a window update for each kB
            patience.spend()


def test_answered_calls_are_not_saved_up() -> None:
    patience = Patience(Clock())
    for _ in range(10_000):
        patience.answered()
    assert spend_all(patience) == 400
