"""One load test: generators and gauges in, a report out."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import numpy as np

from loadtest import clients, machine
from loadtest.runs.assembly import assemble
from loadtest.runs.crew import Crew
from loadtest.runs.gauges import Gauges, LagReader, Reading, wait_until_idle
from loadtest.runs.percentiles import rank
from loadtest.runs.plan import LoadTest, Target, jobs
from loadtest.runs.profile import Profile
from loadtest.runs.report import LoadReport
from loadtest.schedule import SECOND_NS
from loadtest.simulation import fresh_run

IDLE_PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A run while it lasts, for those who watch it. Latencies are of the last whole interval."""

    elapsed: float  # seconds since the start, warm-up included
    length: float
    warming_up: bool
    offered: float  # requests per second due now
    sent: int
    decided: int
    outstanding: int
    p50_ms: float | None
    p99_ms: float | None
    reading: Reading | None
    reading_before: Reading | None


class View(Protocol):
    """Who watches: all calls come from the thread that conducts the test."""

    def say(self, text: str) -> None:
        """Something happened."""

    def count(self, what: str, done: int, total: int) -> None:
        """Before the run: `done` of `total` of `what`."""

    def show(self, moment: Moment) -> None:
        """During the run, several times a second."""


def conduct(target: Target, test: LoadTest, view: View) -> LoadReport:
    """Open accounts, play the profile, report.

    Raises NotIdle, Unreachable, NoSuchTopic, TooFewAccounts, NotOpened when no engine answers, or what the crew raises.
    """
    clients.require(target.cluster)
    with closing(LagReader(target.cluster, target.group)) as lag:
        return _play(target, test, view, lag)


def _play(target: Target, test: LoadTest, view: View, lag: LagReader) -> LoadReport:
    if lag.read():
        view.say("waiting until the engine has caught up with what came before")
    wait_until_idle(lag, IDLE_PATIENCE_SECONDS)
    profile, began = test.profile, datetime.now(UTC)
    with Crew(jobs(target.cluster, test, fresh_run(), time.time_ns() // 1_000_000), view.count) as crew:
        crew.wait_ready()
        gauges = Gauges(target.cluster, lag, target.worker_pid, crew.pids, profile.interval)
        with gauges:
            start_ns = crew.start()
            finished = crew.finish(lambda: view.show(_moment(profile, start_ns, crew, gauges)))
    return assemble(
        test,
        began,
        start_ns,
        finished,
        readings=gauges.readings,
        dead_letters=gauges.dead_letters,
        machine=machine.facts(),
    )


def _moment(profile: Profile, start_ns: int, crew: Crew, gauges: Gauges) -> Moment:
    elapsed_ns = max(0, time.monotonic_ns() - start_ns)
    seen = crew.so_far()
    recent = np.sort(np.frombuffer(seen.recent_us, dtype=np.int64)) if seen.recent_us else None
    readings = gauges.readings[-2:]
    second_before = max(0, min(elapsed_ns, profile.length_ns) - SECOND_NS)
    return Moment(
        elapsed=elapsed_ns / SECOND_NS,
        length=profile.length_ns / SECOND_NS,
        warming_up=elapsed_ns < profile.measured_from_ns,
        offered=float(profile.due_before(second_before + SECOND_NS) - profile.due_before(second_before)),
        sent=seen.sent,
        decided=seen.decided,
        outstanding=seen.sent - seen.refused - seen.decided,
        p50_ms=_of_sorted(recent, 50),
        p99_ms=_of_sorted(recent, 99),
        reading=readings[-1] if readings else None,
        reading_before=readings[0] if len(readings) == 2 else None,
    )


def _of_sorted(microseconds: np.ndarray | None, percentile: float) -> float | None:
    if microseconds is None:
        return None
    return float(microseconds[rank(percentile, len(microseconds)) - 1]) / 1000
