"""What a load test counts, interval by interval: the cases from the field, on a clock made of a number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtest.latency import HIGHEST_US, Latencies, merged
from loadtest.runs import percentiles
from loadtest.runs import profile as profiles
from loadtest.runs.profile import Share
from loadtest.runs.series import Series, rows
from loadtest.schedule import SECOND_NS
from tests.support.loadruns import MS, after_ms, generated, played


def frozen(from_s: int, to_s: int, service_ms: float) -> object:
    """A server that stands still between two seconds and otherwise takes `service_ms`."""

    def service(at_ns: int) -> int:
        begin_ns = to_s * SECOND_NS if from_s * SECOND_NS <= at_ns < to_s * SECOND_NS else at_ns
        return begin_ns + round(service_ms * MS)

    return service


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_h1_a_stall_is_in_the_percentiles_whatever_the_number_of_generators(processes: int) -> None:
    """100/s for 10 s, 1 ms of service, frozen for 1 s: p99 is 901 ms, not 1 ms."""
    report = played(profiles.steady(100, 10, 0), frozen(3, 4, 1), processes=processes)
    assert report.result.latency_ms["p99"] == 901
    assert report.result.latency_ms["p50"] == 1
    assert (report.result.decided, report.result.unsent) == (1000, 0)


def test_h1_a_stall_shows_in_the_interval_it_hit() -> None:
    report = played(profiles.steady(100, 10, 0), frozen(3, 4, 1))
    assert [row.latency_ms["max"] > 900 for row in report.intervals] == [second == 3 for second in range(10)]
    assert [row.decided for row in report.intervals] == [100, 100, 100, 0, 200, 100, 100, 100, 100, 100]
    assert [row.outstanding for row in report.intervals] == [0, 0, 0, 100, 0, 0, 0, 0, 0, 0]


def test_h1_a_generator_that_was_held_up_still_counts_from_the_intended_instant() -> None:
    """The generator itself stands still for 1 s: what it sends late was due earlier."""
    report = played(
        profiles.steady(100, 10, 0), after_ms(1), room=lambda at_ns: not 3 * SECOND_NS <= at_ns < 4 * SECOND_NS
    )
    assert report.result.unsent == 0
    assert report.result.latency_ms["p99"] == pytest.approx(901, abs=1)
    assert report.result.send_lag_ms["p99"] == pytest.approx(900, abs=1)
    assert report.intervals[3].sent == 0
    assert report.intervals[4].sent == 200


def test_h3_what_was_not_sent_is_reported_and_no_pass() -> None:
    """Target 30,000; room for 90 of the 100 requests due in each 10 ms: 27,000 go out, 3,000 do not."""
    taken: dict[tuple[int, int], int] = {}
    asked = [0]

    def room(at_ns: int) -> bool:
        tick = (asked[0], at_ns // (10 * MS))
        if taken.get(tick, 0) == 90:
            return False
        taken[tick] = taken.get(tick, 0) + 1
        return True

    report = played(profiles.steady(10_000, 3, 0), after_ms(1), processes=1, room=room)
    assert (report.result.sent, report.result.unsent) == (27_000, 3_000)
    assert report.failures()[0] == "3,000 of 30,000 requests were not sent"
    assert not report.passed
    assert report.as_json()["passed"] is False
    assert sum(row.offered * row.seconds for row in report.intervals) == pytest.approx(30_000)
    assert sum(row.sent * row.seconds for row in report.intervals) == pytest.approx(27_000)


def recorded(*samples: tuple[int, int]) -> Latencies:
    """A histogram of (count, milliseconds) pairs."""
    latencies = Latencies()
    for count, milliseconds in samples:
        latencies.record_all(np.full(count, milliseconds * 1000, dtype=np.int64))
    return latencies


def test_h4_one_outlier_in_a_hundred_does_not_reach_p99() -> None:
    summary = percentiles.summary(recorded((99, 1), (1, 5000)))
    assert (summary["p99"], summary["p99_9"], summary["max"]) == (1, 5000, 5000)


def test_h7_percentiles_are_written_0_to_100() -> None:
    latencies = recorded((99, 1), (1, 5000))
    assert percentiles.of_buckets(*latencies.buckets(), [0, 0.99, 99, 100], latencies.max_ms) == [1, 1, 1, 5000]


def test_percentiles_of_several_generators_are_merged_never_averaged() -> None:
    """1000 x 1 ms and 10 x 500 ms: p99 1, p99.5 500."""
    both = merged([recorded((1000, 1)), recorded((10, 500))])
    assert percentiles.of_buckets(*both.buckets(), [99, 99.5], both.max_ms) == [1, 500]


def test_h5_a_decision_slower_than_the_histogram_is_overflow_in_its_interval_and_flags_the_run() -> None:
    profile = profiles.steady(10, 3, 0)
    longest_ms = HIGHEST_US / 1000

    def service(at_ns: int) -> int:
        slow = SECOND_NS <= at_ns < SECOND_NS + 250 * MS  # three requests
        return at_ns + round((longest_ms + 1 if slow else 5) * MS)

    report = played(profile, service)
    assert [row.overflow for row in report.intervals] == [0, 3, 0]
    assert (report.result.overflow, report.result.decided, report.result.missing) == (3, 30, 0)
    assert report.result.latency_ms["max"] == 5, "it does not bend the percentiles of the rest"
    assert "3 decisions were too slow for the histogram" in report.failures()


def test_intervals_are_packed_while_a_long_run_lasts_and_nothing_is_lost() -> None:
    """300 s with decisions after 40 s: the first intervals are packed long before the end."""
    profile = profiles.steady(5, 300, 0)
    share = Share(profile, 0, 1)
    series = Series(share)
    for k in range(share.total):
        series.sent(share.due_ns(k))
        series.decided(k, share.due_ns(k) + 40 * SECOND_NS, shed=False)
    assert len(series._packed) > 150
    assert len(series._open) < 130
    [*found] = rows([series.counts()])
    assert [len(row.latencies) for row in found] == [5] * 300
    assert {row.latencies.max_ms for row in found} == {40_000}


def test_the_warm_up_is_apart_and_what_it_left_outstanding_is_not_forgotten() -> None:
    """The warm-up's requests are never decided; the measured ones are, at once."""
    report = played(
        profiles.steady(50, 2, 1), lambda at_ns: None if at_ns < SECOND_NS - MS else at_ns + MS, processes=2
    )
    assert [row.outstanding for row in report.intervals] == [50, 50]
    assert report.result.sent == report.result.decided == 100
    assert (report.result.missing, report.result.warmup_missing) == (0, 50)
    assert report.failures() == ["50 requests were never decided"]


def test_the_sum_of_the_intervals_is_the_whole_run() -> None:
    report = played(profiles.ramp(20, 200, 10, 1), lambda at_ns: at_ns + (at_ns // MS % 97) * MS)
    whole = merged(row.latencies() for row in report.intervals)
    assert len(whole) == report.result.decided == report.result.sent
    assert percentiles.summary(whole) == report.result.latency_ms
    assert dict(report.curve)[99.0] == report.result.latency_ms["p99"]


def test_rows_agree_with_the_histogram_of_the_library() -> None:
    rng = np.random.default_rng(3)
    latencies = Latencies()
    latencies.record_all(rng.lognormal(9, 1.5, 5000).astype(np.int64))
    summary = percentiles.summary(latencies)
    for name, percentile in percentiles.NAMED.items():
        assert summary[name] == latencies.percentile_ms(percentile)


def test_the_curve_ends_where_one_sample_more_or_less_would_move_it() -> None:
    few, many = percentiles.curve(recorded((1000, 5))), percentiles.curve(recorded((100_000, 5)))
    assert max(percentile for percentile, _ in few if percentile < 100) == 99.9
    assert max(percentile for percentile, _ in many if percentile < 100) == 99.999
    assert percentiles.curve(Latencies()) == []


def test_a_stage_in_which_requests_are_shed_does_not_keep_up() -> None:
    """They are answered at once and unscored: counted as decisions, they would make a stage above capacity pass."""
    second_stage = 3 * SECOND_NS
    report = played(
        profiles.step([500, 50], 3, 0), lambda at_ns: at_ns + (at_ns >= second_stage) * 4 * MS, patience_ms=2
    )
    assert [(stage.decided, stage.shed) for stage in report.stages] == [(500, 0), (0, 50)]
    assert [(row.decided, row.shed) for row in report.intervals] == [(500, 0)] * 3 + [(0, 50)] * 3
    assert [row.outstanding for row in report.intervals] == [0] * 6, "nobody waits for what is shed"
    assert report.result.shed == 150
    assert report.failures() == [
        "at 50/s (second 3 to 6) the engine decided 0 of 50 requests per second (50 were shed)"
    ]


def test_a_refused_request_is_no_longer_outstanding() -> None:
    share = Share(profiles.steady(10, 1, 0), 0, 1)
    series = Series(share)
    for k in range(10):
        series.sent(share.due_ns(k))
    series.refused(SECOND_NS // 2)
    for k in range(8):
        series.decided(k, share.due_ns(k) + MS, shed=False)
    [row] = rows([series.counts()])
    assert (row.sent, row.decided, row.outstanding) == (10, 8, 1)


def test_generators_with_other_profiles_do_not_add_up() -> None:
    one = generated(Share(profiles.steady(10, 1, 0), 0, 1), after_ms(1))
    other = generated(Share(profiles.steady(10, 2, 0), 0, 1), after_ms(1))
    with pytest.raises(ValueError, match=r"shape|inhomogeneous|argument"):
        rows([one.counts, replace(other.counts)])
