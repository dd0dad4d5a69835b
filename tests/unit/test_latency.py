"""The stopwatch: percentiles that mean what they say."""

from __future__ import annotations

import pytest

from loadtest.latency import Latencies, merged


def recorded(*samples: tuple[int, int]) -> Latencies:
    """A histogram of (count, milliseconds) pairs."""
    latencies = Latencies()
    for count, milliseconds in samples:
        for _ in range(count):
            latencies.record(milliseconds * 1000)
    return latencies


def test_h4_one_outlier_in_a_hundred_does_not_reach_p99() -> None:
    latencies = recorded((99, 1), (1, 5000))
    assert latencies.percentile_ms(99) == 1
    assert latencies.percentile_ms(100) == 5000


def test_h7_percentiles_are_written_0_to_100() -> None:
    latencies = recorded((99, 1), (1, 5000))
    assert latencies.percentile_ms(0.99) == 1, "0.99 is less than one per cent, not the 99th percentile"
    for wrong in (-1, 100.1):
        with pytest.raises(ValueError, match="between 0 and 100"):
            latencies.percentile_ms(wrong)


def test_h5_a_sample_above_the_range_is_overflow_and_does_not_bend_the_rest() -> None:
    latencies = Latencies(highest_us=1_000_000)
    for microseconds in (1000, 1_000_000, 1_000_001, 1_048_000):  # the last still fits the histogram's last bucket
        latencies.record(microseconds)
    assert latencies.overflow == 2
    assert len(latencies) == 2
    assert latencies.max_ms == 1000


def test_percentiles_of_several_workers_are_merged_never_averaged() -> None:
    one, other = recorded((1000, 1)), recorded((10, 500))
    both = merged([one, other])
    assert (both.percentile_ms(99), both.percentile_ms(99.5)) == (1, 500)
    averaged = (one.percentile_ms(99) + other.percentile_ms(99)) / 2
    assert averaged > 250, "the average would have said something else entirely"


def test_merging_keeps_counts_and_overflow() -> None:
    one, other = Latencies(1_000_000), Latencies(1_000_000)
    one.record(2_000_000)
    other.record(3_000_000)
    other.record(7_000)
    both = merged([one, other])
    assert (len(both), both.overflow, both.max_ms) == (1, 2, 7.0)
    assert (len(one), one.overflow) == (0, 1), "merging leaves its parts alone"


def test_merging_nothing_is_empty() -> None:
    assert merged([]).summary() == {"p50": 0, "p90": 0, "p99": 0, "p99_9": 0, "max": 0}


def test_a_negative_latency_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Latencies().record(-1)


def test_summary_names_and_units() -> None:
    summary = recorded((900, 2), (90, 20), (9, 200), (1, 2000)).summary()
    assert summary == {"p50": 2, "p90": 2, "p99": 20, "p99_9": 200, "max": 2000}
