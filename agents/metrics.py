"""What the worker tells Prometheus."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from aiokafka import ConsumerRecord
from faust.types import TP
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

from agents.decided import Decided
from topics.declarations import AUTHORIZATIONS

FINE_SECONDS = (
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    10,
)
SLICE_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 4000)


class Ages(Collector):
    """A histogram of how old records are, which takes those of a whole slice at once: many are of the same millisecond,
    and a `Histogram` takes as long for one as a decision for a twentieth of its work."""

    def __init__(self, name: str, documentation: str, bounds_s: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._documentation = name, documentation
        self._bounds_ms = [bound * 1000 for bound in bounds_s]
        self._labels = [str(float(bound)) for bound in bounds_s] + ["+Inf"]
        self._counts = [0] * len(self._labels)
        self._sum_ms = 0.0
        registry.register(self)

    def observe(self, now_ms: float, timestamps_ms: Iterable[int]) -> None:
        """Ages at `now_ms` of records with these timestamps; one from the future is no age."""
        for timestamp, count in Tally(timestamps_ms).items():
            age = max(0.0, now_ms - timestamp)
            self._counts[bisect_left(self._bounds_ms, age)] += count
            self._sum_ms += age * count

    def collect(self) -> Iterator[HistogramMetricFamily]:
        buckets = list(zip(self._labels, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets, self._sum_ms / 1000)


class WorkerMetrics:
    """One worker's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.outcomes = Counter(
            "otb_outcomes", "messages by type and outcome or decline reason", ["type", "outcome"], registry=registry
        )
        self.latency = Ages(
            "otb_decision_latency_seconds", "from the broker's timestamp of an authorisation message to its decision",
            FINE_SECONDS, registry,
        )  # fmt: skip
        self.slice_size = Histogram(
            "otb_slice_records", "records decided at once", buckets=SLICE_SIZES, registry=registry
        )
        self.transaction = Histogram(
            "otb_transaction_seconds", "from begin to applied", buckets=FINE_SECONDS, registry=registry
        )
        self.deciding = Histogram(
            "otb_decide_seconds", "time in the engine for one slice", buckets=FINE_SECONDS, registry=registry
        )
        self.model = Histogram(
            "otb_model_seconds", "time in the fraud model for one slice", buckets=FINE_SECONDS, registry=registry
        )
        self.stood_in = Counter(
            "otb_stand_in_requests",
            "requests decided without a score, because the fraud model failed",
            registry=registry,
        )
        self.lag = Gauge(
            "otb_consumer_lag_records",
            "records behind the end of an input partition",
            ["topic", "partition"],
            registry=registry,
        )
        self.standby_lag = Gauge(
            "otb_standby_lag_records",
            "records of the changelog that this worker has yet to read as a standby",
            ["partition"],
            registry=registry,
        )
        self.restore_left = Gauge(
            "otb_restore_offsets_left", "offsets of the changelog that are left to restore", registry=registry
        )
        self.dead_letters = Counter("otb_dead_letters", "records that could not be used", ["reason"], registry=registry)
        self.unswept = Counter(
            "otb_unswept_rows", "rows that a sweep came by and could not read or work on", registry=registry
        )
        self.fenced = Counter("otb_fenced_slices", "transactions refused: partitions had moved", registry=registry)
        self.ready = Gauge("otb_ready", "1 when tables are restored and input flows", registry=registry)
        self.stalled = Gauge(
            "otb_stalled_seconds", "how long input has waited without anything being decided", registry=registry
        )
        self._last_commit = time.monotonic()
        Gauge("otb_seconds_since_last_commit", "age of the last commit", registry=registry).set_function(
            lambda: time.monotonic() - self._last_commit
        )

    def observe_commit(self, slices: Iterable[Decided], seconds: float) -> None:
        """One transaction with all that these slices have come to."""
        self._last_commit = time.monotonic()
        self.transaction.observe(seconds)
        for decided in slices:
            for (kind, outcome), count in decided.outcomes.items():
                self.outcomes.labels(kind, outcome).inc(count)
            for reason, count in decided.dead_letters.items():
                self.dead_letters.labels(reason).inc(count)
            self.unswept.inc(len(decided.unswept))
            self.stood_in.inc(decided.stood_in)

    def observe(self, decided: Decided, records: Mapping[TP, list[ConsumerRecord]], deciding_s: float) -> None:
        """One slice."""
        self.slice_size.observe(sum(len(fetched) for fetched in records.values()))
        self.deciding.observe(deciding_s)
        self.model.observe(decided.model_seconds)

    def observe_latency(self, records: Mapping[TP, list[ConsumerRecord]]) -> None:
        """The decisions of a slice can be read now."""
        now_ms = time.time() * 1000
        for tp, fetched in records.items():
            if tp.topic == AUTHORIZATIONS.name:
                self.latency.observe(now_ms, [record.timestamp for record in fetched])

    def observe_lag(self, lags: Mapping[TP, int]) -> None:
        for tp, lag in lags.items():
            self.lag.labels(tp.topic, tp.partition).set(lag)

    def observe_standby_lag(self, lags: Mapping[TP, int]) -> None:
        """All partitions for which this worker is a standby now; others are forgotten."""
        self.standby_lag.clear()
        for tp, lag in lags.items():
            self.standby_lag.labels(tp.partition).set(lag)
