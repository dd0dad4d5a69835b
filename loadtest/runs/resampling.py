"""How sure a difference is: a circular block bootstrap over the intervals of runs.

Latencies of one interval resemble those of the next (a stall, a compaction), so single requests, and single intervals,
are not independent. Blocks of neighbouring intervals are drawn with replacement instead, and their histograms added;
the block grows with the cube root of the number of intervals, as is usual. With several runs of a kind, runs are drawn
first and blocks within them, so what differs from run to run is part of the interval. One run of each kind cannot
show that: then the interval is too narrow by what a second run would have changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadtest.latency import Latencies
from loadtest.runs.percentiles import above, rank

REPLICATES: Final = 2000
CONFIDENCE: Final = 0.95
_ENOUGH: Final = 10
"""Samples that must lie above a percentile for it to be compared at all."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """How much a figure of B is above that of A (below: negative), in per cent, with its confidence interval."""

    before: float
    after: float
    percent: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out "no change"."""
        return not self.low <= 0 <= self.high


def block_length(intervals: int) -> int:
    """Neighbouring intervals drawn together."""
    return max(1, round(math.cbrt(intervals)))


def weights(lengths: Sequence[int], rng: np.random.Generator, replicates: int) -> Floats:
    """How often each interval is drawn: replicates x intervals, for runs of `lengths` intervals one after the other."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    drawn = np.zeros((replicates, int(starts[-1])))
    every = np.arange(replicates)
    for _ in lengths:  # each draws one run for every replicate
        runs = rng.integers(0, len(lengths), replicates)
        for run, length in enumerate(lengths):
            here = every[runs == run]
            drawn[here, starts[run] : starts[run + 1]] += _blocks(length, rng, len(here))
    return drawn


def _blocks(length: int, rng: np.random.Generator, replicates: int) -> Floats:
    """How often each of `length` intervals is drawn, in blocks of neighbours: replicates x length."""
    block = block_length(length)
    first = rng.integers(0, length, (replicates, -(-length // block)))
    chosen = ((first[:, :, None] + np.arange(block)) % length).reshape(replicates, -1)[:, :length]
    flat = (chosen + length * np.arange(replicates)[:, None]).ravel()
    return np.bincount(flat, minlength=replicates * length).reshape(replicates, length).astype(np.float64)


class Histograms:
    """The intervals of one or several runs as one matrix: an interval a row, a bucket a column."""

    def __init__(self, runs: Sequence[Sequence[Latencies]]) -> None:
        self.lengths = [len(run) for run in runs]
        buckets = [latencies.buckets() for run in runs for latencies in run]
        self._edges = np.unique(np.concatenate([edges for edges, _ in buckets]))
        self._counts = np.zeros((len(buckets), len(self._edges)))
        for row, (edges, counts) in enumerate(buckets):
            self._counts[row, np.searchsorted(self._edges, edges)] = counts
        self._up_to = np.cumsum(self._counts, axis=1)

    @property
    def samples(self) -> int:
        return int(self._counts.sum())

    def can_tell(self, percentile: float) -> bool:
        """Whether enough samples lie above the percentile."""
        return above(percentile, self.samples) >= _ENOUGH

    def percentile_ms(self, percentile: float, drawn: Floats) -> Floats:
        """Of each replicate: the first bucket up to which its samples reach the percentile's rank, found by halving."""
        ranks = np.array([rank(percentile, round(total)) for total in drawn @ self._up_to[:, -1]])
        low = np.zeros(len(drawn), dtype=np.int64)
        high = np.full(len(drawn), len(self._edges) - 1)
        while (low < high).any():
            middle = (low + high) // 2
            reached = np.einsum("ri,ir->r", drawn, self._up_to[:, middle]) >= ranks - 0.5
            low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
        values: Floats = self._edges[np.minimum(low, len(self._edges) - 1)] / 1000
        return values

    def mean_ms(self, drawn: Floats) -> Floats:
        """Of each replicate, to the histogram's three figures."""
        sums, samples = drawn @ (self._counts @ self._edges), drawn @ self._up_to[:, -1]
        means: Floats = sums / np.maximum(samples, 1) / 1000
        return means


def all_once(lengths: Sequence[int]) -> Floats:
    """The weights of what was really seen."""
    return np.ones((1, sum(lengths)))


def change(before: float, after: float, replicates_before: Floats, replicates_after: Floats) -> Change:
    """From two figures and their replicates, drawn independently."""
    ratios = replicates_after / np.maximum(replicates_before, 1e-9)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    percent = 100 * (after / max(before, 1e-9) - 1)
    return Change(before, after, percent, 100 * (float(low) - 1), 100 * (float(high) - 1))


def percentile_change(
    before: Histograms, after: Histograms, percentile: float, seed: int, replicates: int = REPLICATES
) -> Change | None:
    """How a percentile changed; None when too few samples lie above it to tell."""
    if not (before.can_tell(percentile) and after.can_tell(percentile)):
        return None
    rng = np.random.default_rng(seed)
    seen = [float(each.percentile_ms(percentile, all_once(each.lengths))[0]) for each in (before, after)]
    drawn = [each.percentile_ms(percentile, weights(each.lengths, rng, replicates)) for each in (before, after)]
    return change(seen[0], seen[1], drawn[0], drawn[1])


def mean_change(before: Histograms, after: Histograms, seed: int, replicates: int = REPLICATES) -> Change | None:
    """How the mean latency changed; None without samples."""
    if not (before.samples and after.samples):
        return None
    rng = np.random.default_rng(seed)
    seen = [float(each.mean_ms(all_once(each.lengths))[0]) for each in (before, after)]
    drawn = [each.mean_ms(weights(each.lengths, rng, replicates)) for each in (before, after)]
    return change(seen[0], seen[1], drawn[0], drawn[1])


def series_change(
    before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], seed: int, replicates: int = REPLICATES
) -> Change | None:
    """How the mean of a figure that each interval has (a rate, a load) changed; None where there are no figures."""
    if not (all(before) and all(after)) or not (before and after):
        return None
    rng = np.random.default_rng(seed)
    flat = [np.concatenate([np.asarray(run, dtype=np.float64) for run in runs]) for runs in (before, after)]
    drawn = []
    for runs, values in zip((before, after), flat, strict=True):
        times = weights([len(run) for run in runs], rng, replicates)
        drawn.append(times @ values / times.sum(axis=1))
    return change(float(flat[0].mean()), float(flat[1].mean()), drawn[0], drawn[1])
