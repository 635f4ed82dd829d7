# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Which episodes are over is worked out from what was told, and nothing is remembered of those."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from praxis_remote.episodes import MAX_ID, Episodes
from praxis_remote.errors import InvalidArgumentError
from praxis_remote.sessions import Sessions


def call(
    episodes: Episodes, *names: str, now: float = 0, who: object = "me", on: object = 1
) -> None:
    episodes.begin(names, who, on)
    episodes.end(names, now)


def over(episodes: Episodes, now: float) -> dict[str, str]:
    episodes.look(now)
    return {**episodes.take()}


def due(episodes: Episodes) -> float | None:
    return episodes.next_due


def by_connection(grace: float = 10, ttl: float | None = None, most: int = 100) -> Episodes:
    return Episodes(ttl, most, Sessions(grace))


# ---------------------------------------------------------------- time


def test_an_episode_is_over_when_its_last_call_ended_that_long_ago() -> None:
    episodes = Episodes(60, 100)
    call(episodes, "a", now=0)
    call(episodes, "b", now=5)
    call(episodes, "a", now=10)
    assert due(episodes) == 65
    assert over(episodes, 64.9) == {}
    assert over(episodes, 65) == {"b": "unused"}
    assert due(episodes) == 70
    assert over(episodes, 70) == {"a": "unused"}
    assert due(episodes) is None
    assert len(episodes) == 0


def test_an_episode_with_a_call_is_not_idle_however_long_that_takes() -> None:
    episodes = Episodes(60, 100)
    episodes.begin(["a"], "me", 1)
    episodes.begin(["a"], "me", 1)
    episodes.end(["a"], 0)
    assert over(episodes, 1000) == {}
    episodes.end(["a"], 1000)
    assert over(episodes, 1059) == {}
    assert over(episodes, 1060) == {"a": "unused"}


def test_an_episode_that_is_twice_in_a_batch_is_one() -> None:
    episodes = Episodes(60, 100)
    call(episodes, "a", "a")
    assert len(episodes) == 1
    assert over(episodes, 60) == {"a": "unused"}


def test_what_is_over_goes_on_if_a_call_comes_before_it_is_ended() -> None:
    episodes = Episodes(60, 100)
    call(episodes, "a", "b")
    episodes.look(60)
    episodes.begin(["a"], "me", 1)
    assert episodes.take() == {"b": "unused"}
    episodes.end(["a"], 61)
    assert over(episodes, 121) == {"a": "unused"}


def test_nothing_is_over_twice() -> None:
    episodes = Episodes(60, 100)
    call(episodes, "a")
    assert over(episodes, 60) == {"a": "unused"}
    assert over(episodes, 120) == {}


def test_an_episode_that_was_reset_is_forgotten() -> None:
    episodes = by_connection(ttl=60)
    call(episodes, "a", "b")
    episodes.begin(["a"], "me", 1)
    episodes.end(["a"], 1, forgotten=True)
    assert over(episodes, 100) == {"b": "unused"}


def test_an_episode_that_was_reset_amid_other_calls_is_remembered_for_those() -> None:
    episodes = Episodes(60, 100)
    episodes.begin(["a"], "me", 1)  # the reset
    episodes.begin(["a"], "me", 1)  # the first call of what comes after
    episodes.end(["a"], 1, forgotten=True)
    episodes.end(["a"], 2)
    assert over(episodes, 62) == {"a": "unused"}


def test_a_reset_of_everything_forgets_all_but_what_came_after() -> None:
    episodes = by_connection(ttl=60)
    call(episodes, "a", "b", "c")
    episodes.look(60)
    call(episodes, "d")
    episodes.begin(["c"], "me", 1)
    episodes.forget_all()
    assert not episodes.any_over
    episodes.end(["c"], 61)
    assert over(episodes, 1000) == {"c": "unused"}


# ---------------------------------------------------------------- connections


def test_an_episode_is_over_when_its_client_has_not_come_back_for_the_grace() -> None:
    episodes = by_connection()
    call(episodes, "a", who="me", on=1)
    call(episodes, "b", who="you", on=2)
    episodes.disconnected(1, 100)
    assert episodes.next_due == 110
    assert over(episodes, 109.9) == {}
    assert over(episodes, 110) == {"a": "disconnected"}
    assert episodes.next_due is None


def test_a_client_that_comes_back_in_time_goes_on_with_all_of_its_episodes() -> None:
    episodes = by_connection()
    call(episodes, "a", "b", on=1)
    episodes.disconnected(1, 100)
    call(episodes, "a", now=105, on=2)
    assert over(episodes, 1000) == {}
    episodes.disconnected(2, 1000)
    assert over(episodes, 1010) == {"a": "disconnected", "b": "disconnected"}


def test_a_client_that_calls_without_episodes_has_come_back_too() -> None:
    episodes = by_connection()
    call(episodes, "a", on=1)
    episodes.disconnected(1, 100)
    call(episodes, now=105, on=2)
    assert over(episodes, 1000) == {}


def test_the_last_connection_of_a_session_counts() -> None:
    episodes = by_connection()
    call(episodes, "a", on=1)
    call(episodes, "b", on=2)
    episodes.disconnected(1, 100)
    assert over(episodes, 1000) == {}
    episodes.disconnected(2, 1000)
    assert over(episodes, 1010) == {"a": "disconnected", "b": "disconnected"}


def test_an_episode_belongs_to_the_client_that_used_it_last() -> None:
    episodes = by_connection()
    call(episodes, "a", who="me", on=1)
    call(episodes, "a", who="you", on=2)
    episodes.disconnected(1, 100)
    assert over(episodes, 1000) == {}
    episodes.disconnected(2, 1000)
    assert over(episodes, 1010) == {"a": "disconnected"}


def test_an_episode_of_a_lost_client_ends_after_the_calls_that_others_have_with_it() -> None:
    episodes = by_connection()
    episodes.begin(["a"], "you", 2)
    call(episodes, "a", who="me", on=1)
    episodes.disconnected(1, 100)
    assert over(episodes, 110) == {}
    episodes.end(["a"], 111)
    assert over(episodes, 120) == {"a": "disconnected"}


def test_a_connection_without_episodes_may_close() -> None:
    episodes = by_connection()
    episodes.disconnected(1, 100)
    assert episodes.next_due is None


# ---------------------------------------------------------------- limits


def test_beyond_the_limit_the_longest_unused_ends() -> None:
    episodes = by_connection(most=2)
    for name in ("a", "b", "a", "c"):
        call(episodes, name)
    assert episodes.take() == {"b": "too_many"}
    assert len(episodes) == 2


def test_what_is_used_does_not_end_though_there_are_too_many() -> None:
    episodes = Episodes(60, 1)
    episodes.begin(["a", "b", "c"], "me", 1)
    assert len(episodes) == 3
    episodes.end(["a", "b", "c"], 0)
    assert list(episodes.take()) == ["b", "a"]


def test_a_policy_that_hangs_makes_nobody_remember_more_and_more() -> None:
    episodes = by_connection(most=3)
    call(episodes, "ran")
    for number in range(100):
        episodes.begin([str(number)], "me", 1)
        episodes.end([str(number)], 0, ran=False)
    assert len(episodes) == 3
    taken = episodes.take()
    assert len(taken) == 3
    assert "ran" in taken


def test_whatever_the_policy_has_heard_of_it_is_told_to_end() -> None:
    episodes = by_connection(most=3)
    for number in range(100):
        call(episodes, str(number))
    assert len(episodes.take()) == 97
    assert not episodes._new


def test_an_id_that_is_too_long_is_refused_before_anything_is_remembered() -> None:
    episodes = by_connection(ttl=60)
    call(episodes, "a" * MAX_ID)
    with pytest.raises(InvalidArgumentError, match=r"episode_ids\[1\]: 1025 characters; at most"):
        episodes.begin(["b", "c" * (MAX_ID + 1)], "me", 1)
    assert len(episodes) == 1


def test_what_an_episode_takes_is_small_and_given_back() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        episodes = by_connection(ttl=60, most=2000)
        call(episodes, "first")
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1000):
            call(episodes, f"episode {number}", who=f"session {number}", on=number)
        each = (tracemalloc.get_traced_memory()[0] - before) / 1000
        assert each < 2000  # a set for each of session and connection
        for number in range(1000):
            episodes.disconnected(number, 0)
        assert len(over(episodes, 1000)) == 1001
        assert episodes.next_due is None
        left = [dict(vars(episodes)), dict(vars(episodes._sessions))]
    finally:
        tracemalloc.stop()
    values = [value for table in left for value in table.values() if hasattr(value, "__len__")]
    assert [len(value) for value in values if not isinstance(value, Sessions)] == [0] * 8


# ---------------------------------------------------------------- the tables


class Machine(RuleBasedStateMachine):
    """What is remembered of sessions and connections is what there are episodes for."""

    names = st.sampled_from("abcd")
    few = st.sampled_from([1, 2, 3])

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sessions = Sessions(10)
        self.episodes = Episodes(60, 3, self.sessions)
        self.running: list[tuple[str, ...]] = []

    @rule(some=st.lists(names, max_size=3), who=few, on=few)
    def begin(self, some: list[str], who: int, on: int) -> None:
        self.episodes.begin(some, f"session {who}", on)
        self.running.append(tuple(some))

    @rule(which=st.integers(0, 5), ran=st.booleans(), forgotten=st.booleans())
    def end(self, which: int, ran: bool, forgotten: bool) -> None:
        if self.running:
            some = self.running.pop(which % len(self.running))
            self.episodes.end(some, self.now, ran=ran, forgotten=forgotten)

    @rule(on=few)
    def disconnect(self, on: int) -> None:
        self.episodes.disconnected(on, self.now)

    @rule(seconds=st.sampled_from([1, 10, 60]))
    def look(self, seconds: float) -> None:
        self.now += seconds
        self.episodes.look(self.now)
        due = self.episodes.next_due
        assert due is None or due > self.now

    @rule()
    def take(self) -> None:
        assert not set(self.episodes.take()) & {name for some in self.running for name in some}

    @rule()
    def forget_all(self) -> None:
        self.episodes.forget_all()

    @invariant()
    def tables_agree(self) -> None:
        sessions, episodes = self.sessions, self.episodes
        assert set(episodes._busy) == {name for some in self.running for name in some}
        assert not set(episodes._busy) & set(episodes._idle)
        assert episodes._new <= set(episodes._busy) | set(episodes._idle)
        known = set(episodes._busy) | set(episodes._idle)
        assert set(sessions._owners) == known
        assert all(name in owner.episodes for name, owner in sessions._owners.items())
        assert set(sessions._sessions.values()) == set(sessions._owners.values())
        for connection, some in sessions._by_connection.items():
            assert some
            assert all(connection in session.connections for session in some)
        for session in sessions._sessions.values():
            assert (session in sessions._gone) == (not session.connections)
            assert all(session in sessions._by_connection[c] for c in session.connections)
        assert set(sessions._gone) <= set(sessions._sessions.values())


TestTables = Machine.TestCase
TestTables.settings = settings(max_examples=50, stateful_step_count=30)
