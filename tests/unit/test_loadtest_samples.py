"""Latencies counted in bulk and sent between processes are the same as those counted one by one."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.latency import HIGHEST_US, Latencies, Samples, merged

RNG = np.random.default_rng(7)
SPREAD = np.exp(RNG.uniform(0, np.log(HIGHEST_US), 20_000)).astype(np.int64)  # every order of magnitude
EDGES = np.array([0, 1, 1023, 1024, 2047, 2048, 2049, 4095, 4096, HIGHEST_US], dtype=np.int64)


def one_by_one(microseconds: np.ndarray) -> Latencies:
    latencies = Latencies()
    for each in microseconds.tolist():
        latencies.record(each)
    return latencies


@pytest.mark.parametrize("microseconds", [SPREAD, EDGES, np.array([], dtype=np.int64)])
def test_counting_many_is_counting_each(microseconds: np.ndarray) -> None:
    bulk = Latencies()
    bulk.record_all(microseconds)
    single = one_by_one(microseconds)
    assert bulk.encoded() == single.encoded()
    assert (len(bulk), bulk.max_ms) == (len(single), single.max_ms)


def test_buckets_have_the_edges_that_the_library_answers_with() -> None:
    latencies = one_by_one(np.concatenate([SPREAD, EDGES]))
    edges, counts = latencies.buckets()
    assert counts.sum() == len(latencies)
    library = latencies._histogram
    assert edges.tolist() == sorted({library.get_highest_equivalent_value(value) for value in (*SPREAD, *EDGES)})


def test_h5_overflow_is_counted_in_bulk_too() -> None:
    samples = Samples()
    for microseconds in (5000, HIGHEST_US, HIGHEST_US + 1, 10 * HIGHEST_US):
        samples.append(microseconds)
    counted = samples.histogram()
    assert (len(counted), counted.overflow, counted.max_ms) == (2, 2, HIGHEST_US / 1000)


def test_a_negative_latency_is_refused() -> None:
    with pytest.raises(ValueError, match="latency of -3 microseconds is negative"):
        Latencies().record_all(np.array([5, -3], dtype=np.int64))


def test_a_histogram_survives_the_way_between_processes() -> None:
    sent = one_by_one(SPREAD)
    sent.overflow = 3
    received = Latencies.decoded(sent.encoded(), sent.max_ms, sent.overflow)
    assert received.encoded() == sent.encoded()
    assert received.summary() == sent.summary()
    assert received.overflow == 3
    empty = Latencies.decoded(Latencies().encoded(), 0.0, 0)
    assert (len(empty), empty.summary()["max"]) == (0, 0)


def test_received_histograms_merge_by_adding() -> None:
    parts = [one_by_one(part) for part in np.array_split(SPREAD, 3)]
    received = [Latencies.decoded(part.encoded(), part.max_ms, part.overflow) for part in parts]
    assert merged(received).encoded() == one_by_one(SPREAD).encoded()
