"""Latencies in an HdrHistogram: recorded in microseconds, reported in milliseconds, merged and never averaged."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

SIGNIFICANT_FIGURES: Final = 3
HIGHEST_US: Final = 120_000_000
"""Two minutes. A slower answer is counted as overflow: it flags the run instead of bending its percentiles."""

REPORTED: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}
"""Name in a report -> percentile. Percentiles are written 0 to 100 everywhere."""


class Latencies:
    """A histogram with three significant figures that refuses to hide what it cannot hold."""

    def __init__(self, highest_us: int = HIGHEST_US) -> None:
        self._highest_us = highest_us
        self._histogram = HdrHistogram(1, highest_us, SIGNIFICANT_FIGURES)
        self._max_us = 0  # kept beside the histogram, which remembers only the bucket of a merged maximum
        self.overflow = 0

    def __len__(self) -> int:
        """Samples within range; `overflow` counts the others."""
        return int(self._histogram.total_count)

    def record(self, microseconds: int) -> None:
        """Count one sample; ValueError when it is negative (a clock went backwards, or the wrong clock was used)."""
        if microseconds < 0:
            raise ValueError(f"a latency of {microseconds} microseconds is negative")
        # The library's own range check lets through whatever fits its last bucket, so the limit is checked here.
        if microseconds > self._highest_us:
            self.overflow += 1
            return
        self._histogram.record_value(microseconds)
        self._max_us = max(self._max_us, microseconds)

    def record_all(self, microseconds: NDArray[np.int64]) -> None:
        """Count many samples at once: the same as `record` for each; ValueError when one is negative."""
        if len(microseconds) and microseconds.min() < 0:
            raise ValueError(f"a latency of {microseconds.min()} microseconds is negative")
        within = microseconds[microseconds <= self._highest_us]
        self.overflow += len(microseconds) - len(within)
        if not len(within):
            return
        values, counts = np.unique(_lower_edges(within), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._histogram.record_value(value, count)
        self._max_us = max(self._max_us, int(within.max()))

    def encoded(self) -> str:
        """The histogram in HdrHistogram's exchange format (V2, compressed, base64), without maximum and overflow."""
        return str(self._histogram.encode().decode())

    @classmethod
    def decoded(cls, text: str, max_ms: float, overflow: int) -> Latencies:
        """What `encoded`, `max_ms` and `overflow` told; raises what the library raises for another text."""
        latencies = cls()
        latencies._histogram.decode_and_add(text)
        latencies._max_us = round(max_ms * 1000)
        latencies.overflow = overflow
        return latencies

    def buckets(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Upper edges in microseconds, rising, and counts of the buckets that hold a sample."""
        counts = np.ctypeslib.as_array(self._histogram.counts).astype(np.int64)
        filled = np.flatnonzero(counts)
        return _upper_edges(filled), counts[filled]

    def percentile_ms(self, percentile: float) -> float:
        """The value in milliseconds that `percentile` (0 to 100) per cent of the samples do not exceed; 0 if empty."""
        if not 0 <= percentile <= 100:
            raise ValueError(f"a percentile is between 0 and 100, not {percentile}")
        if not len(self):
            return 0.0
        # A bucket answers with its upper edge, which may lie above every sample in it.
        edge_us = min(self._histogram.get_value_at_percentile(percentile), self._max_us)
        return three_figures(edge_us / 1000)

    @property
    def max_ms(self) -> float:
        """The slowest sample within range, in milliseconds; 0 if empty."""
        return self._max_us / 1000

    def summary(self) -> dict[str, float]:
        """`p50 p90 p99 p99_9 max`, in milliseconds."""
        values = {name: self.percentile_ms(percentile) for name, percentile in REPORTED.items()}
        return values | {"max": three_figures(self.max_ms)}  # rounded like the others, or p99.9 may seem to be above it


def merged(parts: Iterable[Latencies]) -> Latencies:
    """One histogram of all samples: the only honest way to combine the percentiles of several workers."""
    parts = list(parts)
    total = Latencies(max((part._highest_us for part in parts), default=HIGHEST_US))
    for part in parts:
        total._histogram.add(part._histogram)
        total._max_us = max(total._max_us, part._max_us)
        total.overflow += part.overflow
    return total


class Samples:
    """Latencies put aside as they come, to be counted later: keeping one costs a fraction of counting it."""

    def __init__(self) -> None:
        self._microseconds = array("q")

    def __len__(self) -> int:
        return len(self._microseconds)

    def append(self, microseconds: int) -> None:
        self._microseconds.append(microseconds)

    def as_array(self) -> NDArray[np.int64]:
        """A copy of what is there so far, in microseconds."""
        return np.array(self._microseconds, dtype=np.int64)

    def histogram(self) -> Latencies:
        """All of them, counted; ValueError when one is negative."""
        latencies = Latencies()
        latencies.record_all(self.as_array())
        return latencies


_HALF_BITS: Final = 10
"""With three significant figures a bucket holds 2,048 steps, of which the upper half is used above the first one."""


def _lower_edges(microseconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest value that the histogram cannot tell from each one."""
    bit_lengths = np.frexp(microseconds.astype(np.float64))[1].astype(np.int64)
    shifts: NDArray[np.int64] = np.maximum(bit_lengths - (_HALF_BITS + 1), 0)
    edges: NDArray[np.int64] = (microseconds >> shifts) << shifts
    return edges


def _upper_edges(indexes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest value that is counted at each index of the histogram's array."""
    shifts = np.maximum((indexes >> _HALF_BITS) - 1, 0)
    steps = np.where(indexes >> _HALF_BITS > 0, (indexes & ((1 << _HALF_BITS) - 1)) + (1 << _HALF_BITS), indexes)
    edges: NDArray[np.int64] = (steps << shifts) + (np.int64(1) << shifts) - 1
    return edges


def three_figures(value: float) -> float:
    """Round to what the histogram really knows."""
    return float(f"{value:.{SIGNIFICANT_FIGURES}g}")
