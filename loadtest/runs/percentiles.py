"""Percentiles of histogram buckets, the same as `Latencies.percentile_ms` and fast enough for every row of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadtest.latency import Latencies, three_figures

NAMED: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "p99_99": 99.99}
"""Name in a report -> percentile, 0 to 100."""

CURVE: Final = (
    0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 96.0, 97.0, 98.0, 98.5, 99.0,
    99.3, 99.5, 99.7, 99.8, 99.9, 99.93, 99.95, 99.97, 99.98, 99.99, 99.993, 99.995, 99.997, 99.999, 100.0,
)  # fmt: skip
"""Percentiles of the curve in a report; it ends where one sample more or less would move it."""


def rank(percentile: float, total: int) -> int:
    """Which sample in order of size (from 1) is the percentile of `total`; the library's own rule."""
    return max(1, int(percentile * total / 100 + 0.5))


def above(percentile: float, total: int) -> float:
    """How many of `total` samples lie above a percentile, fractions included."""
    return round((100 - percentile) * total / 100, 6)  # 100 - 99.9 is a little less than 0.1


def of_buckets(
    edges_us: NDArray[np.int64], counts: NDArray[np.int64], percentiles: Sequence[float], max_ms: float
) -> list[float]:
    """The values in milliseconds, three significant figures, none above `max_ms`; zeros without samples."""
    running = np.cumsum(counts)
    total = int(running[-1]) if len(running) else 0
    if not total:
        return [0.0] * len(percentiles)
    ranks = [rank(percentile, total) for percentile in percentiles]
    found = edges_us[np.searchsorted(running, ranks)] / 1000
    return [three_figures(min(float(value), max_ms)) for value in found]


def summary(latencies: Latencies) -> dict[str, float]:
    """`p50 p90 p99 p99_9 p99_99 max` in milliseconds."""
    values = of_buckets(*latencies.buckets(), list(NAMED.values()), latencies.max_ms)
    return dict(zip(NAMED, values, strict=True)) | {"max": three_figures(latencies.max_ms)}


def curve(latencies: Latencies) -> list[tuple[float, float]]:
    """(percentile, milliseconds) as far as there are samples to tell one percentile from the next."""
    total = len(latencies)
    known = [percentile for percentile in CURVE if above(percentile, total) >= 1 or percentile == 100]
    values = of_buckets(*latencies.buckets(), known, latencies.max_ms)
    return list(zip(known, values, strict=True)) if total else []
