"""What a load test reports, whether it is a pass, and how it is written to a file and read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtest.latency import Latencies
from loadtest.result import KEEPS_UP, LoadResult
from loadtest.runs.series import PackedLatencies

VERSION: Final = 2
_READABLE: Final = frozenset({1, VERSION})
"""Version 1 knew no shed requests in intervals and stages: they are among the decided ones there."""
_SURE_SECONDS: Final = 1.0
"""A stage shorter than this is not judged by itself: what is in flight at its end is too large a part of it."""


class UnreadableReport(Exception):
    """A file that is no load report; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What was asked for."""

    profile: str  # steady, ramp, step or soak
    load: str  # its rates, for people
    seconds: float  # measured
    warmup: float
    interval: float  # seconds of one row
    accounts: int
    seed: int
    processes: int  # generators
    authorizations_only: bool


@dataclass(frozen=True, slots=True)
class Interval:
    """One row over time. Rates are per second; latencies are of the requests *due* in it."""

    start: float  # seconds from the end of the warm-up
    seconds: float
    offered: float  # requests due
    sent: float  # requests handed over to the broker's client
    decided: float  # first decisions seen, those of shed requests not counted
    outstanding: int  # sent and not decided at its end
    overflow: int
    latency_ms: dict[str, float]  # p50 p90 p99 p99_9 p99_99 max
    histogram: str  # HdrHistogram V2, compressed, base64, microseconds
    shed: float = 0.0  # declined because they had waited for too long

    def latencies(self) -> Latencies:
        """The whole histogram."""
        return PackedLatencies(self.histogram, self.latency_ms["max"], self.overflow).unpacked()


@dataclass(frozen=True, slots=True)
class Stage:
    """A step, or a tenth of a ramp or soak; rates per second."""

    label: str
    start: float  # seconds from the end of the warm-up
    end: float
    offered: float
    decided: float  # without those that were shed
    outstanding: int  # at its end
    latency_ms: dict[str, float]
    shed: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read off the system at one moment; None where it could not be read."""

    at: float  # seconds from the end of the warm-up
    lag: int | None  # records that the workers' group has not committed
    worker_cpu: float | None  # per cent of one core since the sample before
    worker_rss_mb: float | None  # megabytes of 1,000,000 bytes
    generators_cpu: float | None  # all of them together


@dataclass(frozen=True, slots=True)
class Drift:
    """How the last fifth of a long run differs from the first."""

    p99_first_ms: float
    p99_last_ms: float
    p99_change: tuple[float, float, float] | None  # per cent, with its 95 % interval
    rss_first_mb: float | None
    rss_last_mb: float | None
    rss_mb_per_hour: float | None  # the median slope between two samples


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One load test."""

    version: int
    began: str  # UTC
    setup: Setup
    machine: dict[str, str]
    result: LoadResult  # the whole measured period
    refused: int  # requests that the broker did not take: part of the unsent ones
    curve: list[tuple[float, float]]  # (percentile, ms)
    stages: list[Stage]
    intervals: list[Interval]
    samples: list[Sample]
    dead_letters: dict[str, int]  # reason -> records that arrived meanwhile, whoever sent them
    drift: Drift | None

    @property
    def passed(self) -> bool:
        return not self.failures()

    def failures(self) -> list[str]:
        """One line for each reason why this run is not a pass."""
        return self.result.failures() + [
            f"at {stage.label} (second {stage.start:.0f} to {stage.end:.0f}) the engine decided {stage.decided:,.0f} "
            f"of {stage.offered:,.0f} requests per second" + (f" ({stage.shed:,.0f} were shed)" if stage.shed else "")
            for stage in self.stages
            if len(self.stages) > 1
            and stage.end - stage.start >= _SURE_SECONDS
            and stage.decided < KEEPS_UP * stage.offered
        ]

    def warnings(self) -> list[str]:
        """What makes the figures say less than they seem to."""
        found = []
        lag, latency = self.result.send_lag_ms["p99"], self.result.latency_ms["p99"]
        if lag > 0.25 * latency and lag > 1:
            found.append(f"the generators themselves were late: p99 {lag:,.1f} of {latency:,.1f} ms")
        busy = [sample.generators_cpu for sample in self.samples if sample.generators_cpu is not None]
        if busy and sum(busy) / len(busy) > 85 * self.setup.processes:
            found.append("the generators had no processor time to spare: use more processes, or another machine")
        return found

    def as_json(self) -> dict[str, Any]:
        """The report with its verdict, ready for JSON."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document | {"failures": self.failures(), "warnings": self.warnings(), "passed": self.passed}


def read(path: Path) -> LoadReport:
    """The report in a file that `as_json` made. Raises UnreadableReport."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=LoadReport)
    except OSError as error:
        raise UnreadableReport(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise UnreadableReport(f"{path} is not a load report: {error}") from error
    if report.version not in _READABLE:
        raise UnreadableReport(f"{path} has version {report.version}, this program reads up to {VERSION}")
    return report
