# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.calls import Deadline
from praxis_remote.http2.deadlines import Deadlines


class FakeTime:
    """A clock, and a loop's timers, which go off when a test lets time pass.

    Args:
        early: How much too early the timers go off, as a loop's may.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, early: float = 0.0) -> None:
        self.now = 1000.0
        self.set = 0
        self._early = early
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._loop = asyncio.new_event_loop()
        asyncio._set_running_loop(self._loop)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(self._loop, "call_later", self._call_later)

    def close(self) -> None:
        asyncio._set_running_loop(None)
        self._loop.close()

    def _call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.now + delay, callback, args, self._loop)
        self.set += 1
        heapq.heappush(self._timers, (timer.when(), self.set, timer))
        return timer

    def after(self, seconds: float) -> Deadline:
        """Returns a deadline on this clock."""
        return Deadline.after(seconds, lambda: self.now)

    def waiting(self) -> int:
        """Returns how many timers there are."""
        return sum(not timer.cancelled() for _, _, timer in self._timers)

    def pass_seconds(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] - self._early <= end:
            when, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self.now = max(self.now, min(end, when - self._early))
                self._early = 0.0  # the next try is in time
                timer._run()
        self.now = end


@pytest.fixture
def clock() -> Iterator[FakeTime]:
    with pytest.MonkeyPatch.context() as patch:
        clock = FakeTime(patch)
        yield clock
        clock.close()


def test_what_is_due_is_called_once_and_in_the_order_of_time(clock: FakeTime) -> None:
    deadlines, rang = Deadlines(), list[float]()

    def ring(seconds: float) -> Callable[[], None]:
        return lambda: rang.append(seconds)

    for seconds in (3.0, 1.0, 2.0):
        deadlines.add(clock.after(seconds), ring(seconds))
    clock.pass_seconds(0.9)
    assert rang == []
    clock.pass_seconds(0.2)
    assert rang == [1.0]
    clock.pass_seconds(10)
    assert rang == [1.0, 2.0, 3.0]
    assert clock.waiting() == 0


def test_what_is_removed_is_not_called(clock: FakeTime) -> None:
    deadlines, rang = Deadlines(), list[str]()

    def first() -> None:
        rang.append("first")

    deadlines.add(clock.after(1), first)
    deadlines.add(clock.after(2), lambda: rang.append("second"))
    deadlines.remove(first)
    deadlines.remove(first)
    deadlines.remove(lambda: None)
    clock.pass_seconds(5)
    assert rang == ["second"]


def test_one_that_has_passed_already_is_called_by_the_loop_and_not_at_once(
    clock: FakeTime,
) -> None:
    deadlines, rang = Deadlines(), list[str]()
    deadlines.add(clock.after(-1), lambda: rang.append("late"))
    assert rang == []
    clock.pass_seconds(0)
    assert rang == ["late"]


def test_calls_that_end_in_time_set_no_timer_each(clock: FakeTime) -> None:
    deadlines = Deadlines()
    for _ in range(1000):

        def expire() -> None:
            raise AssertionError("it was removed")

        deadlines.add(clock.after(5), expire)
        clock.pass_seconds(0.01)
        deadlines.remove(expire)
    assert clock.set <= 5
    clock.pass_seconds(100)
    assert clock.waiting() == 0


def test_a_timer_that_goes_off_too_early_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rang = FakeTime(monkeypatch, early=0.25), list[float]()
    Deadlines().add(clock.after(1), lambda: rang.append(clock.now))
    clock.pass_seconds(0.8)
    assert rang == []
    clock.pass_seconds(0.3)
    assert rang == [1001.0]
    clock.close()


def test_one_may_end_another_that_is_due_and_begin_a_new_one(clock: FakeTime) -> None:
    deadlines, rang = Deadlines(), list[str]()

    def one() -> None:
        rang.append("one")
        deadlines.remove(two)
        deadlines.add(clock.after(1), lambda: rang.append("three"))

    def two() -> None:
        rang.append("two")
        deadlines.remove(one)
        deadlines.add(clock.after(1), lambda: rang.append("three"))

    deadlines.add(clock.after(1), one)
    deadlines.add(clock.after(1), two)
    clock.pass_seconds(1.5)
    assert len(rang) == 1
    clock.pass_seconds(1)
    assert rang[1:] == ["three"]


def test_after_the_end_nothing_is_called_and_nothing_is_left_in_the_loop(
    clock: FakeTime,
) -> None:
    deadlines, rang = Deadlines(), list[str]()
    for seconds in (1, 2, 3):
        deadlines.add(clock.after(seconds), lambda: rang.append("rang"))
    deadlines.clear()
    assert clock.waiting() == 0
    deadlines.clear()
    clock.pass_seconds(10)
    assert rang == []


def test_one_that_clears_the_rest_is_the_last(clock: FakeTime) -> None:
    """As a call does that finds its connection broken when it expires."""
    deadlines, rang = Deadlines(), list[str]()

    def last() -> None:
        rang.append("last")
        deadlines.clear()

    for _ in range(3):
        deadlines.add(clock.after(1), lambda: last())
    clock.pass_seconds(10)
    assert rang == ["last"]
    assert clock.waiting() == 0


def test_one_that_comes_after_the_end_is_called_like_any_other(clock: FakeTime) -> None:
    """Its call waits on a connection that was closed at this moment."""
    deadlines, rang = Deadlines(), list[str]()
    deadlines.add(clock.after(1), lambda: rang.append("cleared"))
    deadlines.clear()
    deadlines.add(clock.after(2), lambda: rang.append("later"))
    clock.pass_seconds(5)
    assert rang == ["later"]


actions = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(-1, 20)),
        st.tuples(st.just("remove"), st.integers(0, 10)),
        st.tuples(st.just("pass"), st.integers(0, 8)),
    ),
    max_size=30,
)


@given(actions)
def test_each_is_called_exactly_when_its_time_has_come(actions: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock, deadlines = FakeTime(patch), Deadlines()
        added: list[Callable[[], None]] = []
        rang: dict[int, float] = {}
        expected: dict[int, float] = {}
        try:
            for kind, number in actions:
                if kind == "add":
                    name = len(added)
                    expected[name] = max(clock.now, clock.now + number)
                    added.append(lambda name=name: rang.update({name: clock.now}))  # type: ignore[misc]
                    deadlines.add(clock.after(number), added[name])
                elif kind == "remove" and number < len(added):
                    deadlines.remove(added[number])
                    if number not in rang:
                        expected.pop(number, None)
                elif kind == "pass":
                    clock.pass_seconds(number)
                    due = {name: at for name, at in expected.items() if at <= clock.now}
                    assert rang == due
        finally:
            clock.close()


def test_a_real_loop_calls_it() -> None:
    async def main() -> None:
        rang = asyncio.Event()
        deadlines = Deadlines()
        deadlines.add(Deadline.after(60), lambda: None)
        deadlines.add(Deadline.after(0.001), rang.set)
        await asyncio.wait_for(rang.wait(), 30)
        deadlines.clear()

    asyncio.run(main())
