"""What the sink shows to Prometheus, in a registry that the caller owns and serves."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sinks.ledger.writer import Outcome

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ENTRIES = (1, 10, 50, 100, 500, 1000, 2500, 5000, 10_000, 50_000)


class LedgerMetrics:
    """Every metric of one sink; `otb_sink_` begins each name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._batch_seconds = Histogram(
            "otb_sink_batch_seconds", "Decoding and writing one batch", buckets=_SECONDS, registry=registry
        )
        self._batch_records = Histogram(
            "otb_sink_batch_records", "Records in one batch", buckets=_ENTRIES, registry=registry
        )
        self._written = Counter("otb_sink_entries_written", "Journal entries posted", registry=registry)
        self._duplicates = Counter("otb_sink_duplicates_skipped", "Records posted before", registry=registry)
        self._dead = Counter("otb_sink_dead_letters", "Records that cannot be posted", ["reason"], registry=registry)
        self._retries = Counter("otb_sink_postgres_retries", "Work begun again after a failure", registry=registry)
        self._stale = Counter("otb_sink_stale_batches", "Batches dropped to another sink", registry=registry)
        self._lag = Gauge("otb_sink_lag_records", "Records not yet in the ledger", ["partition"], registry=registry)
        self._last_commit = time.monotonic()
        idle = Gauge("otb_sink_seconds_since_commit", "Since the last commit, or the start", registry=registry)
        idle.set_function(lambda: time.monotonic() - self._last_commit)

    def batch_committed(self, records: int, seconds: float, outcome: Outcome) -> None:
        """A batch of `records` was written in `seconds`."""
        self._last_commit = time.monotonic()
        self._batch_seconds.observe(seconds)
        self._batch_records.observe(records)
        self._written.inc(outcome.written)
        self._duplicates.inc(outcome.duplicates)
        for rejection in outcome.rejections:
            self._dead.labels(rejection.cause.reason.value).inc()

    def batch_dropped(self) -> None:
        """Another sink has moved the offsets."""
        self._stale.inc()

    def retried(self) -> None:
        """PostgreSQL failed in a way that is worth another try."""
        self._retries.inc()

    def lag(self, by_partition: dict[int, int]) -> None:
        """The partitions this sink reads and how many records each is behind; others are no longer shown."""
        self._lag.clear()
        for partition, behind in by_partition.items():
            self._lag.labels(str(partition)).set(behind)
