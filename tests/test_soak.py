# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from soak import __main__ as command
from soak import hostile
from soak.kinds import ANSWERED, KINDS, LATE, WRONG, draw, stamp
from soak.offender import OFFENDERS
from soak.policy import Policy, answer
from soak.run import Plan, Soak, soak
from soak.tally import Tally
from soak.verdict import LEFT, judge, slope

IDLE = {**dict.fromkeys(LEFT, 3), "errors": 0}


def good() -> Tally:
    tally = Tally()
    tally.add("state", ANSWERED)
    tally.add("short timeout", LATE)
    return tally


# ---------------------------------------------------------------- a short one


def test_nothing_goes_wrong_and_nothing_is_left_of_64_clients() -> None:
    plan = Plan(seconds=8, connections=64, processes=2, pause=0.2, kill=5, seed=0)
    shown = []
    found = soak(plan, lambda now, tally, look: shown.append(look))
    assert judge(found.tally, found.before, found.after, found.growth, bound=0) == []
    assert found.killed > 0
    assert found.most["connections"] >= 64
    assert found.tally.outcomes["state", ANSWERED] > 64
    assert shown
    assert "calls by kind" in command.report(found)


# ---------------------------------------------------------------- what is counted


def test_every_call_gets_an_answer_that_is_only_its_own() -> None:
    chance = random.Random(0)
    batch = KINDS["cameras"].make
    assert batch is not None
    one, other = batch(), batch()
    for each in (one, other):
        stamp(each, chance)
    policy = Policy()
    assert np.array_equal(policy.predict_action(one, policy_kwargs={}), answer(one, 0))
    assert not np.array_equal(answer(one, 0), answer(other, 0))
    assert policy.predict_action(one, policy_kwargs={"floats": 7}).shape == (7,)
    before = answer(one, 0)
    one[0]["observation.images.1"][0, 0, 0] ^= 1
    assert not np.array_equal(answer(one, 0), before)


def test_every_kind_comes_up() -> None:
    chance = random.Random(0)
    assert {draw(chance) for _ in range(20_000)} == set(KINDS)


def test_what_processes_report_adds_up() -> None:
    total = Tally()
    for late in (0.5, 0.25):
        tally = good()
        tally.late["short timeout"] = [late]
        tally.add("state", WRONG, "seven instead of eight")
        total.merge(Tally.read(json.loads(json.dumps(tally.take()))))
        assert tally.take()["outcomes"] == []
    assert total.outcomes["state", ANSWERED] == 2
    assert total.late == {"short timeout": [0.5, 0.25]}
    assert total.unforeseen() == ["state: wrong answer: 2"]
    assert total.texts == ["state: wrong answer: seven instead of eight"] * 2


# ---------------------------------------------------------------- the verdict


def test_all_is_well_when_nothing_is_left() -> None:
    assert judge(good(), IDLE, IDLE, None, 100) == []
    assert judge(good(), IDLE, IDLE, 99.0, 100) == []


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_is_named(name: str) -> None:
    after = {**IDLE, name: 4}
    assert judge(good(), IDLE, after, None, 100) == [
        f"{name}: 4 when all have left; 3 at the start"
    ]


def test_errors_growth_and_idleness_are_named() -> None:
    wrong = judge(Tally(), IDLE, {**IDLE, "errors": 2}, 101.0, 100)
    assert wrong == [
        "no call was made",
        "the server logged 2 errors",
        "memory grew by 101 kB a minute; allowed: 100",
    ]


def test_an_outcome_that_nobody_asked_for_is_named() -> None:
    tally = good()
    tally.add("health", LATE, "the timeout passed")
    assert judge(tally, IDLE, IDLE, None, 100) == [
        "health: DeadlineExceededError: 1",
        "health: DeadlineExceededError: the timeout passed",
    ]


def samples(growth: float) -> list[tuple[float, float]]:
    """Memory as it is seen each second: a large message now and then, and a warm-up."""
    chance = random.Random(0)
    return [
        (second, 1e8 + growth * second + min(second, 60) * 1e6 + chance.choice([0, 0, 6e7]))
        for second in range(600)
    ]


def test_growth_is_seen_below_messages_that_come_and_go() -> None:
    flat, growing = slope(samples(0)), slope(samples(1000))
    assert flat == pytest.approx(0, abs=1)
    assert growing == pytest.approx(1000, abs=1)


def test_too_short_a_time_tells_nothing_of_growth() -> None:
    assert slope(samples(1000)[:200]) is None
    assert slope([]) is None


def test_the_exit_code_tells_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for growth, code in ((1.0, 0), (1000.0, 1)):

        def run(plan: Plan, show: Any, growth: float = growth) -> Soak:
            show(0.0, good(), {"rss": 1, **IDLE})
            return Soak(good(), IDLE, IDLE, IDLE, growth, 0)

        monkeypatch.setattr(command, "soak", run)
        monkeypatch.setattr(command, "_line", lambda look: "as ever")
        assert command.main(["--seconds", "1"]) == code
        assert ("FAILED" in capsys.readouterr().out) == bool(code)


# ---------------------------------------------------------------- offenders


def test_a_client_is_measured_beside_an_offender(capsys: pytest.CaptureFixture[str]) -> None:
    hostile.main(["--seconds", "0.1", "--only", "nothing", "pings"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["nothing", "pings"]
    assert not any("failed" in line for line in lines)
    assert "nothing" in OFFENDERS
