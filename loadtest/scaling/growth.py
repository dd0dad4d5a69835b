"""One part of a round: the latency at a fixed rate with so many accounts in the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil  # type: ignore[import-untyped,unused-ignore]

from loadtest.latency import Latencies
from loadtest.openloop import Run, play
from loadtest.runs import percentiles, series
from loadtest.runs.profile import Profile, Share
from loadtest.runs.series import Series
from loadtest.scaling import process
from loadtest.scaling.ground import make_topics, skip_input, write_rows
from loadtest.scaling.hits import Hits, hit
from loadtest.scaling.population import Population
from loadtest.scaling.worker import Servers, calmed, workers
from loadtest.spool import Spool

Say = Callable[[str], None]
Count = Callable[[str, int, int], None]

LEAVING_S: Final = 30.0
"""Patience with a group whose workers have ended: longer than a session."""

BUSY_SAMPLE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Restore:
    """The first start of a worker, with an empty store; the rows come from the changelog."""

    rows: int
    row_bytes: float  # on average
    seconds: float  # from the start of the process until it decides
    cpu_seconds: float  # until its store has settled as well


@dataclass(frozen=True)
class Timed:
    """One round with so many accounts. Latencies in milliseconds, of measured requests."""

    number: int  # from 1
    busy_percent: float  # of all cores, before it began: what others were doing
    latency_ms: dict[str, float]  # p50 p90 p99 p99_9 p99_99 max
    send_lag_ms: dict[str, float]  # the generator's own part of it
    sent: int
    unsent: int
    missing: int  # never decided, warm-up included
    outcomes: dict[str, int]
    accounts_hit: int
    cpu_ms_per_request: float  # of the worker, warm-up included
    waited: float | None  # part of the time in which the worker's main thread was ready to run and had no core
    rss_mb: float
    store_mb: float
    intervals: list[Latencies]  # of the requests due in each


class Crowd:
    """A group with one worker and a table of so many accounts, round after round from the same rows."""

    def __init__(self, servers: Servers, population: Population) -> None:
        self._servers = servers
        self._population = population
        self._touched: set[int] = set()
        self.group = f"accounts-{population.size}"

    def begin(self, say: Say, count: Count) -> Restore:
        """Write all rows and let a worker restore them."""
        servers, size = self._servers, self._population.size
        make_topics(servers.cluster, self.group, servers.partitions)
        say(f"{size:,} accounts: writing their rows to the changelog")
        rows = self._population.rows(range(size))
        written = write_rows(
            servers.cluster, self.group, servers.partitions, rows, lambda done: count("rows written", done, size)
        )
        skip_input(servers.cluster, self.group, servers.partitions, LEAVING_S)
        say(f"{size:,} accounts: restoring them into an empty store")
        began = time.monotonic()
        with workers(servers, self.group, 1, "restore") as (worker,):
            seconds = time.monotonic() - began
            settled = calmed(worker)
        return Restore(size, round(written / size, 1), round(seconds, 2), round(settled.cpu_seconds, 2))

    def play(self, number: int, profile: Profile, hits: Hits, seed: int) -> Timed:
        """One round; raises ScalingError, Unreachable, or what ended the worker."""
        busy = psutil.cpu_percent(BUSY_SAMPLE_S)
        servers, population = self._servers, self._population
        numbers = [int(each) for each in hit(population.size, profile.total, hits, seed)]
        run_id = f"{self.group}-{number}"
        spool = Spool()
        try:
            spool.extend(population.requests(numbers, run_id, servers.partitions))
            write_rows(servers.cluster, self.group, servers.partitions, population.rows(sorted(self._touched)))
            self._touched = set(numbers)
            skip_input(servers.cluster, self.group, servers.partitions, LEAVING_S)
            with workers(servers, self.group, 1, str(number)) as (worker,):
                calmed(worker)
                return self._timed(number, busy, worker.pid, profile, spool)
        finally:
            spool.close()

    def _timed(self, number: int, busy: float, pid: int, profile: Profile, spool: Spool) -> Timed:
        share = Share(profile, 0, 1)
        observer = Series(share)
        before = process.spent(pid)
        run = Run(self._servers.cluster, share, self._population.size, observer=observer)
        played = play(run, spool, lambda _what, _done, _total: None)
        after = process.spent(pid)
        intervals = [row.latencies for row in series.rows([observer.counts()])]
        return Timed(
            number=number,
            busy_percent=busy,
            latency_ms=percentiles.summary(played.latencies),
            send_lag_ms=percentiles.summary(played.send_lag),
            sent=played.sent,
            unsent=share.total - share.warmup - played.sent,
            missing=played.missing + played.warmup_missing,
            outcomes=played.outcomes,
            accounts_hit=len(self._touched),
            cpu_ms_per_request=round(1000 * (after.cpu_seconds - before.cpu_seconds) / share.total, 4),
            waited=process.waited_share(before, after),
            rss_mb=round(after.rss_bytes / 1e6, 1),
            store_mb=round(self._store_bytes() / 1e6, 1),
            intervals=intervals,
        )

    def _store_bytes(self) -> int:
        return sum(map(process.folder_bytes, (self._servers.home / "tables").glob(f"*/{self.group}")))
