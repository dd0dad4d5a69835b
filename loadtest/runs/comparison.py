"""Two load tests side by side: every figure with the confidence interval of its change (see `resampling`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from loadtest.runs import resampling
from loadtest.runs.report import LoadReport
from loadtest.runs.resampling import CONFIDENCE, Change, Histograms

_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}
MUST_BE_EQUAL: Final = (
    "profile", "load", "seconds", "warmup", "accounts", "seed", "processes", "authorizations_only",
)  # fmt: skip
"""Parts of the setup that make two reports comparable."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure; `change` is None where it cannot be told."""

    name: str
    unit: str
    higher_is_better: bool | None  # None: neither
    change: Change | None

    @property
    def verdict(self) -> str:
        if self.change is None:
            return "too few samples"
        if not self.change.shown:
            return "no change shown"
        if self.higher_is_better is None:
            return "more" if self.change.percent > 0 else "less"
        return "better" if (self.change.percent > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]  # what makes the two less comparable
    seed: int
    runs: tuple[int, int]

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.name == name)

    def as_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        lines = [
            {
                "name": line.name,
                "unit": line.unit,
                "verdict": line.verdict,
                "change": asdict(line.change) if line.change else None,
            }
            for line in self.lines
        ]
        return {
            "confidence": CONFIDENCE,
            "replicates": resampling.REPLICATES,
            "seed": self.seed,
            "runs": list(self.runs),
            "lines": lines,
            "notes": list(self.notes),
        }


def compare(before: Sequence[LoadReport], after: Sequence[LoadReport], seed: int = 1) -> Comparison:
    """One or several reports of each kind; equal arguments give equal numbers."""
    a, b = (Histograms([[row.latencies() for row in report.intervals] for report in runs]) for runs in (before, after))
    lines = [
        Line(f"{name} latency", "ms", False, resampling.percentile_change(a, b, percentile, seed))
        for name, percentile in _PERCENTILES.items()
    ]
    lines.append(Line("mean latency", "ms", False, resampling.mean_change(a, b, seed)))
    lines.append(Line("throughput", "/s", True, _series(before, after, _decided, seed)))
    lines.append(Line("worker CPU", "%", False, _series(before, after, _cpu, seed)))
    lines.append(Line("worker memory", "MB", None, _series(before, after, _memory, seed)))
    return Comparison(tuple(lines), tuple(_notes(before, after)), seed, (len(before), len(after)))


def _series(
    before: Sequence[LoadReport], after: Sequence[LoadReport], of: Callable[[LoadReport], list[float]], seed: int
) -> Change | None:
    return resampling.series_change([of(report) for report in before], [of(report) for report in after], seed)


def _decided(report: LoadReport) -> list[float]:
    return [interval.decided for interval in report.intervals]


def _cpu(report: LoadReport) -> list[float]:
    return [sample.worker_cpu for sample in report.samples if sample.worker_cpu is not None]


def _memory(report: LoadReport) -> list[float]:
    return [sample.worker_rss_mb for sample in report.samples if sample.worker_rss_mb is not None]


def _notes(before: Sequence[LoadReport], after: Sequence[LoadReport]) -> list[str]:
    reports = [*before, *after]
    found = []
    for part in MUST_BE_EQUAL:
        values = [getattr(report.setup, part) for report in reports]
        if len(set(values)) > 1:
            found.append(f"{part} differs: {' / '.join(str(value) for value in dict.fromkeys(values))}")
    machines = [tuple(report.machine.items()) for report in reports]
    if len(set(machines)) > 1:
        found.append("they ran on different machines")
    for name, runs in (("A", before), ("B", after)):
        if not all(report.passed for report in runs):
            found.append(f"{name} is no pass: {next(report for report in runs if not report.passed).failures()[0]}")
    if len(before) == len(after) == 1:
        found.append("one run each: what differs from run to run is not in the intervals; repeat both to see it")
    return found
