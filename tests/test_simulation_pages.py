# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What simulations take from reality, and what pages tell of them, is what was found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import batching, pages
from benchmarks.results import rounded
from benchmarks.simulation import __main__ as command
from benchmarks.simulation import costs, envoy, measuring, page, plot, results, study, validation
from benchmarks.simulation.costs import Cost, Costs, Measured
from benchmarks.simulation.engine import simulate
from benchmarks.simulation.outcome import Outcome
from benchmarks.simulation.results import Results
from benchmarks.simulation.study import Row

MEASURED = Measured(
    payloads={
        name: Costs(
            bytes=size,
            latency=0.004,
            spread=0.25,
            server=Cost(0.003, server),
            fronts={"ray": Cost(0.004, 2 * server), "envoy": Cost(0.001, server / 2)},
        )
        for name, size, server in (
            ("state", 100, 0.001),
            ("2x224", 300_000, 0.002),
            ("16x2x224", 5_000_000, 0.005),
        )
    },
    connection=0.003,
    origins=measuring.ORIGINS,
    machine={"cpu": "CPU", "cores": 4, "os": "OS 1", "kernel": "Linux 6"},
    date="2026-01-31",
    validation=[],
)


def made_up_row(run: study.Run) -> Row:
    """Returns what a run might have come to, in which every figure tells its run."""
    replicas, latency = run.scenario.replicas, 0.01 * run.amount
    outcome = Outcome(
        calls=1000,
        seconds=10.0,
        calls_per_s=90.0 * replicas,
        mean=latency,
        p50=latency,
        p99=2 * latency,
        p999=3 * latency,
        in_flight=1.0,
        front=0.5,
        policy=0.6,
        busiest=0.7,
        batch=4.0,
    )
    return study.row_of(run, outcome)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Results:
    """Returns results of a whole run in which nothing was simulated."""

    def simulated(todo: list[study.Run], _: object) -> list[Row]:
        return [made_up_row(run) for run in todo]

    monkeypatch.setattr(study, "_simulated", simulated)
    return results.collect(MEASURED, study.carry_out(MEASURED, print))


# ---------------------------------------------------------------- costs


def test_what_was_measured_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    costs.write(path, MEASURED)
    assert costs.read(path) == MEASURED
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 0'), encoding="utf-8")
    with pytest.raises(ValueError, match="schema 0; known: 1"):
        costs.read(path)


def test_a_call_s_cost_is_that_of_its_request_and_its_small_reply() -> None:
    server, front = MEASURED.server("2x224"), MEASURED.front("ray", "2x224", 3)
    assert (server.request.mean, server.reply.mean) == pytest.approx((0.0015, 0.0005))
    assert (front.request.mean, front.reply.mean) == pytest.approx((0.003, 0.001))
    assert (front.processes, front.connection.mean) == (3, 0.003)
    assert server.request.spread == front.reply.spread == 0.25


def test_a_lone_call_takes_as_long_as_was_measured() -> None:
    alone = replace(study.scenario(MEASURED, 1, 1), policy=study.PLAIN, calls=3000)
    policy = study.FIXED.mean + study.ITEM
    assert simulate(alone).mean == pytest.approx(policy + 0.004, rel=0.01)


def test_as_many_processes_are_needed_as_leave_each_some_time() -> None:
    # 4 ms for a call, of which 70 % are to be worked: 175 calls a second.
    assert study.most_of_one(MEASURED, "ray", "2x224") == pytest.approx(250)
    assert [study.needed(rate, MEASURED, "ray") for rate in (174, 176, 1749)] == [1, 2, 10]


def test_costs_and_cases_are_measured_of_real_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "PAYLOADS", ("state",))
    monkeypatch.setattr(measuring, "_CONNECTIONS", 2)
    monkeypatch.setattr(validation, "CASES", [validation.Case("state", 2, 3, 0.001, 0.001)])
    said: list[str] = []
    found = measuring.measure(0.05, 1, said.append)
    assert set(found.origins) == {"ray", *["envoy"] * envoy.is_here()}
    cost = found.payloads["state"]
    assert 0 < cost.server.busy < 1
    (row,) = found.validation
    assert row["waited"] >= 0.001
    assert row["p99"] >= row["p50"] > row["waited"]
    assert said[-1].startswith("reality: ")
    ((_, error),) = validation.errors(found)
    assert set(error) == {"calls_per_s", "p50", "p99"}


# ---------------------------------------------------------------- the page


def test_parts_of_a_page_are_written_between_their_markers(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    # The first part is empty as yet.
    other = f"{pages.begin('c', 'w')}\n{pages.end('c')}\n"
    text = f"a\n{other}{pages.begin('c', 'x')}\nold\n{pages.end('c')}\nb\n"
    path.write_text(text, encoding="utf-8")
    for _ in range(2):
        pages.update(path, "c", "x", "new \\1\n")
        assert path.read_text(encoding="utf-8") == text.replace("old", "new \\1")
        assert pages.written(path, "c", "x") == "new \\1\n"
    pages.update(path, "c", "w", "")
    assert path.read_text(encoding="utf-8") == text.replace("old", "new \\1")
    with pytest.raises(ValueError, match="0 times; 1 is needed"):
        pages.update(path, "c", "y", "")
    with pytest.raises(ValueError, match="is missing"):
        pages.written(path, "d", "x")


def test_the_page_tells_of_every_size_and_front(made_up: Results) -> None:
    summary = page.PARTS["summary"](made_up)
    assert "1,000 replicas do 90,000 calls a second where one does 90: 1,000 times" in summary
    assert "full at 250 calls a second, those of 3 such replicas. 1,000 need 515." in summary
    replicas = page.PARTS["replicas"](made_up).splitlines()
    assert replicas[-1].startswith("| 1,000 | 8,000 | 90,000 | 10000 | 20000 | 30000 | 515 | 129 |")
    crowd = page.PARTS["crowd"](made_up).splitlines()
    assert crowd[-1] == "| 64 | 90.0 | 1280 | 90.0 | 1280 | 4.00 |"


def test_the_picture_of_the_same_results_is_the_same(tmp_path: Path, made_up: Results) -> None:
    path = tmp_path / "new" / "scaling.svg"
    plot.write(path, made_up)
    text = path.read_text(encoding="utf-8")
    for label in ("nothing between", "Envoy, 1 process", "ring of 1,024 points", "batches of up"):
        assert label in text
    plot.write(path, made_up)
    assert path.read_text(encoding="utf-8") == text


def test_results_are_read_as_they_were_written(tmp_path: Path, made_up: Results) -> None:
    path = tmp_path / "results.json"
    results.write(path, made_up)
    once = path.read_text(encoding="utf-8")
    results.write(path, results.read(path))
    assert path.read_text(encoding="utf-8") == once
    path.write_text(once.replace('"schema": 1', '"schema": 0'), encoding="utf-8")
    with pytest.raises(ValueError, match="schema 0; known: 1"):
        results.read(path)


# ---------------------------------------------------------------- what is committed


@pytest.mark.parametrize("name", page.PARTS)
def test_the_page_shows_the_committed_results(name: str) -> None:
    found = results.read(command.RESULTS)
    assert pages.written(command.PAGE, page.COMMAND, name) == page.PARTS[name](found)


def test_the_page_shows_the_committed_figures_of_batching() -> None:
    # Without figures that were taken on a quiet machine, it shows none.
    expected = ""
    if batching.RESULTS.exists():
        expected = batching.part(json.loads(batching.RESULTS.read_text(encoding="utf-8")))
    assert pages.written(batching.PAGE, batching.COMMAND, "batching") == expected


def test_the_committed_picture_is_of_the_committed_results() -> None:
    picture = command.PLOT.read_text(encoding="utf-8")
    assert "Latency by placement of sessions" in picture


def test_the_committed_results_are_of_the_committed_times() -> None:
    measured, found = costs.read(), results.read(command.RESULTS)
    again = json.loads(json.dumps(rounded(results.collect(measured, []))))
    assert {**found, "rows": []} == again


@pytest.mark.parametrize("index", range(3))
def test_who_simulates_again_finds_what_is_committed(index: int) -> None:
    small = [run for run in study.runs(costs.read(), most=2) if run.amount == 2]
    run = small[index]
    row = study.row_of(run, simulate(run.scenario))
    stored = results.one(results.read(command.RESULTS), run.study, run.line, run.amount)
    assert row.keys() == stored.keys()
    for key, value in row.items():
        # Another system's logarithm may differ in its last digit.
        same = value if isinstance(value, str) else pytest.approx(value, rel=0.02)
        assert stored[key] == same, key


# ---------------------------------------------------------------- batching


def test_a_measurement_is_compared_with_that_of_one_client() -> None:
    one = batching.figures("p", "v", 1, [0.02, 0.02])
    eight = batching.figures("p", "v", 8, [0.02, 0.03])
    rows = batching.compared([one, eight])
    assert rows[0]["times_the_rate"] == 1
    assert rows[1]["calls_per_s"] == pytest.approx(320)
    assert rows[1]["times_the_rate"] == pytest.approx(6.4)
    assert rows[1]["p99_to_one"] == pytest.approx(1.5)


def test_the_clients_of_a_policy_that_waits_are_joined() -> None:
    tiny = batching.Study(
        "waits 1 ms",
        "state",
        0.001,
        {name: batching.VARIANTS[name] for name in ("batches", "plain")},
        (1, 4),
    )
    rows = batching.measure([tiny], 0.05, 1, lambda _: None)
    found = [(row["variant"], row["clients"]) for row in rows]
    assert found == [("batches", 1), ("batches", 4), ("plain", 1), ("plain", 4)]
    assert all(row["p99"] > 0.001 for row in rows)
    assert batching.cells(rows[0])[:3] == ["waits 1 ms", "this, max_batch_size=64", "1"]
