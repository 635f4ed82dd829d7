# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What door and workers keep and tell: sessions, messages, the status of all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.schema.generated_monitor import (
    CallCount,
    Durations,
    RecentCalls,
    ServerStage,
    StatusResponse,
)
from praxis_remote.workers.messages import Message, MessageReader, write_message
from praxis_remote.workers.sessions import Sessions
from praxis_remote.workers.status import join_statuses


def test_of_too_many_sessions_those_that_connected_last_are_remembered() -> None:
    sessions = Sessions(most=3)
    for name in (b"a", b"b", b"c"):
        sessions.settle(name, 1)
    sessions.settle(b"a", 1)
    sessions.settle(b"d", 2)
    assert [sessions.home(name) for name in (b"a", b"b", b"c", b"d")] == [1, None, 1, 2]


def test_the_sessions_of_a_worker_that_is_gone_are_free_and_others_stay() -> None:
    sessions = Sessions()
    for number in range(6):
        sessions.settle(b"%d" % number, number % 2)
    assert sessions.forget(0) == 3
    assert [sessions.home(b"%d" % number) for number in range(6)] == [None, 1] * 3


def test_no_session_and_one_with_an_endless_name_are_not_remembered() -> None:
    sessions = Sessions()
    for name in (None, b"x" * 10_000):
        sessions.settle(name, 1)
        assert sessions.home(name) is None


MESSAGES = st.builds(
    Message,
    st.sampled_from(["connection", "ask"]),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none()),
    st.binary(max_size=50),
)


@given(messages=st.lists(MESSAGES), size=st.integers(1, 60))
def test_messages_come_as_they_were_sent_in_whatever_pieces(
    messages: list[Message], size: int
) -> None:
    data = b"".join(map(write_message, messages))
    reader = MessageReader()
    found = [m for i in range(0, len(data), size) for m in reader.feed(data[i : i + size])]
    assert found == messages


def test_the_status_of_all_is_the_sum_with_the_longest_times_and_the_best_stage() -> None:
    def status(number: int, stage: ServerStage) -> StatusResponse:
        times = Durations(p50=1.0 * number, p90=2.0, p99=4.0 - number, max=4.0)
        return StatusResponse(
            stage=stage,
            uptime=10.0 * number,
            model_info="the policy",
            version="1",
            connections=number,
            in_flight=number,
            waiting=number,
            held_bytes=number,
            request_bytes=number,
            response_bytes=number,
            covered_seconds=5.0 * number,
            counts=[
                CallCount(method="/p", code=0, calls=number, recent=number),
                CallCount(method="/p", code=number, calls=1),
            ],
            recent=[
                RecentCalls(method="/p", calls=number, rate=0.5, succeeded=1, total=times),
                RecentCalls(method=f"/{number}", calls=1, rate=1.0),
            ],
        )

    joined = join_statuses([status(1, ServerStage.WARMING), status(2, ServerStage.SERVING)])
    assert joined.stage == ServerStage.SERVING
    assert (joined.uptime, joined.covered_seconds, joined.model_info) == (20.0, 10.0, "the policy")
    sums = ("connections", "in_flight", "waiting", "held_bytes", "request_bytes", "response_bytes")
    assert {getattr(joined, name) for name in sums} == {3}
    counts = {(count.method, count.code): (count.calls, count.recent) for count in joined.counts}
    assert counts == {("/p", 0): (3, 3), ("/p", 1): (1, 0), ("/p", 2): (1, 0)}
    recent = {each.method: each for each in joined.recent}
    assert recent.keys() == {"/p", "/1", "/2"}
    assert (recent["/p"].calls, recent["/p"].rate, recent["/p"].succeeded) == (3, 1.0, 2)
    total = recent["/p"].total
    assert (total.p50, total.p90, total.p99, total.max) == (2.0, 2.0, 3.0, 4.0)
