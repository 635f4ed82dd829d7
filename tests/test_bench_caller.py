# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Calls are due when a plan has them, and what became of each is counted, whatever it cost.

No clock here is a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.bench.caller import Caller, Failure
from praxis_remote.bench.pace import Pace
from praxis_remote.bench.samples import COLUMNS
from praxis_remote.errors import CallCancelledError, HandlerError, RemoteError
from praxis_remote.timing import CallTiming, ServerTiming
from praxis_remote.types import Array

BEGIN = 1000.0


class FakeClock:
    """Time that passes where somebody waits, or says so."""

    def __init__(self) -> None:
        self.time = BEGIN - 1
        self.stopped = False

    def now(self) -> float:
        return self.time

    def wait_until(self, instant: float) -> bool:
        self.time = max(self.time, instant)
        return not self.stopped


def run(pace: Pace, *takes: float | RemoteError) -> Caller:
    """Runs a client whose calls take so long, the last one of these again and again."""
    clock, left = FakeClock(), list(takes)

    def predict() -> Array:
        took = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(took, RemoteError):
            raise took
        clock.time += took
        return np.zeros(3, np.float32)

    caller = Caller(predict, lambda: None, pace, clock)
    caller.run(BEGIN)
    return caller


def column(caller: Caller, name: str) -> list[float]:
    return [round(row[COLUMNS.index(name)], 6) for row in caller.rows]


def test_in_an_open_loop_a_slow_call_counts_in_all_that_it_keeps_waiting() -> None:
    caller = run(Pace(0, 1, calls=6, duration=None, rate=10.0), 0.05, 0.35, 0.05)
    assert column(caller, "start") == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert column(caller, "latency") == [0.05, 0.35, 0.3, 0.25, 0.2, 0.15]
    assert column(caller, "late") == [0.0, 0.0, 0.25, 0.2, 0.15, 0.1]
    assert caller.called == pytest.approx(0.6)


def test_in_a_closed_loop_each_call_begins_when_the_one_before_has_ended() -> None:
    caller = run(Pace(0, 1, calls=3, duration=None, rate=None), 0.5, 2.0, 1.0)
    assert column(caller, "start") == [0.0, 0.5, 2.5]
    assert column(caller, "latency") == [0.5, 2.0, 1.0]
    assert column(caller, "late") == [0.0, 0.0, 0.0]
    assert caller.ended == caller.called == 3.5


def test_no_call_begins_after_the_duration_but_those_that_run_are_finished() -> None:
    caller = run(Pace(0, 1, calls=None, duration=1.0, rate=None), 0.4)
    assert column(caller, "start") == [0.0, 0.4, 0.8]
    assert caller.ended == pytest.approx(1.2)
    assert caller.not_begun == 0


def test_calls_that_were_due_and_found_no_time_are_counted() -> None:
    caller = run(Pace(0, 1, calls=None, duration=1.0, rate=10.0), 0.4)
    assert column(caller, "start") == [0.0, 0.1, 0.2]
    assert caller.not_begun == 7


@given(
    clients=st.integers(1, 7),
    calls=st.none() | st.integers(1, 50),
    duration=st.none() | st.floats(0.1, 5.0),
    rate=st.floats(0.5, 20.0),
)
def test_clients_take_turns_and_together_make_each_call_once(
    clients: int, calls: int | None, duration: float | None, rate: float
) -> None:
    if calls is None and duration is None:
        duration = 1.0
    paces = [Pace(index, clients, calls, duration, rate) for index in range(clients)]
    found = sorted(due for pace in paces for due in dues(pace))
    assert found == [turn / rate for turn in range(len(found))]
    if calls is not None:
        assert len(found) <= calls
    if duration is None:
        assert len(found) == calls
    else:
        assert max(found) < duration
        # One more would be one too many, by either limit.
        assert len(found) == calls or len(found) / rate >= duration
    assert [pace.left(len(list(dues(pace)))) for pace in paces] == [0] * clients
    assert sum(pace.left(0) for pace in paces) == (0 if duration is None else len(found))


def dues(pace: Pace) -> Iterator[float]:
    """Yields when calls are due for a client that is never late."""
    number = 0
    while (due := pace.due(number, 0.0)) is not None:
        yield due
        number += 1


def test_errors_are_counted_by_themselves_and_have_no_latency() -> None:
    pace = Pace(0, 1, calls=3, duration=None, rate=None)
    caller = run(pace, 1.0, HandlerError("no weights", "gpu:1"), 1.0)
    assert len(caller.rows) == 2
    assert list(caller.failures) == [Failure("INTERNAL", "INTERNAL: no weights (gpu:1)")]
    assert caller.cut_off == 0


def test_a_call_that_the_stop_cut_off_is_no_failure_and_the_last_one() -> None:
    clock = FakeClock()

    def predict() -> Array:
        clock.stopped = True
        raise CallCancelledError("the client was closed")

    caller = Caller(predict, lambda: None, Pace(0, 1, None, 10.0, None), clock)
    caller.run(BEGIN)
    assert (caller.cut_off, len(caller.failures), len(caller.rows)) == (1, 0, 0)


def test_a_client_that_is_stopped_before_the_beginning_calls_nobody() -> None:
    clock = FakeClock()
    clock.stopped = True
    caller = Caller(never, lambda: None, Pace(0, 1, 5, None, None), clock)
    caller.run(BEGIN)
    caller.warm_up(10.0)
    assert not caller.rows


def never() -> Array:
    raise AssertionError("nobody is to be called")


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, 0), (0.1, 1), (2.5, 3)])
def test_warming_up_takes_its_time_and_is_not_recorded(seconds: float, calls: int) -> None:
    clock, made = FakeClock(), 0

    def predict() -> Array:
        nonlocal made
        made += 1
        clock.time += 1.0
        if made == 2:
            raise HandlerError("not yet")
        return np.zeros(1)

    caller = Caller(predict, lambda: None, Pace(0, 1, 5, None, None), clock)
    caller.warm_up(seconds)
    assert made == calls
    assert not caller.rows
    assert not caller.failures


@pytest.mark.parametrize(
    ("timing", "phases"),
    [
        (None, [None] * 8),
        (CallTiming("Predict", 9, 1, 2, 3, None), [1, 2, *[None] * 5, 3]),
        (CallTiming("Predict", 9, 1, 2, 3, ServerTiming(4, 5, 6, 7, 8)), [1, 2, 4, 5, 6, 7, 8, 3]),
    ],
)
def test_a_row_has_the_phases_in_the_order_of_the_data(
    timing: CallTiming | None, phases: list[float | None]
) -> None:
    said: Callable[[], CallTiming | None] = lambda: timing  # noqa: E731 - it is typed this way
    caller = Caller(lambda: np.zeros(3), said, Pace(0, 1, 1, None, None), FakeClock())
    caller.run(BEGIN)
    row = caller.rows[0]
    assert [None if np.isnan(value) else value for value in row[4:]] == phases
    assert row[COLUMNS.index("response bytes")] == 24
