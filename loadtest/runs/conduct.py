"""One load test: generators and gauges in, a report out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, Protocol

import numpy as np

from loadtest import clients, machine
from loadtest.latency import Latencies, merged
from loadtest.openloop import MAX_OUTSTANDING
from loadtest.result import LoadResult
from loadtest.runs import percentiles, series
from loadtest.runs.crew import Crew
from loadtest.runs.drift import drift
from loadtest.runs.gauges import Gauges, LagReader, Reading, wait_until_idle
from loadtest.runs.generator import Finished, Job
from loadtest.runs.percentiles import rank
from loadtest.runs.profile import BadProfile, Profile
from loadtest.runs.report import VERSION, Interval, LoadReport, Sample, Setup, Stage
from loadtest.runs.series import PackedLatencies, Row
from loadtest.schedule import SECOND_NS
from loadtest.simulation import fresh_run
from loadtest.usage import Usage, used

IDLE_PATIENCE_SECONDS: Final = 60.0
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

    bootstrap: str
    group: str  # consumer group of the workers
    worker_pid: int | None = None


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
    clients.require(target.bootstrap)
    lag = LagReader(target.bootstrap, target.group)
    if lag.read():
        view.say("waiting until the engine has caught up with what came before")
    wait_until_idle(lag, IDLE_PATIENCE_SECONDS)
    profile, began = test.profile, datetime.now(UTC)
    with Crew(jobs(target.bootstrap, test, fresh_run(), time.time_ns() // 1_000_000), view.count) as crew:
        crew.wait_ready()
        gauges = Gauges(target.bootstrap, lag, target.worker_pid, crew.pids, profile.interval)
        with gauges:
            start_ns = crew.start()
            finished = crew.finish(lambda: view.show(_moment(profile, start_ns, crew, gauges)))
    return assemble(test, began, start_ns, finished, gauges.readings, gauges.dead_letters)


def jobs(bootstrap: str, test: LoadTest, run_id: str, now_ms: int) -> list[Job]:
    """What each generator does: accounts, requests and room are shared out evenly."""
    return [
        Job(
            bootstrap=bootstrap,
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


def assemble(
    test: LoadTest,
    began: datetime,
    start_ns: int,
    finished: Sequence[Finished],
    readings: Sequence[Reading],
    dead_letters: Counter[str],
) -> LoadReport:
    """The report of a run that is over; histograms of all generators are added, never averaged."""
    profile = test.profile
    rows = series.rows([each.counts for each in finished])
    whole = merged(row.latencies for row in rows)
    samples = _samples(readings, start_ns + profile.measured_from_ns, start_ns + profile.length_ns)
    return LoadReport(
        version=VERSION,
        began=f"{began:%Y-%m-%d %H:%M:%S} UTC",
        setup=_setup(test),
        machine=machine.facts(),
        result=_result(test, finished, whole, readings),
        refused=sum(sum(each.counts.refused) for each in finished),
        curve=percentiles.curve(whole),
        stages=_stages(profile, rows),
        intervals=[_interval(profile, number, row) for number, row in enumerate(rows)],
        samples=samples,
        dead_letters=dict(dead_letters.most_common()),
        drift=drift([row.latencies for row in rows], samples, test.seed) if profile.name == "soak" else None,
    )


def _setup(test: LoadTest) -> Setup:
    profile = test.profile
    rates = [(stretch.first, stretch.last) for stretch in profile.stretches]
    load = ", ".join(f"{first:g}/s" if first == last else f"{first:g} to {last:g}/s" for first, last in rates)
    return Setup(
        profile=profile.name,
        load=load,
        seconds=profile.seconds,
        warmup=profile.warmup,
        interval=profile.interval,
        accounts=test.accounts,
        seed=test.seed,
        processes=test.processes,
        authorizations_only=not test.follow_ups,
    )


def _result(test: LoadTest, finished: Sequence[Finished], whole: Latencies, readings: Sequence[Reading]) -> LoadResult:
    sent = sum(each.sent for each in finished)
    outcomes: Counter[str] = Counter()
    for each in finished:
        outcomes.update(each.outcomes)
    return LoadResult(
        offered_rate=round(test.profile.mean_rate, 3),
        seconds=test.profile.seconds,
        accounts=test.accounts,
        sent=sent,
        unsent=sum(each.requests for each in finished) - sent,
        decided=len(whole) + whole.overflow,
        missing=sum(each.missing for each in finished),
        warmup_missing=sum(each.warmup_missing for each in finished),
        overflow=whole.overflow,
        rate=round(sum(each.decided_while_sending for each in finished) / test.profile.seconds, 1),
        latency_ms=percentiles.summary(whole),
        send_lag_ms=percentiles.summary(merged(each.send_lag.unpacked() for each in finished)),
        outcomes=dict(outcomes.most_common()),
        worker=used([reading.worker for reading in readings if reading.worker]),
    )


def _interval(profile: Profile, number: int, row: Row) -> Interval:
    begin_ns, end_ns = profile.interval_start_ns(number), profile.interval_start_ns(number + 1)
    seconds = (end_ns - begin_ns) / SECOND_NS
    return Interval(
        start=round((begin_ns - profile.measured_from_ns) / SECOND_NS, 3),
        seconds=round(seconds, 3),
        offered=round((profile.due_before(end_ns) - profile.due_before(begin_ns)) / seconds, 1),
        sent=round(row.sent / seconds, 1),
        decided=round(row.decided / seconds, 1),
        outstanding=row.outstanding,
        overflow=row.latencies.overflow,
        latency_ms=percentiles.summary(row.latencies),
        histogram=PackedLatencies.of(row.latencies).text,
    )


def _stages(profile: Profile, rows: Sequence[Row]) -> list[Stage]:
    found = []
    for stage in profile.stages:
        first, end = round(stage.start / profile.interval), round(stage.end / profile.interval)
        within, seconds = rows[first:end], stage.end - stage.start
        begin_ns, end_ns = profile.interval_start_ns(first), profile.interval_start_ns(end)
        found.append(
            Stage(
                label=stage.label,
                start=round(stage.start, 3),
                end=round(stage.end, 3),
                offered=round((profile.due_before(end_ns) - profile.due_before(begin_ns)) / seconds, 1),
                decided=round(sum(row.decided for row in within) / seconds, 1),
                outstanding=within[-1].outstanding,
                latency_ms=percentiles.summary(merged(row.latencies for row in within)),
            )
        )
    return found


def _samples(readings: Sequence[Reading], from_ns: int, to_ns: int) -> list[Sample]:
    """Those of the measured period."""
    found = []
    for before, reading in pairwise(readings):
        if not from_ns <= reading.at_ns <= to_ns + SECOND_NS:
            continue
        generators = [cpu_percent(a, b) for a, b in zip(before.generators, reading.generators, strict=True)]
        found.append(
            Sample(
                at=round((reading.at_ns - from_ns) / SECOND_NS, 3),
                lag=reading.lag,
                worker_cpu=cpu_percent(before.worker, reading.worker),
                worker_rss_mb=round(reading.worker.rss_bytes / 1e6, 1) if reading.worker else None,
                generators_cpu=_sum_of_known(generators),
            )
        )
    return found


def cpu_percent(before: Usage | None, after: Usage | None) -> float | None:
    """Of one core, between two looks at a process."""
    if before is None or after is None or after.at_ns <= before.at_ns:
        return None
    return round(100 * (after.cpu_seconds - before.cpu_seconds) / ((after.at_ns - before.at_ns) / SECOND_NS), 1)


def _sum_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 1) if known else None


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
