# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.calls import HEALTH_CHECK, PREDICT, RESET, Deadline
from praxis_remote.lanes import Lanes, Place

# A call enters with its episodes, or one of those that are there leaves.
EPISODES = st.lists(st.sampled_from("abc"), max_size=2)
ENTERS = st.tuples(st.sampled_from([PREDICT.path, RESET.path]), EPISODES)
PROGRAMS = st.lists(ENTERS | st.integers(0, 30), max_size=30)


def enter(lanes: Lanes, path: str, ids: list[str]) -> Place:
    place = lanes.enter(path, ids)
    assert place is not None
    return place


def wants_all(path: str, ids: list[str]) -> bool:
    return path == RESET.path and not ids


def must_follow(later: tuple[str, list[str]], earlier: tuple[str, list[str]]) -> bool:
    """Says it in one line, for all pairs."""
    return wants_all(*later) or wants_all(*earlier) or bool(set(later[1]) & set(earlier[1]))


@given(PROGRAMS)
def test_a_call_has_its_turn_when_nobody_before_it_has_one_of_its_episodes(
    program: list[tuple[str, list[str]] | int],
) -> None:
    async def main() -> None:
        lanes = Lanes(asyncio.get_running_loop())
        there: list[tuple[Place, tuple[str, list[str]]]] = []
        for step in program:
            if isinstance(step, tuple):
                there.append((enter(lanes, *step), step))
            elif there:
                # Also one whose turn has not come, as a call does that is cancelled.
                there.pop(step % len(there))[0].leave()
            for index, (place, call) in enumerate(there):
                blocked = any(must_follow(call, earlier) for _, earlier in there[:index])
                assert place.first == (not blocked)
        for place, _ in there:
            place.leave()
        assert not any((lanes._lanes, lanes._crossing, lanes._waiting, lanes._there))

    asyncio.run(main())


def test_other_methods_have_no_lanes() -> None:
    async def main() -> None:
        lanes = Lanes(asyncio.get_running_loop())
        assert lanes.enter(HEALTH_CHECK.path, None) is None
        assert enter(lanes, RESET.path, []).first

    asyncio.run(main())


def test_leaving_twice_lets_nobody_go_too_early() -> None:
    async def main() -> None:
        lanes = Lanes(asyncio.get_running_loop())
        first, second, third = (enter(lanes, PREDICT.path, ["a"]) for _ in range(3))
        first.leave()
        first.leave()
        assert (second.first, third.first) == (True, False)

    asyncio.run(main())


def test_a_turn_that_comes_in_time_is_told_from_one_that_does_not() -> None:
    async def main() -> None:
        lanes = Lanes(asyncio.get_running_loop())
        first, second = (enter(lanes, PREDICT.path, ["a"]) for _ in range(2))
        assert not await second.turn(Deadline.after(0.0))
        turn = asyncio.ensure_future(second.turn(None))
        asyncio.get_running_loop().call_soon(first.leave)
        assert await turn

    asyncio.run(main())
