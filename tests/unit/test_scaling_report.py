"""Ratios, goals and the page of a scaling run, from figures made by hand."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import orjson
import pytest

from loadtest.latency import Latencies
from loadtest.peers.report import Spread
from loadtest.runs import percentiles
from loadtest.runs.series import PackedLatencies
from loadtest.scaling.backlog import Drained, Worked
from loadtest.scaling.bars import Bar, bar_chart
from loadtest.scaling.growth import Restore, Timed
from loadtest.scaling.opening import Opening
from loadtest.scaling.page import goals, growth_in_words, latency_rows, page, team_rows
from loadtest.scaling.report import MEASURED, PROJECTED, Growth, ScalingReport, Teamwork
from tests.unit.test_loadtest_page import Elements

PLAN = {"rate": 500.0, "seconds": 10.0, "warmup": 2.0, "hits": "uniform", "accounts": (1000, 1_000_000)}


def timed(number: int, scale: float, missing: int = 0) -> Timed:
    """Ten intervals of 400 latencies from 5 to 25 ms, times `scale`; each round draws others."""
    rng = np.random.default_rng(number)
    intervals = []
    for _ in range(10):
        latencies = Latencies()
        latencies.record_all((rng.uniform(5000, 25_000, 400) * scale).astype(np.int64))
        intervals.append(latencies)
    whole = Latencies()
    for each in intervals:
        whole.record_all(np.repeat(*each.buckets()))
    summary = percentiles.summary(whole)
    return Timed(
        number, 2.0, summary, summary, sent=4000, unsent=0, missing=missing, outcomes={"approved": 3900},
        accounts_hit=900, cpu_ms_per_request=0.4, waited=0.1, rss_mb=150.0, store_mb=10.0, intervals=intervals,
    )  # fmt: skip


def growth(accounts: int, scale: float, seconds: float = 2.0) -> Growth:
    restore = Restore(accounts, 800.0, seconds, 1.5)
    return Growth(accounts, restore, [timed(number, scale * (0.9 + number / 20)) for number in (1, 2, 3)])


def drained(number: int, *rates: float, wall: float = 1.0, pinned: bool = False) -> Drained:
    """Workers that decide `rate` in a second of processor time, and `wall` of it in a second."""
    workers = tuple(
        Worked(f"worker-{which}", 2, round(rate), 1 / wall, 1.0, waited=1 - wall) for which, rate in enumerate(rates)
    )
    return Drained(number, 2.0, pinned, workers, broker_cpu_seconds=0.5, generator_cpu_seconds=0.1, decided=1000)


def report(
    growths: list[Growth] | None = None, teams: list[Teamwork] | None = None, opening: Opening | None = None
) -> ScalingReport:
    machine = {"cores": "2"}
    return ScalingReport("otb loadtest scaling", "2030-01-01", machine, PLAN, 1, growths or [], teams or [], opening)


def test_p99_over_the_fewest_accounts_has_an_interval_around_it() -> None:
    found = report([growth(1000, 1.0), growth(1_000_000, 1.2)])
    (verdict,) = found.verdicts()
    assert verdict.ratio == pytest.approx(1.2, rel=0.01)
    assert verdict.low is not None
    assert verdict.high is not None
    assert 1.05 < verdict.low < verdict.ratio < verdict.high < 1.35
    assert found.failures() == []


@pytest.mark.parametrize(("scale", "word"), [(1.1, "met"), (1.29, "not shown"), (1.31, "not shown"), (1.8, "missed")])
def test_growth_is_met_or_missed_only_with_its_whole_interval(scale: float, word: str) -> None:
    found = report([growth(1000, 1.0), growth(1_000_000, scale)])
    (verdict,) = found.verdicts()
    assert verdict.word == word
    assert bool(found.failures()) is (word == "missed")


def test_a_few_samples_tell_nothing_of_p99() -> None:
    short = replace(growth(1000, 1.0), rounds=[replace(timed(1, 1.0), intervals=timed(1, 1.0).intervals[:1])])
    found = report([short, growth(2000, 9.0)])
    assert found.verdicts()[0].word == "not measured"
    assert found.failures() == []


def test_a_lost_request_is_a_failure() -> None:
    lost = Growth(1000, Restore(1000, 800.0, 2.0, 1.5), [timed(1, 1.0, missing=2)])
    found = report([lost, growth(2000, 1.0)])
    assert found.failures() == ["1,000 accounts, round 1: 0 requests not sent, 2 never decided"]


def test_a_restore_is_as_quick_as_the_rows_make_it() -> None:
    found = report([growth(1000, 1, 3.0), growth(20_000, 1, 3.5), growth(501_000, 1, 13.0)])
    assert [found.rows_per_second(each) for each in found.growths] == [None, None, 50_000.0]


def test_factors_are_taken_within_a_round() -> None:
    """The machine was three times slower in round 2, for both."""
    one = Teamwork(1, [drained(1, 3000), drained(2, 1000), drained(3, 3000)])
    two = Teamwork(2, [drained(1, 3000, 2700), drained(2, 1000, 900), drained(3, 3000, 2700)])
    found = report(teams=[one, two])
    assert found.factor(two, of_cores=True) == Spread(1.9, 1.9, 1.9, 3)
    (verdict,) = found.verdicts()
    assert (verdict.ratio, verdict.word) == (1.9, "met")


def test_without_cores_of_their_own_the_factor_is_a_projection_and_says_so() -> None:
    """Two workers on one core get nothing done on the wall clock that one would not."""
    found = report(teams=[Teamwork(1, [drained(1, 3000)]), Teamwork(2, [drained(1, 3000, 3000, wall=0.5)])])
    assert found.factor(found.teams[1], of_cores=False) == Spread(1.0, 1.0, 1.0, 1)
    assert found.verdicts()[0].ratio == 2.0
    assert "projected" in found.verdicts()[0].goal
    assert found.proof() == PROJECTED


def test_pinned_workers_are_measured_on_the_wall_clock() -> None:
    two = [drained(1, 3000, 3000, wall=0.5, pinned=True)]
    found = report(teams=[Teamwork(1, [drained(1, 3000, pinned=True)]), Teamwork(2, two)])
    (verdict,) = found.verdicts()
    assert (verdict.ratio, verdict.word) == (1.0, "missed")
    assert "measured" in verdict.goal
    assert found.proof() == MEASURED
    assert found.failures() == [f"missed: {verdict.goal}"]


@pytest.mark.parametrize(("second", "word"), [(2400, "met"), (2300, "not shown"), (1500, "missed")])
def test_a_factor_is_met_or_missed_only_with_every_round(second: float, word: str) -> None:
    """One of three rounds went better than the others."""
    rounds = [drained(number, 3000, second + extra) for number, extra in ((1, 0), (2, 0), (3, 500))]
    found = report(teams=[Teamwork(1, [drained(number, 3000) for number in (1, 2, 3)]), Teamwork(2, rounds)])
    assert found.verdicts()[0].word == word


def test_three_workers_over_one_and_four_over_two() -> None:
    alone = Teamwork(1, [drained(1, 1000)])
    assert "3 workers at least 2.7 times the rate of 1" in report(teams=[alone, Teamwork(3, [])]).verdicts()[0].goal
    pair = Teamwork(2, [drained(1, 1000, 1000)])
    assert "4 workers at least 1.8 times the rate of 2" in report(teams=[pair, Teamwork(4, [])]).verdicts()[0].goal


@pytest.fixture(scope="module")
def whole() -> ScalingReport:
    teams = [Teamwork(1, [drained(1, 3000), drained(2, 3100)]), Teamwork(2, [drained(1, 3000, 2900, wall=0.6)])]
    return report([growth(1000, 1.0), growth(1_000_000, 1.1, 20.0)], teams, Opening(10_000, 2.0, 1.0))


def test_the_document_is_versioned_and_holds_every_round(whole: ScalingReport) -> None:
    document = orjson.loads(orjson.dumps(whole.as_json()))
    assert (document["version"], document["kind"], document["passed"]) == (1, "scaling", True)
    assert [each["accounts"] for each in document["accounts"]] == [1000, 1_000_000]
    (first, *_others) = document["accounts"][1]["rounds"]
    assert first["latency_ms"]["p99"] == whole.growths[1].rounds[0].latency_ms["p99"]
    again = PackedLatencies(first["intervals"][0], 100.0, 0).unpacked()
    assert len(again) == 400
    assert document["accounts"][1]["over_fewest_percent"]["p99"]["percent"] == pytest.approx(10, abs=1)
    assert document["workers"][1]["factor"]["cores"]["median"] == pytest.approx(5900 / 3000)
    assert document["workers"][1]["rounds"][0]["workers"][1]["decided"] == 2900
    assert document["opening"]["rate"] == 5000
    assert document["proof"] == PROJECTED
    assert [goal["word"] for goal in document["goals"]] == ["met", "met"]


def test_the_page_fetches_nothing_and_says_how_it_was_shown(whole: ScalingReport) -> None:
    document = page(whole)
    tags = [tag for tag, _ in Elements(document).found]
    assert not set(tags) & {"script", "link", "img", "iframe", "object", "embed", "base", "image", "use"}
    assert tags.count("svg") == 2
    assert PROJECTED.replace("'", "&#x27;") in document
    assert "By messages the engine opens 5,000 accounts a second" in document
    for rows in (goals(whole), latency_rows(whole), team_rows(whole)):
        assert all(f"<td>{cell}</td>" in document for row in rows.rows for cell in row)
    for drawing in document.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + drawing.split("</svg>")[0] + "</svg>")  # noqa: S314  (our own)


def test_half_a_run_has_half_a_page(whole: ScalingReport) -> None:
    of_accounts, of_workers = page(report(list(whole.growths))), page(report(teams=list(whole.teams)))
    assert "<h2>Accounts</h2>" in of_accounts
    assert "<h2>Workers</h2>" not in of_accounts
    assert "<h2>Accounts</h2>" not in of_workers
    assert "<h2>Workers</h2>" in of_workers


def test_words_name_what_few_accounts_do_to_their_rows(whole: ScalingReport) -> None:
    words = " ".join(growth_in_words(whole))
    assert "1,000 accounts, 900 of them hit" in words
    assert "500 requests per second" in words


def test_bars_are_as_long_as_their_figures() -> None:
    drawn = bar_chart("Rates", [Bar("one <worker>", 100, 90, 120, 0), Bar("two", 200, 150, 240, 1)], "per second")
    widths = [float(each["width"] or 0) for tag, each in Elements(drawn).found if tag == "rect"]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert "one &lt;worker&gt;" in drawn
    assert "nothing was measured" in bar_chart("Rates", [], "per second")
