# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Numbers are shown with three digits and a unit, and bars are as long as their shares."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from praxis_remote.cli.display import PARTS, as_text, bar, new_table
from praxis_remote.cli.figures import RecentRate, duration, megabytes, number, percent, plural


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0.00"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.94, "99.9"),
        (99.96, "100"),
        (1234567.0, "1,234,567"),
    ],
)
def test_a_number_has_three_digits_or_all_before_the_point(value: float, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (None, "-"),
        (0.0, "0.00 µs"),
        (0.0123, "12.3 µs"),
        (1.0, "1.00 ms"),
        (999.0, "999 ms"),
        (1000.0, "1.00 s"),
        (90000.0, "90.0 s"),
    ],
)
def test_a_time_has_the_unit_that_suits_it(milliseconds: float | None, said: str) -> None:
    assert duration(milliseconds) == said


def test_sizes_shares_and_counts_have_their_units() -> None:
    assert [megabytes(size) for size in (163, 300_000)] == ["0.16 kB", "0.30 MB"]
    assert percent(0.123) == "12 %"
    assert [plural(count, "call") for count in (0, 1, 1200)] == ["0 calls", "1 call", "1,200 calls"]


def test_the_recent_rate_forgets_what_was_before_its_window() -> None:
    rate = RecentRate(window=1.0)
    assert rate.look(10.0, 5) == 0.0
    assert rate.look(10.5, 55) == 100.0
    assert rate.look(11.0, 55) == 50.0
    assert rate.look(11.5, 55) == 0.0
    assert rate.look(12.5, 155) == 100.0


@given(st.lists(st.floats(0, 1e3), min_size=len(PARTS), max_size=len(PARTS)))
def test_a_bar_is_as_wide_as_it_is_asked_to_be_and_its_parts_as_their_shares(
    values: list[float],
) -> None:
    text = bar(Console(file=io.StringIO()), values, 76).plain
    total = sum(values)
    assert len(text) == (76 if total else 0)
    for value, (_, letter) in zip(values, PARTS, strict=True):
        assert abs(text.count(letter) - (value / total * 76 if total else 0)) <= 1.001


def test_colours_are_for_terminals() -> None:
    values = [1.0] * len(PARTS)
    coloured = Console(file=io.StringIO(), force_terminal=True, color_system="256", width=80)
    assert "\x1b[" in as_text(coloured, bar(coloured, values, 8))
    plain = Console(file=io.StringIO(), width=80)
    assert as_text(plain, bar(plain, values, 8)) == "ENrdqieD"


def test_a_table_has_text_to_the_left_and_numbers_to_the_right() -> None:
    table = new_table("phase", "p50")
    table.add_row("a", "1")
    table.add_row("longer", "100")
    lines = as_text(Console(file=io.StringIO(), width=80), table).splitlines()
    assert [line.split() for line in lines[2:]] == [["a", "1"], ["longer", "100"]]
    assert len(lines[2]) == len(lines[3])
