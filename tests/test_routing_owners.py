# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Who has which episode, on a clock that is a number."""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from profiles import examples

from praxis_remote.routing.owners import Key, Owners

TTL = 10.0


def owners_of(*names: str, most: int = 1000) -> Owners:
    owners = Owners(TTL, most)
    for name in names:
        owners.add(name)
    return owners


def test_new_episodes_go_to_whom_has_the_fewest() -> None:
    owners = owners_of("a", "b", "c")
    found = Counter(owners.find(("s", str(number)), 0) for number in range(30))
    assert found == {"a": 10, "b": 10, "c": 10}


def test_episodes_of_two_sessions_with_one_id_are_two() -> None:
    owners = owners_of("a", "b")
    assert {owners.find((session, "0"), 0) for session in "xy"} == {"a", "b"}


def test_without_owners_there_is_none() -> None:
    owners = owners_of()
    assert owners.find(("s", "0"), 0) is None
    assert owners.begin_anew(("s", "0"), 0) == ()


def test_an_episode_that_is_not_seen_for_long_is_forgotten() -> None:
    owners = owners_of("a", "b")
    assert owners.find(("s", "old"), 0) == "a"
    assert owners.find(("s", "new"), 5) == "b"
    assert owners.loads() == {"a": 1, "b": 1}
    owners.find(("s", "new"), TTL)
    assert owners.loads() == {"a": 0, "b": 1}


def test_of_too_many_episodes_those_that_were_not_seen_for_longest_go() -> None:
    owners = owners_of("a", most=2)
    for number in (0, 1, 0, 2):
        owners.find(("s", str(number)), 0)
    assert owners.loads() == {"a": 2}
    owners.add("b")
    # Who is forgotten goes to whom has fewer; who is not stays.
    assert [owners.find(("s", str(number)), 0) for number in (0, 2)] == ["a", "a"]
    assert owners.find(("s", "1"), 0) == "b"


def test_what_is_reset_stays_while_the_shares_are_even() -> None:
    owners = owners_of("a", "b")
    before = [owners.find(("s", str(number)), 0) for number in range(4)]
    for number, owner in enumerate(before):
        assert owners.begin_anew(("s", str(number)), 0) == (owner,)
    assert owners.loads() == {"a": 0, "b": 0}
    assert [owners.find(("s", str(number)), 0) for number in range(4)] == before


def test_what_is_reset_moves_to_one_that_came_and_both_are_told() -> None:
    owners = owners_of("a")
    keys = [("s", str(number)) for number in range(4)]
    for key in keys:
        owners.find(key, 0)
    owners.add("b")
    assert [owners.find(key, 0) for key in keys] == ["a"] * 4
    assert [owners.begin_anew(key, 0) for key in keys] == [("a", "b"), ("a", "b"), ("a",), ("a",)]
    assert [owners.find(key, 0) for key in keys] == ["b", "b", "a", "a"]


def test_an_episode_that_is_reset_before_it_begins_has_its_owner_from_then_on() -> None:
    owners = owners_of("a", "b")
    (owner,) = owners.begin_anew(("s", "0"), 0)
    owners.find(("s", "1"), 0)
    assert owners.find(("s", "0"), 0) == owner


class Model(RuleBasedStateMachine):
    """Owners come and go; whoever has an episode keeps it in its midst."""

    def __init__(self) -> None:
        super().__init__()
        self.owners = Owners(TTL)
        self.there: set[str] = set()
        self.has: dict[Key, str] = {}
        self.seen: dict[Key, float] = {}
        self.now = 0.0

    keys = st.tuples(st.sampled_from("xy"), st.sampled_from(["0", "1", "2", "3", None]))
    names = st.sampled_from("abc")

    def forget(self) -> None:
        for key in [key for key, seen in self.seen.items() if self.now - seen >= TTL]:
            del self.seen[key]
            self.has.pop(key, None)

    @rule(name=names)
    def add(self, name: str) -> None:
        self.owners.add(name)
        self.there.add(name)

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.owners.remove(name)
        self.there.discard(name)
        self.has = {key: owner for key, owner in self.has.items() if owner != name}

    @rule(seconds=st.floats(0, TTL))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=keys)
    def use(self, key: Key) -> None:
        self.forget()
        owner = self.owners.find(key, self.now)
        if not self.there:
            assert owner is None
            return
        assert owner in self.there
        assert owner == self.has.setdefault(key, owner)
        self.seen[key] = self.now

    @rule(key=keys)
    def reset(self, key: Key) -> None:
        self.forget()
        told = self.owners.begin_anew(key, self.now)
        assert set(told) <= self.there
        assert bool(told) == bool(self.there)
        if told:
            assert told[0] == self.has.get(key, told[0])
            self.has[key] = told[-1]
            self.seen[key] = self.now

    @rule()
    def clear(self) -> None:
        self.owners.clear()
        self.has, self.seen = {}, {}

    @invariant()
    def nothing_is_counted_that_is_not_there(self) -> None:
        loads = self.owners.loads()
        assert set(loads) == self.there
        assert all(load >= 0 for load in loads.values())


Model.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=30)
TestOwners = Model.TestCase
