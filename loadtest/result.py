"""What a load run reports, and whether it is a pass."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from models.outcomes import DeclineReason

KEEPS_UP: Final = 0.9
"""An engine keeps up when it decides at least this part of the offered rate while the load lasts."""
SHED: Final = f"declined:{DeclineReason.TIMED_OUT}"
"""The outcome of a request that waited for longer than OTB_SHED_AFTER_MS. It is declined unscored, at a third of the
usual cost: with a backlog most requests are, and the rate of all decisions is far above what the engine can do."""


@dataclass(frozen=True, slots=True)
class WorkerUsage:
    """What the worker process consumed while the load was sent."""

    cpu_seconds: float
    cpu_percent: float  # of one core
    rss_mb: float  # largest seen, megabytes of 1,000,000 bytes


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Counts are of measured authorisation requests (after the warm-up); retries of a request are not counted again."""

    offered_rate: float  # requests per second the schedule asked for
    seconds: float  # length of the measured sending period
    accounts: int
    sent: int
    unsent: int  # due but not sent: the load generator or the broker did not keep up
    decided: int
    missing: int  # sent and never decided
    warmup_missing: int  # the same, of the warm-up
    overflow: int  # slower than the histogram holds
    rate: float  # decisions seen per second of the measured sending period, those of shed requests not counted
    latency_ms: dict[str, float]  # decision seen (read committed) minus intended send time
    send_lag_ms: dict[str, float]  # actual minus intended send time: the generator's own part of the latency
    outcomes: dict[str, int]  # "approved" or "declined:<reason>" -> requests
    worker: WorkerUsage | None

    @property
    def shed(self) -> int:
        """Requests declined because they had waited for too long."""
        return self.outcomes.get(SHED, 0)

    def as_json(self) -> dict[str, object]:
        """The result with its verdict, ready for JSON."""
        return asdict(self) | {"shed": self.shed, "failures": self.failures()}

    def failures(self) -> list[str]:
        """One line for each reason why this run is not a pass."""
        found = []
        if self.unsent:
            found.append(f"{self.unsent:,} of {self.sent + self.unsent:,} requests were not sent")
        if self.missing or self.warmup_missing:
            found.append(f"{self.missing + self.warmup_missing:,} requests were never decided")
        if self.overflow:
            found.append(f"{self.overflow:,} decisions were too slow for the histogram")
        if self.rate < KEEPS_UP * self.offered_rate:
            shed = f" ({self.shed:,} were shed)" if self.shed else ""
            found.append(f"the engine decided {self.rate:,.0f} of {self.offered_rate:,.0f} requests per second{shed}")
        return found
