"""What changed between the beginning and the end of a long run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from loadtest.latency import Latencies, merged
from loadtest.runs.report import Drift, Sample
from loadtest.runs.resampling import Histograms, percentile_change

_PARTS: Final = 5
_P99: Final = 99.0


def drift(intervals: Sequence[Latencies], samples: Sequence[Sample], seed: int) -> Drift | None:
    """The last fifth against the first; None when there are fewer than ten intervals."""
    part = len(intervals) // _PARTS
    if part < 2:
        return None
    first, last = intervals[:part], intervals[-part:]
    change = percentile_change(Histograms([first]), Histograms([last]), _P99, seed)
    memory = [(sample.at, sample.worker_rss_mb) for sample in samples if sample.worker_rss_mb is not None]
    share = max(1, len(memory) // _PARTS)
    return Drift(
        p99_first_ms=merged(first).percentile_ms(_P99),
        p99_last_ms=merged(last).percentile_ms(_P99),
        p99_change=(round(change.percent, 1), round(change.low, 1), round(change.high, 1)) if change else None,
        rss_first_mb=_median([rss for _at, rss in memory[:share]]),
        rss_last_mb=_median([rss for _at, rss in memory[-share:]]),
        rss_mb_per_hour=slope_per_hour(memory),
    )


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float | None:
    """Median slope between every two (second, value) points, per hour (Theil and Sen): outliers do not move it."""
    if len(points) < 2:
        return None
    at, value = np.array(points).T
    earlier, later = np.triu_indices(len(points), 1)
    apart = at[later] - at[earlier]
    slopes = (value[later] - value[earlier])[apart > 0] / apart[apart > 0]
    return round(float(np.median(slopes)) * 3600, 1) if len(slopes) else None


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 1) if values else None
