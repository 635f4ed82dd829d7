# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is made of a peer's silence, second by second, without a second passing."""

from __future__ import annotations

from typing import Any

import pytest

from praxis_remote.http2.watch import Finding, Seen, Silences, Watch

SILENCES = Silences(ping=60, answer=20, stall=30, idle=3600)
REST = Seen(
    busy=False,
    begun=0,
    received=0,
    due=False,
    moved=0,
    unsent=False,
    under_way=False,
    taken=0,
)


class Story:
    """A connection, looked at once a second."""

    def __init__(self, silences: Silences = SILENCES) -> None:
        self._watch = Watch(silences, 0.0)
        self._now = 0.0
        self._seen = REST

    def for_seconds(self, seconds: int, **changes: Any) -> list[tuple[float, Finding]]:
        """Returns what was found, and when, after something has changed."""
        found: list[tuple[float, Finding]] = []
        self._seen = self._seen._replace(**changes)
        for _ in range(seconds):
            finding = self._watch.look(self._seen, self._now)
            if finding is not Finding.NOTHING:
                found.append((self._now, finding))
            self._now += 1
        return found


def test_a_connection_without_calls_is_left_alone_until_it_has_been_idle_for_long() -> None:
    assert Story().for_seconds(3601)[0] == (3600, Finding.IDLE)
    assert Story().for_seconds(3600) == []


def test_a_call_makes_it_anything_but_idle() -> None:
    story = Story()
    assert story.for_seconds(3000) == []
    assert story.for_seconds(1000, begun=1) == []
    assert story.for_seconds(3000, begun=2) == []


def test_a_silent_peer_is_asked_during_a_call_and_given_up_when_it_does_not_answer() -> None:
    story = Story()
    assert story.for_seconds(1000, received=9) == []
    assert story.for_seconds(1, received=10, busy=True, begun=1) == []
    assert story.for_seconds(80) == [(1060, Finding.ASK), (1080, Finding.GONE)]


def test_a_peer_that_was_silent_before_the_call_already_is_asked_at_once() -> None:
    story = Story()
    assert story.for_seconds(1000) == []
    assert story.for_seconds(21, busy=True) == [(1000, Finding.ASK), (1020, Finding.GONE)]


def test_short_calls_find_out_as_well_that_nobody_answers() -> None:
    story = Story()
    found = []
    for _ in range(50):
        found += story.for_seconds(1, busy=True)
        found += story.for_seconds(1, busy=False)
    assert found[:2] == [(60, Finding.ASK), (80, Finding.GONE)]


def test_a_peer_that_answers_is_asked_again_and_again() -> None:
    story = Story()
    assert story.for_seconds(61, busy=True) == [(60, Finding.ASK)]
    assert story.for_seconds(60, received=17) == []
    assert story.for_seconds(1) == [(121, Finding.ASK)]
    assert story.for_seconds(60, received=34) == []


def test_a_peer_that_talks_is_not_asked() -> None:
    story = Story()
    for received in range(10):
        assert story.for_seconds(50, busy=True, received=received) == []


def test_a_peer_behind_a_slow_way_is_not_given_up_as_long_as_something_goes_through() -> None:
    story = Story()
    for taken in range(300):
        assert story.for_seconds(1, busy=True, under_way=True, taken=taken) == []
    # All is handed over; what the system has still takes its time, and so does the answer.
    assert story.for_seconds(61)[0][1] is Finding.ASK
    for taken in range(300, 350):
        assert story.for_seconds(1, taken=taken) == []


def test_a_peer_that_takes_nothing_more_of_what_is_under_way_is_given_up() -> None:
    story = Story()
    assert story.for_seconds(10, busy=True, under_way=True, taken=5) == []
    assert story.for_seconds(71) == [(60, Finding.ASK), (80, Finding.GONE)]


def test_new_calls_that_go_out_are_no_sign_of_life() -> None:
    story = Story()
    found = []
    for taken in range(81):
        found += story.for_seconds(1, busy=True, taken=100 * taken)
    assert found == [(60, Finding.ASK), (80, Finding.GONE)]


def test_a_grpcio_server_is_asked_three_times_and_then_every_five_minutes() -> None:
    story = Story(Silences(ping=20, answer=20, sparing=True))
    asked: list[float] = []
    received = 0
    for _ in range(1000):
        found = story.for_seconds(1, busy=True, received=received)
        if found:
            asked.append(found[0][0])
            received += 17
    assert asked == [20, 41, 62, 363, 664, 965]
    assert story.for_seconds(21, received=received + 1, moved=5)[-1][1] is Finding.ASK


@pytest.mark.parametrize("what", ["due", "unsent"])
def test_what_does_not_move_is_found_after_its_time(what: str) -> None:
    finding = Finding.STALLED if what == "due" else Finding.BLOCKED
    assert Story().for_seconds(31, busy=True, **{what: True}) == [(30, finding)]


@pytest.mark.parametrize(("what", "progress"), [("due", "moved"), ("unsent", "taken")])
def test_what_moves_however_little_is_left_alone(what: str, progress: str) -> None:
    story = Story()
    for moved in range(10):
        changes: dict[str, Any] = {what: True, progress: moved}
        assert story.for_seconds(29, busy=True, received=moved, **changes) == []


def test_pings_of_the_peer_do_not_pass_for_a_message_that_moves() -> None:
    story = Story()
    for received in range(30):
        assert story.for_seconds(1, busy=True, due=True, received=received) == []
    assert story.for_seconds(1, received=100) == [(30, Finding.STALLED)]
