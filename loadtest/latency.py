"""Latencies in an HdrHistogram: recorded in microseconds, reported in milliseconds, merged and never averaged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hdrh.histogram import HdrHistogram

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

    def percentile_ms(self, percentile: float) -> float:
        """The value in milliseconds that `percentile` (0 to 100) per cent of the samples do not exceed; 0 if empty."""
        if not 0 <= percentile <= 100:
            raise ValueError(f"a percentile is between 0 and 100, not {percentile}")
        if not len(self):
            return 0.0
        # A bucket answers with its upper edge, which may lie above every sample in it.
        edge_us = min(self._histogram.get_value_at_percentile(percentile), self._max_us)
        return _three_figures(edge_us / 1000)

    @property
    def max_ms(self) -> float:
        """The slowest sample within range, in milliseconds; 0 if empty."""
        return self._max_us / 1000

    def summary(self) -> dict[str, float]:
        """`p50 p90 p99 p99_9 max`, in milliseconds."""
        return {name: self.percentile_ms(percentile) for name, percentile in REPORTED.items()} | {"max": self.max_ms}


def merged(parts: Iterable[Latencies]) -> Latencies:
    """One histogram of all samples: the only honest way to combine the percentiles of several workers."""
    parts = list(parts)
    total = Latencies(max((part._highest_us for part in parts), default=HIGHEST_US))
    for part in parts:
        total._histogram.add(part._histogram)
        total._max_us = max(total._max_us, part._max_us)
        total.overflow += part.overflow
    return total


def _three_figures(value: float) -> float:
    """Round to what the histogram really knows."""
    return float(f"{value:.{SIGNIFICANT_FIGURES}g}")
