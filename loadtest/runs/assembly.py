"""From what generators and gauges saw to a report; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from loadtest.latency import Latencies, merged
from loadtest.result import LoadResult
from loadtest.runs import percentiles, series
from loadtest.runs.drift import drift
from loadtest.runs.gauges import Reading
from loadtest.runs.generator import Finished
from loadtest.runs.plan import LoadTest
from loadtest.runs.profile import Profile
from loadtest.runs.report import VERSION, Interval, LoadReport, Sample, Setup, Stage
from loadtest.runs.series import PackedLatencies, Row
from loadtest.schedule import SECOND_NS
from loadtest.usage import Usage, used


def assemble(
    test: LoadTest,
    began: datetime,
    start_ns: int,
    finished: Sequence[Finished],
    *,
    readings: Sequence[Reading],
    dead_letters: Counter[str],
    machine: dict[str, str],
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
        machine=machine,
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
        shed=round(row.shed / seconds, 1),
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
                shed=round(sum(row.shed for row in within) / seconds, 1),
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
