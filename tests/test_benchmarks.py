# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What the benchmarks measure is real work, and what they tell of it is what was measured.

Nothing here looks at how long anything took.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registry import give_up, venv_with

from benchmarks import (
    __main__ as command,
)
from benchmarks import (
    crowd,
    features,
    figures,
    memory,
    micro,
    plot,
    profiling,
    readme,
    rounds,
    same_host,
    tables,
)
from benchmarks import results as results_module
from benchmarks.growth import growth
from benchmarks.pairs import PAIRS, Pair, Peer, Running, compare, versions
from benchmarks.payloads import digest, payload
from benchmarks.peers.client import Limit
from benchmarks.plan import HEADLINE, plan
from benchmarks.process import PeerError, Process
from benchmarks.results import Results, read, summarize, write
from benchmarks.rounds import Sample, Study
from tools.environments import UnreachableError

TINY = Limit(least=2, most=2, seconds=0)


def quiet(_: str) -> None:
    """Takes progress."""


# ---------------------------------------------------------------- peers


def installed(name: str) -> Pair:
    """Returns a pair whose environments are there."""
    pair = PAIRS[name]
    for peer in (pair.client, pair.server):
        if peer.environment is not None:
            venv_with(peer.environment, peer.requirements)
    return pair


def pairs() -> Iterator[Any]:
    for name, pair in PAIRS.items():
        local = pair.client.environment is None and pair.server.environment is None
        yield pytest.param(name, marks=[] if local else pytest.mark.registry)


@pytest.mark.parametrize("name", list(pairs()))
def test_a_peer_takes_the_observations_there_and_brings_the_action_back(name: str) -> None:
    with Running(installed(name)) as running:
        for sent in ("state", "keys-3", "actions"):
            running.check(sent)
        running.server.ask("answer", name="keys-3", watch=True)
        running.client.ask("check", name="keys-3")
        # Bare sockets carry bytes; nobody knows what they mean.
        expected = None if name == "bare" else digest(payload("keys-3").batch)
        assert running.server.ask("seen") == expected
        sample = rounds.measure_one(running, "state", TINY)
    assert len(sample["times"]) == 2
    assert all(seconds > 0 for seconds in sample["times"])


def test_a_wrong_action_ends_the_benchmark() -> None:
    with Running(PAIRS["bare"]) as running:
        running.server.ask("answer", name="actions")
        with pytest.raises(PeerError, match=r"state: wrong action, float32 \(16, 50, 32\)"):
            running.client.ask("check", name="state")


def test_a_policy_that_saw_something_else_ends_the_benchmark() -> None:
    compare("state", ["a=1"], ["a=1"])
    compare("state", ["a=1"], None)
    with pytest.raises(PeerError, match=r"saw \['a=2'\] instead of \['a=1'\]"):
        compare("state", ["a=1"], ["a=2"])


def test_a_digest_tells_keys_values_dtypes_and_shapes_apart() -> None:
    array = np.arange(6, dtype=np.int32)
    batches: list[list[dict[str, Any]]] = [
        [{"a": array}],
        [{"b": array}],
        [{"a": array + 1}],
        [{"a": array.astype(np.int64)}],
        [{"a": array.reshape(2, 3)}],
        [{"a": "text"}],
        [{"a": array}] * 2,
    ]
    assert len({tuple(digest(batch)) for batch in batches}) == len(batches)


def test_a_peer_that_dies_is_told() -> None:
    with (
        Process(Path(sys.executable), "no_such_module") as process,
        pytest.raises(PeerError, match="ended with 1"),
    ):
        process.ask("versions")


def test_another_version_than_the_promised_one_is_told() -> None:
    wrong = Peer("praxis", version="0.0.9")
    with pytest.raises(PeerError, match=r"instead of 0\.0\.9"):
        versions(wrong)


@pytest.mark.registry
def test_the_published_version_is_what_is_compared_with() -> None:
    found = versions(installed("published").server)
    assert found["praxis-remote"] == "0.1.1"
    assert "grpcio" in found


# ---------------------------------------------------------------- figures


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [figures.percentile(values, percent) for percent in (50, 90, 99, 100)] == [
        50,
        90,
        99,
        100,
    ]
    assert figures.percentile([7.0], 50) == figures.percentile([7.0], 99) == 7.0
    assert figures.percentile([1.0, 2.0, 3.0], 50) == 2.0


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    assert figures.ratio([1, 6, 9], [2, 2, 3]) == {"median": 3, "least": 0.5, "most": 3}
    with pytest.raises(ValueError, match="zip"):
        figures.ratio([1, 2], [1])


def sample(number: int, pair: str, name: str, *milliseconds: float) -> Sample:
    times = tuple(each / 1e3 for each in milliseconds)
    return Sample(number, pair, name, times, 1e-3 * number, 2e-3, 10 + number, 20)


def test_a_summary_is_of_all_rounds_together() -> None:
    samples = [
        sample(number, "this", "state", *times)
        for number, times in enumerate([(1, 2, 3), (4, 5, 6), (10, 10, 10)])
    ]
    found = figures.summary(samples, message_bytes=51_000)
    assert found == {
        "calls": 9,
        "p50_ms": pytest.approx(5),
        "p90_ms": pytest.approx(10),
        "p99_ms": pytest.approx(10),
        "p50_ms_by_round": pytest.approx([2, 5, 10]),
        "calls_per_s": pytest.approx(9 / 0.051),
        "mb_per_s": pytest.approx(9),
        "client_cpu_ms": pytest.approx(1),
        "server_cpu_ms": pytest.approx(2),
        "client_peak_bytes": 12,
        "server_peak_bytes": 20,
    }


def test_each_pair_is_compared_with_the_references_that_were_measured() -> None:
    samples = [
        sample(number, pair, name, milliseconds * (number + 1))
        for number in range(3)
        for pair, name, milliseconds in [
            ("this", "state", 1),
            ("published", "state", 2),
            ("this", "keys-1", 3),
        ]
    ]
    rows = {(row["pair"], row["payload"]): row["ratio_to"] for row in summarize(samples)}
    assert rows["this", "state"]["published"]["median"] == pytest.approx(0.5)
    assert rows["published", "state"]["published"]["median"] == 1
    assert rows["this", "keys-1"] == {}
    assert "zeromq" not in rows["this", "state"]


def test_a_line_is_found_whatever_its_scale() -> None:
    sizes = [1e3, 1e5, 6e7]
    offset, slope = figures.affine(sizes, [0.5 + 2e-6 * size for size in sizes])
    assert offset == pytest.approx(0.5)
    assert slope == pytest.approx(2e-6)


def test_a_crowd_is_summed_by_round_and_by_caller() -> None:
    assert crowd.summary([[1, 2], [3, 6], [2, 2]], seconds=2) == {
        "calls_per_s": 2,
        "calls_per_s_by_round": [1.5, 4.5, 2],
        "fewest_calls": 6,
        "most_calls": 10,
    }


# ---------------------------------------------------------------- results


def made_up(milliseconds: Callable[[str, str], float] = lambda *_: 2.0) -> Results:
    """Returns results of everything that a whole run measures."""
    whole = plan(rounds=2)
    return {
        "schema": results_module.SCHEMA,
        "date": "2026-01-31",
        "machine": {"cpu": "CPU", "cores": 4, "os": "OS 1", "kernel": "Linux 6"},
        "rounds": 2,
        "pairs": {
            name: {"title": PAIRS[name].title, "python": "3.11.0", "numpy": "2.0"}
            for name in whole.pairs
        },
        "payloads": {},
        "studies": {
            study.name: {"pairs": list(study.pairs), "payloads": list(study.payloads)}
            for study in whole.studies
        },
        "calls": summarize(
            [
                sample(number, pair, name, milliseconds(pair, name))
                for study in whole.studies
                for pair in study.pairs
                for name in study.payloads
                for number in range(2)
            ]
        ),
        "crowds": [
            {
                "mode": mode,
                "payload": name,
                "pair": pair,
                "callers": whole.callers,
                **crowd.summary([[5, 6, 7], [8, 9, 10]], seconds),
                "ratio_to": {"published": {"median": 2, "least": 1, "most": 3}},
            }
            for mode in crowd.MODES
            for name, seconds in whole.crowd.items()
            for pair in whole.crowd_pairs
        ],
        "memory": [
            {
                "pair": pair,
                "client_peak": 1.5,
                "client_remains": None,
                "client_peak_of_10": 2,
                "server_peak": 2.5,
                "server_remains": 0.25,
                "server_peak_of_10": 9.75,
            }
            for pair in whole.memory_pairs
        ],
    }


@pytest.fixture(scope="module")
def linear() -> Results:
    """Results in which this takes 1 ms and 1 ms for each thing sent, and others thrice that."""

    def milliseconds(pair: str, name: str) -> float:
        amount = name.rpartition("-")[2]
        each = 1 + float(amount) if amount.isdigit() else 4
        return each if pair == "this" else 3 * each

    return made_up(milliseconds)


def test_results_are_read_as_they_were_written(tmp_path: Path, linear: Results) -> None:
    path = tmp_path / "new" / "results.json"
    write(path, linear)
    once = path.read_text(encoding="utf-8")
    write(path, read(path))
    assert path.read_text(encoding="utf-8") == once
    assert read(path)["pairs"] == linear["pairs"]


def test_results_of_another_schema_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write(path, {**made_up(), "schema": 0})
    with pytest.raises(ValueError, match="schema 0; known: 1"):
        read(path)


def test_growth_is_a_line_and_the_distance_from_it(linear: Results) -> None:
    found = growth(linear, "keys", "this")
    assert found is not None
    assert found.offset == pytest.approx(1)
    assert found.slope == pytest.approx(1)
    assert found.worst == pytest.approx(1)
    assert growth(linear, "keys", "zeromq") is None
    bent = growth(made_up(lambda _, name: 9 if name == "keys-20" else 1), "keys", "this")
    assert bent is not None
    assert bent.worst > 2


def test_the_tables_have_every_pair_and_payload(linear: Results) -> None:
    text = tables.render(linear)
    for study in linear["studies"].values():
        for name in study["pairs"]:
            assert PAIRS[name].title in text
    assert text.count("to ZeroMQ (rounds)") == len({row["payload"] for row in linear["calls"]})
    assert "0.33 (0.33-0.33)" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["8", "threads,", "state", "this", "22.5", "2.00", "(1.00-3.00)", "13", "17"] in lines
    assert ["bare", "sockets", "1.50", "2.00", "2.50", "0.25", "9.75"] in lines
    assert text.count("key  ") == len(linear["studies"]["keys"]["pairs"])


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert (
        tables.table(["a", "bb"], [["ccc", "d"], ["", "eeee"]]) == "a      bb\nccc     d\n     eeee"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (45678.0, "45678")]
)
def test_a_number_has_three_digits(value: float, text: str) -> None:
    assert tables.number(value) == text


def test_the_plot_has_a_line_for_each_peer_and_what_it_grows_by(
    tmp_path: Path, linear: Results
) -> None:
    path = tmp_path / "new" / "benchmark.svg"
    plot.write(path, linear)
    text = path.read_text(encoding="utf-8")
    for name in linear["studies"]["size"]["pairs"]:
        assert PAIRS[name].title in text
    assert "this, as 1.00 ms + 1000000.00 ms/MB" in text
    assert "this: 1.00 ms + 1000 µs each" in text
    plot.write(path, linear)
    assert path.read_text(encoding="utf-8") == text


def test_a_plot_of_little_is_a_plot(tmp_path: Path, linear: Results) -> None:
    path = tmp_path / "benchmark.png"
    plot.write(path, {**linear, "studies": {}})
    assert path.read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------- the README


def test_the_readme_is_written_between_its_markers(tmp_path: Path, linear: Results) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        readme.update(path, linear)
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"before\n{readme.BEGIN}\n| ")
        assert text.endswith(f"\n{readme.END}\nafter\n")
        assert "old" not in text
        assert readme.written(path) == readme.render(linear)
    state = next(line for line in text.splitlines() if line.startswith("| state"))
    cells = [cell.strip() for cell in state.strip("|").split("|")]
    columns = [name for name in ("unix", "published", "zeromq", "openpi", "bare") if name in PAIRS]
    assert cells[1:] == ["4.00", *["12.0"] * len(columns), "**0.33**"]
    assert "Measured 2026-01-31 on CPU, 4 cores, OS 1, Linux 6; Python 3.11.0, numpy 2.0." in (
        text.replace("\n", " ")
    )


def test_a_readme_without_markers_stays_as_it_is(tmp_path: Path, linear: Results) -> None:
    path = tmp_path / "README.md"
    path.write_text("text\n", encoding="utf-8")
    with pytest.raises(ValueError, match="0 times"):
        readme.update(path, linear)
    with pytest.raises(ValueError, match="missing"):
        readme.written(path)
    assert path.read_text(encoding="utf-8") == "text\n"


def test_the_readme_shows_the_committed_results() -> None:
    assert readme.written(command.README) == readme.render(read(command.RESULTS))


def test_the_committed_plot_is_of_the_committed_results() -> None:
    results = read(command.RESULTS)
    picture = command.PLOT.read_text(encoding="utf-8")
    for name in results["studies"]["size"]["pairs"]:
        assert results["pairs"][name]["title"] in picture
    for study in ("observations", "keys"):
        grown = growth(results, study, "this")
        assert grown is not None
        assert f"{grown.offset:.2f} ms + {grown.slope * 1e3:.0f} µs each" in picture


# ---------------------------------------------------------------- running it


def test_a_whole_run_has_everybody_and_a_part_of_it_only_what_was_asked_for() -> None:
    whole, part = plan(), plan(pairs=["this", "zeromq"], payloads=["state", "keys-5"])
    assert set(whole.pairs) == set(PAIRS)
    assert set(HEADLINE) < set(whole.payloads)
    assert part.pairs == ["this", "zeromq"]
    assert part.payloads == ["state", "keys-5"]
    assert (part.crowd_pairs, part.memory_pairs) == (("this",), ())
    assert plan(quick=True).rounds == 1
    for name in whole.payloads:
        assert payload(name).bytes > 0


def test_a_round_measures_everybody_with_small_payloads_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PAIRS, "other", PAIRS["bare"])
    study = Study("any", ("bare", "other"), ("keys-9", "keys-1"), TINY)
    samples = rounds.measure([study], rounds=2, progress=quiet)
    assert [(each.round, each.payload, each.pair) for each in samples] == [
        (0, "keys-1", "bare"),
        (0, "keys-1", "other"),
        (0, "keys-9", "bare"),
        (0, "keys-9", "other"),
        (1, "keys-1", "other"),
        (1, "keys-1", "bare"),
        (1, "keys-9", "other"),
        (1, "keys-9", "bare"),
    ]
    assert all(min(each.times) > 0 and each.server_peak > 10**6 for each in samples)


def test_the_command_measures_and_writes_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = command.RESULTS.read_bytes()
    choice = ["--pairs", "this", "async", "--payloads", "keys-1", "bytes-1000"]
    command.main(["--quick", *choice, "--output", str(tmp_path)])
    printed = capsys.readouterr()
    assert "this, async client" in printed.out
    assert "round 1 of 1: bytes-1000" in printed.err
    results = read(tmp_path / "latest.json")
    measured = {(row["pair"], row["payload"]) for row in results["calls"]}
    assert measured == {("this", "keys-1"), ("this", "bytes-1000"), ("async", "bytes-1000")}
    assert results["pairs"]["this"]["h2"]
    assert (tmp_path / "benchmark.svg").is_file()
    assert command.RESULTS.read_bytes() == before


@pytest.mark.parametrize("mode", crowd.MODES)
def test_every_caller_of_a_crowd_is_counted(mode: str) -> None:
    with crowd.Crowd(PAIRS["this"], mode, callers=3) as callers:
        counts = callers.run("state", seconds=0.05)
    assert len(counts) == 3


def test_memory_is_that_of_one_call_on_both_sides() -> None:
    (row,) = memory.measure(["this"], rounds=1, progress=quiet, large="actions-10MB")
    assert row["pair"] == "this"
    # The client's action is memory that was not there before.
    assert row["client_peak_of_10"] >= row["client_peak"] > 0.5
    if sys.platform == "linux":
        assert row["client_remains"] is not None


# ---------------------------------------------------------------- microbenchmarks, profile


def plain(value: Any) -> Any:
    """Returns what the variants of a case must have in common."""
    if isinstance(value, np.ndarray):
        return digest([{"array": value}])
    if isinstance(value, tuple) and isinstance(value[0], list):
        return digest(value[0])
    if isinstance(value, list):
        return b"".join(plain(item) for item in value)
    return bytes(value)


def pairs_of_text(fields: Any) -> list[tuple[str, str]]:
    return [
        (key, value) if isinstance(key, str) else (key.decode(), value.decode())
        for key, value in fields
    ]


CASES = list(micro.cases())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_variants_of_a_case_do_the_same(case: micro.Case) -> None:
    if case.name.startswith("compress"):
        # There are several ways to write the same.
        assert all(variant() for variant in case.variants.values())
        return
    if case.name.startswith("decompress"):
        found = [pairs_of_text(variant()) for variant in case.variants.values()]
        assert found[0] == found[1]
        return
    results = [plain(variant()) for variant in case.variants.values()]
    assert all(result == results[0] for result in results)


def test_the_microbenchmarks_print_a_row_for_each_variant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    micro.main(["--rounds", "1", "--seconds", "0", "--only", "response, state"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["codec", "betterproto"] * 2


def test_a_profile_counts_the_innermost_function_and_all_around_it() -> None:
    stacks = profiling.read("main;call;send 6\nmain;call 1\nmain;call;send;call 3\n")
    assert stacks == Counter({"main;call;send": 6, "main;call": 1, "main;call;send;call": 3})
    assert profiling.top(stacks, 2) == [("send", 0.6, 0.9), ("call", 0.4, 1.0)]


@pytest.mark.registry
def test_a_profile_has_both_sides() -> None:
    try:
        found = profiling.profile(PAIRS["this"], "state", seconds=1)
    except UnreachableError as error:
        give_up(str(error))
    except profiling.ProfileError as error:
        pytest.skip(f"this system lets nobody look into a process: {error}")
    assert list(found) == ["client", "server"]
    for stacks in found.values():
        assert any("praxis_remote" in stack for stack in stacks)


@pytest.mark.parametrize(
    ("run", "arguments", "text"),
    [
        (command.main, ["--rounds", "0"], "--rounds: 0 is not positive"),
        (command.main, ["--payloads", "bogus"], "--payloads: invalid choice: 'bogus'"),
        (micro.main, ["--only", "bogus"], "--only: 'bogus' is part of no name"),
        (profiling.main, ["--payload", "bogus"], "--payload: 'bogus' is no payload; there are"),
        (profiling.main, ["--seconds", "0"], "--seconds: 0 is not positive"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_measured(
    run: Callable[[list[str]], None],
    arguments: list[str],
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run(arguments)
    assert text in capsys.readouterr().err


# ---------------------------------------------------------------- features


def test_features_are_compared_to_none_in_each_round() -> None:
    samples = [
        Sample(number, pair, "state", (seconds,), 0, 0, 0, 0)
        for number in range(3)
        for pair in features.PAIRS
        for seconds in [(1 + number) * (1.5e-3 if pair == "tls" else 1e-3)]
    ]
    lines = features.render(samples, ["state"]).splitlines()
    assert len(lines) == 1 + len(features.PAIRS)
    assert lines[1].split() == ["without", "2.00", "1.00", "(1.00-1.00)"]
    assert lines[-1].split() == ["TLS", "3.00", "1.50", "(1.50-1.50)"]


def test_the_features_are_measured_by_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    features.main(["--quick", "--rounds", "1", "--payloads", "state"])
    table = capsys.readouterr().out
    assert all(pair.title in table for pair in features.PAIRS.values())


def test_shared_memory_is_measured_beside_the_socket_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    same_host.main(["--quick", "--rounds", "1", "--payloads", "16x2x224"])
    table = capsys.readouterr().out
    assert all(pair.title in table for pair in same_host.PAIRS.values())
