"""What a load test is to do, and how its generators share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from loadtest.openloop import MAX_OUTSTANDING
from loadtest.runs.generator import Job
from loadtest.runs.profile import BadProfile, Profile
from topics.cluster import Cluster

_SEED_STEP: Final = 1_000_003
"""Between the seeds of two generators: neighbouring seeds of two runs do not share traffic."""


@dataclass(frozen=True, slots=True)
class LoadTest:
    """What to do."""

    profile: Profile
    accounts: int
    seed: int = 1
    processes: int = 1
    follow_ups: bool = True
    drain_seconds: float = 15.0  # patience for missing decisions after the last send
    grace_seconds: float = 2.0  # a request this late after the sending period is given up as unsent

    def __post_init__(self) -> None:
        if self.processes > self.accounts:
            raise BadProfile(f"{self.processes} processes need at least as many accounts, not {self.accounts}")
        if self.processes > self.profile.total - self.profile.warmup_requests:
            raise BadProfile(f"{self.processes} processes have less than one request each: raise the rate or the time")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the engine is."""

    cluster: Cluster
    group: str  # consumer group of the workers
    worker_pid: int | None = None


def jobs(cluster: Cluster, test: LoadTest, run_id: str, now_ms: int) -> list[Job]:
    """What each generator does: accounts, requests and room are shared out evenly."""
    return [
        Job(
            cluster=cluster,
            profile=test.profile,
            number=number,
            generators=test.processes,
            accounts=test.accounts // test.processes + (number < test.accounts % test.processes),
            seed=test.seed + number * _SEED_STEP,
            run_id=f"{run_id}-g{number:03d}",
            follow_ups=test.follow_ups,
            now_ms=now_ms,
            drain_seconds=test.drain_seconds,
            grace_seconds=test.grace_seconds,
            max_outstanding=MAX_OUTSTANDING // test.processes,
        )
        for number in range(test.processes)
    ]
