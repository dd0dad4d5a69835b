"""Medians, ranges, ratios within a round, goals, and what the page says of a peer that could not be measured."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from loadtest.peers import page
from loadtest.peers.audit import Audit, compared
from loadtest.peers.capacity import Capacity
from loadtest.peers.report import PeerResult, PeersReport, Round, Spread
from loadtest.peers.stopwatch import Timed

CLEAN = Audit(requests=100, decisions=100, missing=0, extra=0, wrong=0)


def _timed(rate: int, p99: float) -> Timed:
    latency = {"p50": p99 / 4, "p90": p99 / 2, "p99": p99, "p99_9": 2 * p99, "max": 3 * p99}
    return Timed(rate, 10.0, latency, latency, unsent=0, missing=0, overflow=0, cpu_percent=40.0)


def _round(number: int, rate: float, p99: float | None, audit: Audit = CLEAN) -> Round:
    capacity = Capacity(rate, 8.0, 6.0, 100, starved=False, cpu_percent=90.0, rss_mb=200.0)
    return Round(number, 3.0, 2.0, capacity, {} if p99 is None else {1000: _timed(1000, p99)}, audit)


def _peer(name: str, *rounds: Round, exactly_once: bool = True) -> PeerResult:
    return PeerResult(name, f"the peer {name}", "exactly once", exactly_once, f"{name} 1.0", rounds=list(rounds))


def _report(*peers: PeerResult) -> PeersReport:
    plan = {
        "settle": 6.0,
        "quiet": 20.0,
        "capacity_seconds": 8.0,
        "seconds": 10.0,
        "warmup": 2.0,
        "rounds": 3,
        "peers": (),
    }
    return PeersReport("otb loadtest peers", "2030-01-01T00:00:00+00:00", {"cores": "2"}, plan, (1000,), list(peers))


def test_a_spread_is_median_and_range_of_what_is_known() -> None:
    assert Spread.of([3.0, None, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0, 3)
    assert Spread.of([None]) is None


def test_ratios_are_taken_within_a_round() -> None:
    """The machine was three times slower in round 2, for both: the ratio is 2 in every round."""
    ours = _peer("ours", _round(1, 600, 10), _round(2, 200, 30), _round(3, 600, 10))
    theirs = _peer("faust", _round(1, 300, 20), _round(2, 100, 60), _round(3, 300, 20))
    report = _report(theirs, ours)
    assert report.rate_ratio("faust") == Spread(2.0, 2.0, 2.0, 3)
    assert report.p99_ratio("faust", 1000) == Spread(0.5, 0.5, 0.5, 3)


def test_rounds_that_one_side_has_not_are_left_out_of_the_ratio() -> None:
    ours = _peer("ours", _round(1, 600, 10), _round(2, 600, 10))
    theirs = _peer("faust", Round(1, failure="it broke"), _round(2, 300, None))
    report = _report(theirs, ours)
    assert report.rate_ratio("faust") == Spread(2.0, 2.0, 2.0, 1)
    assert report.p99_ratio("faust", 1000) is None
    assert report.rate_ratio("nobody") is None


@pytest.mark.parametrize(("rate", "met"), [(90.0, True), (89.0, False)])
def test_a_goal_of_a_rate_is_met_from_its_bound_on(rate: float, met: bool) -> None:
    report = _report(_peer("bare-loop", _round(1, 100, 5)), _peer("ours", _round(1, rate, 5)))
    verdict = next(verdict for verdict in report.verdicts() if "bare-loop" in verdict.goal)
    assert verdict.met is met


@pytest.mark.parametrize(("p99", "met"), [(4.0, True), (4.1, False)])
def test_a_goal_of_a_latency_is_met_down_from_its_bound(p99: float, met: bool) -> None:
    report = _report(_peer("streams-eos-10ms", _round(1, 100, 10)), _peer("ours", _round(1, 100, p99)))
    verdict = next(verdict for verdict in report.verdicts() if "p99 at 1,000/s" in verdict.goal)
    assert verdict.met is met


def test_a_goal_without_figures_is_neither_met_nor_missed() -> None:
    assert {verdict.met for verdict in _report(_peer("ours", _round(1, 100, 5))).verdicts()} == {None}


def test_the_audit_counts_by_request() -> None:
    """r1 was due twice and came once; r2 came twice; r9 was never asked for."""
    found = compared(Counter(r1=2, r2=1, r3=1), Counter(r1=1, r2=2, r3=1, r9=1), wrong=1)
    assert found == Audit(requests=4, decisions=5, missing=1, extra=2, wrong=1)
    assert not found.clean


def test_what_was_not_clean_is_named() -> None:
    peer = _peer("faust", _round(1, 100, 5, Audit(100, 101, 1, 2, 3)), Round(2, failure="it ended"))
    assert peer.failures() == ["round 1: 1 decisions missing, 2 extra, 3 wrong", "round 2: it ended"]


def test_the_json_has_every_round_and_the_verdicts() -> None:
    report = _report(_peer("bare-loop", _round(1, 100, 5)), _peer("ours", _round(1, 90, 5)))
    content = orjson.loads(orjson.dumps(report.as_json()))
    assert content["peers"][1]["rounds"][0]["timed"]["1000"]["latency_ms"]["p99"] == 5
    assert content["peers"][0]["summary"]["ours_over_it"]["rate"]["median"] == 0.9
    assert [goal["met"] for goal in content["goals"]] == [None, None, None, None, True]


def test_a_busy_machine_is_warned_of() -> None:
    calm, busy = _round(1, 100, 5), _round(2, 100, 5)
    assert "Do not rely" not in page.markdown(_report(_peer("ours", calm, calm)))
    busy.busy_percent = 61.0
    text = page.markdown(_report(_peer("ours", calm, busy)))
    assert "32 % of it before half of the parts, 61 % at most. Do not rely on these figures." in text


def test_the_page_says_why_a_peer_is_missing_and_what_was_above_its_rate() -> None:
    missing = _peer("quix")
    missing.unavailable = "its environment could not be made: no network"
    report = _report(missing, _peer("faust", _round(1, 900, None)), _peer("ours", _round(1, 30_000, 8.0)))
    text = page.markdown(report)
    assert "| the peer quix | not set up: its environment could not be made: no network |" in text
    assert "| the peer faust | exactly once | above its rate | 900 |" in text
    assert "| the peer ours | exactly once | 2.0 / 8.0 | 30,000 |" in text
    assert "otb loadtest peers" in text
    assert "- cores: 2" in text
    assert [column.header for column in page.table(report).columns][:2] == ["peer", "guarantee"]
