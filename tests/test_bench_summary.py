# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Figures are those of what was recorded: exact where they can be, absent where nobody knows."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image

from praxis_remote.bench import plot
from praxis_remote.bench.cpu import CpuUse, cores
from praxis_remote.bench.load import Recording
from praxis_remote.bench.payloads import PRESETS, Payload, preset
from praxis_remote.bench.percentiles import PERCENTILES, percentiles
from praxis_remote.bench.plan import Plan
from praxis_remote.bench.samples import COLUMNS, PHASES, Row, Samples, as_row
from praxis_remote.bench.summary import ClientLoad, Summary, summarize
from praxis_remote.bench.worker import Done
from praxis_remote.cli.bench_report import report
from praxis_remote.timing import CallTiming, ServerTiming

TIMING = CallTiming("Predict", 0.010, 0.001, 0.002, 0.001, ServerTiming(0.001, 0, 0.002, 0.003, 0))

# ---------------------------------------------------------------- percentiles


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2000))
def test_percentiles_are_numpy_s_by_nearest_rank(values: list[float]) -> None:
    found = percentiles(np.array(values))
    for name, part in PERCENTILES.items():
        assert found[name] == np.quantile(values, part / 1000, method="inverted_cdf")


@pytest.mark.parametrize("count", [1, 10, 99, 100, 101, 999, 1000, 1001])
def test_a_percentile_is_the_least_call_that_covers_its_share(count: int) -> None:
    found = percentiles(np.arange(1.0, count + 1))
    for name, part in PERCENTILES.items():
        assert found[name] * 1000 >= part * count > (found[name] - 1) * 1000


# ---------------------------------------------------------------- samples


def rows(latencies: list[float], late: float = 0.0) -> list[Row]:
    return [as_row(float(n), each, late, 8, TIMING) for n, each in enumerate(latencies)]


@given(sizes=st.lists(st.integers(0, 40), max_size=20), limit=st.integers(2, 50))
def test_samples_keep_every_so_manieth_row_and_the_sums_of_all(
    sizes: list[int], limit: int
) -> None:
    samples, all_rows = Samples(limit), rows([float(n) for n in range(sum(sizes))])
    for begin, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        samples.add(all_rows[begin : begin + size])
    kept = samples.column("latency").tolist()
    assert len(kept) <= limit
    step = round(kept[1] - kept[0]) if len(kept) > 1 else 1
    assert step == 1 or len(all_rows) > limit
    assert kept == [float(n) for n in range(0, len(all_rows), step)]
    assert samples.count == len(all_rows)
    assert samples.latency_sum == sum(range(len(all_rows)))
    assert samples.latency_max == max(len(all_rows) - 1, 0)
    assert samples.response_bytes == 8 * len(all_rows)


# ---------------------------------------------------------------- summary


def plan(**options: Any) -> Plan:
    return Plan(client={}, payload=Payload("state", preset("state"), {}), **options)


def recording(*latencies: float, **options: Any) -> Recording:
    found = Recording(seconds=2.0, **options)
    found.samples.add(rows(list(latencies)))
    return found


def figures(plan: Plan, found: Recording) -> Summary:
    summary = summarize(plan, found, "gpu:1", "MyPolicy")
    # Whatever was recorded, it is JSON.
    json.dumps(summary.as_dict(), allow_nan=False)
    return summary


def test_a_summary_has_the_figures_of_the_calls_that_went_well() -> None:
    found = recording(0.010, 0.030, failed=Counter(INTERNAL=3), examples={"INTERNAL": "no"})
    summary = figures(plan(calls=5), found)
    assert summary.latency_ms is not None
    assert (summary.latency_ms.p50, summary.latency_ms.max) == (10.0, 30.0)
    assert summary.latency_ms.mean == pytest.approx(20.0)
    assert (summary.calls, summary.calls_per_s) == (2, 1.0)
    assert summary.request_mb_per_s == summary.asked.request_bytes / 1e6
    assert summary.response_mb_per_s == 8e-6
    failed = {name: (each.count, each.example) for name, each in summary.failed.items()}
    assert failed == {"INTERNAL": (3, "no")}
    assert list(summary.phases_ms) == list(PHASES)
    infer = summary.phases_ms["server infer"]
    assert infer is not None
    assert (infer.p50, infer.p99) == (3.0, 3.0)


def test_what_nobody_told_is_none() -> None:
    found = Recording(seconds=1.0)
    found.samples.add([as_row(0.0, 0.1, 0.0, 8, CallTiming("Predict", 1, 1, 1, 1, None))])
    phases = figures(plan(), found).phases_ms
    told = [name for name, latency in phases.items() if latency is not None]
    assert told == ["client encode", "network", "client decode"]


def test_a_run_without_a_call_that_went_well_has_no_latency() -> None:
    summary = figures(plan(rate=5.0), Recording())
    assert (summary.latency_ms, summary.late_ms, summary.behind) == (None, None, None)
    assert summary.calls_per_s == 0.0


def test_mean_and_most_are_of_all_calls_where_only_some_are_kept() -> None:
    found = Recording(samples=Samples(limit=2), seconds=1.0)
    found.samples.add(rows([1.0, 2.0, 3.0, 10.0]))
    latency = figures(plan(), found).latency_ms
    assert latency is not None
    assert (latency.mean, latency.max) == (4000.0, 10000.0)


def test_an_open_loop_tells_how_many_calls_began_a_whole_turn_late() -> None:
    found = Recording(seconds=1.0, not_begun=4)
    found.samples.add(rows([1.0] * 3, late=0.4) + rows([1.0], late=0.6))
    summary = figures(plan(rate=4.0, concurrency=2), found)
    assert (summary.asked.loop, summary.asked.latency_from) == ("open", "due time")
    assert (summary.behind, summary.not_begun) == (0.25, 4)
    assert summary.late_ms is not None
    assert summary.late_ms.max == 600.0


@pytest.mark.parametrize(
    ("uses", "was_the_limit"),
    [
        ([CpuUse(10.0, 5.0, 0.1)], False),
        ([CpuUse(10.0, 8.6, 0.1)], True),
        ([CpuUse(10.0, 5.0, 0.1)] * 7, True),
        ([CpuUse(10.0, 5.0, 2.0)], True),
        ([CpuUse(10.0, 5.0, None)], False),
        ([], False),
    ],
    ids=["half a core", "a whole core", "all cores", "starved", "who knows", "nobody"],
)
def test_the_client_was_the_limit_if_it_had_no_core_to_spare(
    uses: list[CpuUse], was_the_limit: bool
) -> None:
    assert ClientLoad.of(uses, called=10.0, available=4).was_the_limit is was_the_limit


@pytest.mark.parametrize("went_well", [True, False])
def test_no_figures_are_doubted_where_every_call_failed(went_well: bool) -> None:
    busy = Done(0, 0, 1.0, 1.0, CpuUse(1.0, 1.0, None))
    found = recording(*[0.1] * went_well, workers=[busy], failed=Counter(INTERNAL=1))
    found.examples["INTERNAL"] = "no"
    assert ("clients were short of CPU" in report(figures(plan(), found))) is went_well


def test_what_cores_gave_to_this_process_only_rises() -> None:
    before = CpuUse.now()
    sum(range(1_000_000))
    use = CpuUse.now().since(before)
    assert use.cpu > 0
    assert use.waited is None or use.waited >= 0
    assert cores() >= 1


# ---------------------------------------------------------------- payloads and picture


def test_presets_are_what_robots_send() -> None:
    shapes = {
        name: [value.shape for value in preset(name)[0].values() if isinstance(value, np.ndarray)]
        for name in PRESETS
    }
    assert shapes == {
        "state": [(32,)],
        "two-cameras": [(224, 224, 3)] * 2 + [(32,)],
        "vla": [(480, 640, 3)] * 3 + [(32,)],
    }
    assert isinstance(preset("vla")[0]["task"], str)


def test_the_observations_of_a_batch_are_different_and_the_same_in_every_run() -> None:
    first, second = preset("two-cameras", 2)
    again = preset("two-cameras", 2)
    for key in first:
        assert not np.array_equal(first[key], second[key])
        assert np.array_equal(second[key], again[1][key])


@pytest.mark.parametrize("timing", [TIMING, None], ids=["phases", "no phases"])
def test_the_picture_can_be_read(tmp_path: Path, timing: CallTiming | None) -> None:
    found = Recording(seconds=1.0, workers=[Done(0, 0, 1.0, 1.0, CpuUse(1.0, 0.5, None))])
    found.samples.add([as_row(n / 50, 0.01 + n / 1000, 0.0, 8, timing) for n in range(50)])
    plot.write(tmp_path / "o.png", figures(plan(), found), found.samples)
    height, width, _ = image.imread(tmp_path / "o.png").shape
    assert height > 100 < width


def test_a_picture_as_svg_has_its_text_as_text_and_no_call_needs_to_have_gone_well(
    tmp_path: Path,
) -> None:
    plot.write(tmp_path / "o.svg", figures(plan(), Recording()), Samples())
    text = (tmp_path / "o.svg").read_text()
    assert "gpu:1: state, 1 client, 0 calls" in text


def test_columns_are_named_once() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS) == len(rows([math.pi])[0])
