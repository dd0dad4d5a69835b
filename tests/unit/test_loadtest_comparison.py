"""Comparing load tests: what is the same is not called different, what is different is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtest.latency import Latencies
from loadtest.runs import profile as profiles
from loadtest.runs.comparison import compare
from loadtest.runs.report import LoadReport
from loadtest.runs.resampling import (
    Change,
    Histograms,
    block_length,
    percentile_change,
    series_change,
    weights,
)
from tests.support.loadruns import MS, played

INTERVALS, PER_INTERVAL = 60, 200


def run(seed: int, scale: float = 1.0, wander: float = 0.15) -> list[Latencies]:
    """A run of log-normal latencies whose level wanders from interval to interval, as real ones do."""
    rng = np.random.default_rng(seed)
    level, found = 0.0, []
    for _ in range(INTERVALS):
        level = 0.6 * level + rng.normal(0, wander)
        latencies = Latencies()
        latencies.record_all((scale * np.exp(9.5 + level + rng.normal(0, 0.4, PER_INTERVAL))).astype(np.int64))
        found.append(latencies)
    return found


def p99_change(before: list[Latencies], after: list[Latencies], seed: int = 1, replicates: int = 2000) -> Change:
    change = percentile_change(Histograms([before]), Histograms([after]), 99, seed, replicates)
    assert change is not None
    return change


def test_equal_distributions_show_no_change() -> None:
    change = p99_change(run(1), run(2))
    assert change.low < 0 < change.high
    assert not change.shown


def test_a_shift_of_a_fifth_is_found() -> None:
    change = p99_change(run(1, wander=0.03), run(2, scale=1.2, wander=0.03))
    assert change.shown
    assert change.low < 20 < change.high
    assert change.low > 5
    back = p99_change(run(2, scale=1.2, wander=0.03), run(1, wander=0.03))
    assert back.high < -5


def test_of_fifty_equal_pairs_few_are_called_different() -> None:
    """A 95 % interval may miss one time in twenty; drawing single intervals instead of blocks would miss far more."""
    wrong = sum(p99_change(run(2 * n), run(2 * n + 1), replicates=200).shown for n in range(50))
    assert wrong <= 7


def test_equal_seeds_give_equal_numbers_and_others_nearly_so() -> None:
    one, again, other = (p99_change(run(1), run(2), seed) for seed in (1, 1, 2))
    assert one == again
    assert other != one
    assert other.low == pytest.approx(one.low, abs=3)


def test_a_percentile_with_too_few_samples_above_it_is_not_compared() -> None:
    histograms = Histograms([run(1)[:4]])  # 800 samples: 8 above p99
    assert percentile_change(histograms, histograms, 99, 1) is None
    assert percentile_change(histograms, histograms, 90, 1) is not None


def test_the_figures_are_those_of_the_merged_histogram() -> None:
    whole = Latencies()
    latencies = run(4)
    for each in latencies:
        edges, counts = each.buckets()
        whole.record_all(np.repeat(edges, counts))
    change = p99_change(latencies, latencies)
    assert change.before == change.after == pytest.approx(whole.percentile_ms(99), rel=0.002)
    assert change.percent == 0


def test_blocks_are_neighbours_and_every_replicate_has_all_its_intervals() -> None:
    drawn = weights([27], np.random.default_rng(1), 500)
    assert block_length(27) == 3
    assert (drawn.sum(axis=1) == 27).all()
    together = np.corrcoef(drawn[:, 5], drawn[:, 6])[0, 1]
    apart = np.corrcoef(drawn[:, 5], drawn[:, 15])[0, 1]
    assert together > 0.4 > abs(apart)


def test_runs_are_drawn_whole_so_what_differs_between_runs_widens_the_interval() -> None:
    """Two calm runs of each kind that differ from each other by far more than their intervals do."""
    calm = [run(1, 1.0, 0.01), run(2, 1.4, 0.01)], [run(3, 1.05, 0.01), run(4, 1.35, 0.01)]
    together = percentile_change(Histograms(calm[0]), Histograms(calm[1]), 99, 1)
    single = p99_change(calm[0][0], calm[1][0])
    assert together is not None
    assert together.high - together.low > 3 * (single.high - single.low)
    assert not together.shown


def test_a_rate_is_compared_by_its_mean() -> None:
    change = series_change([[100.0, 110.0] * 20], [[120.0, 132.0] * 20], 1)
    assert change is not None
    assert change.percent == pytest.approx(20)
    assert change.low > 15
    assert series_change([[1.0]], [[]], 1) is None
    assert series_change([], [], 1) is None


def jittered(seed: int, scale: float) -> LoadReport:
    rng = np.random.default_rng(seed)
    return played(profiles.steady(100, 20, 0), lambda at_ns: at_ns + round(scale * rng.gamma(8, 1) * MS))


def test_two_reports_side_by_side() -> None:
    before, after = jittered(1, 1), jittered(2, 1.5)
    compared = compare([before], [after])
    assert compared.line("p99 latency").verdict == "worse"
    assert compare([after], [before]).line("p99 latency").verdict == "better"
    assert compared.line("mean latency").change is not None
    assert compared.line("throughput").verdict == "no change shown"
    assert compared.line("p99.9 latency").verdict == "too few samples"
    assert compared.line("worker CPU").change == Change(50, 50, 0, 0, 0)
    assert compared.notes == (
        "one run each: what differs from run to run is not in the intervals; repeat both to see it",
    )
    document = compared.as_json()
    assert document["confidence"] == 0.95
    assert [line["name"] for line in document["lines"]][:2] == ["p50 latency", "p90 latency"]


def test_what_makes_reports_incomparable_is_said() -> None:
    report = jittered(1, 1)
    other = replace(
        report, setup=replace(report.setup, accounts=7), machine={}, result=replace(report.result, unsent=3)
    )
    notes = compare([report, report], [other, other]).notes
    assert notes[0] == "accounts differs: 100 / 7"
    assert notes[1] == "they ran on different machines"
    assert notes[2].startswith("B is no pass: 3 of")
    assert len(notes) == 3
