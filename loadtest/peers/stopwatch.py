"""Latency under an open loop: from the instant a request was due to the moment its committed decision is seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from confluent_kafka import Message

from loadtest import clients
from loadtest.latency import Latencies
from loadtest.openloop import MonotonicClock, undisturbed
from loadtest.peers.process import PeerProcess
from loadtest.peers.stage import Stage
from loadtest.peers.traffic import Prepared
from loadtest.schedule import SECOND_NS, Schedule, drive
from loadtest.usage import UsageMeter
from loadtest.watch import Watch

GRACE_S: Final = 2.0
"""A request this late after the sending period is given up as unsent."""

DRAIN_S: Final = 15.0
"""Patience for missing decisions after the last request."""

_PAUSE_NS: Final = 500_000
_SETTLE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Timed:
    """One peer at one rate in one round. Counts are of measured requests (after the warm-up, without repeats)."""

    offered_rate: float  # records per second
    seconds: float
    latency_ms: dict[str, float]  # p50 p90 p99 p99_9 max
    send_lag_ms: dict[str, float]  # the sender's own part of it
    unsent: int
    missing: int
    overflow: int
    cpu_percent: float | None  # of one core, of the peer's process


def time_decisions(stage: Stage, schedule: Schedule, prepared: Sequence[Prepared], process: PeerProcess) -> Timed:
    """Send `prepared`, one record for each of the schedule's, and time the decisions. Raises PeerFailed."""
    watch = _PeerWatch(stage, schedule)
    try:
        watch.begin()
        sender = _Sender(stage, schedule, prepared, watch, process)
        with undisturbed(), UsageMeter(process.pid) as usage:
            sent = sender.send_all()
        sender.finish()
        watch.drain(process)
    finally:
        watch.end()
    used = usage.result()
    return Timed(
        offered_rate=schedule.rate,
        seconds=(schedule.length_ns - schedule.measured_from_ns) / SECOND_NS,
        latency_ms=watch.latencies.summary(),
        send_lag_ms=sender.lag.summary(),
        unsent=schedule.total - sent,
        missing=watch.outstanding,
        overflow=watch.latencies.overflow,
        cpu_percent=used.cpu_percent if used else None,
    )


class _Sender:
    """Hands prepared records to librdkafka when they are due."""

    def __init__(
        self,
        stage: Stage,
        schedule: Schedule,
        prepared: Sequence[Prepared],
        watch: _PeerWatch,
        process: PeerProcess,
    ) -> None:
        self._producer = clients.load_producer(stage.cluster)
        self._topic = stage.requests
        self._schedule = schedule
        self._prepared = prepared
        self._watch = watch
        self._process = process
        self._check_every = max(1, round(schedule.rate))
        self._clock = MonotonicClock(0)
        self.lag = Latencies()

    def send_all(self) -> int:
        """Drive the schedule from a moment in the near future; the number of records handed over."""
        self._clock.start_ns = time.monotonic_ns() + SECOND_NS // 10
        self._watch.start_at(self._clock.start_ns)
        return drive(self._schedule, self._send, self._clock, grace_ns=round(GRACE_S * SECOND_NS), pause_ns=_PAUSE_NS)

    def finish(self) -> None:
        """Wait for the broker's last acknowledgements."""
        self._producer.flush(DRAIN_S)

    def _send(self, k: int) -> bool:
        partition, key, value, request_id = self._prepared[k]
        if k % self._check_every == 0:
            self._process.check()
            self._watch.raise_failure()
        if request_id is not None:
            self._watch.expect(request_id, k)  # before it leaves: the answer may be quick
        try:
            self._producer.produce(self._topic, value, key, partition)
        except BufferError:
            self._producer.poll(0)
            return False
        self._producer.poll(0)
        if k >= self._schedule.warmup:
            self.lag.record(max(0, self._clock.elapsed_ns() - self._schedule.due_ns(k)) // 1000)
        return True


class _PeerWatch(Watch):
    """Times the decisions of a peer."""

    def __init__(self, stage: Stage, schedule: Schedule) -> None:
        super().__init__(stage.cluster, stage.decisions, _SETTLE_S, "peer-watch")
        self._schedule = schedule
        self.latencies = Latencies()

    def drain(self, process: PeerProcess) -> None:
        """Wait for the last decisions, `DRAIN_S` at most."""
        deadline = time.monotonic() + DRAIN_S
        while self._waiting and time.monotonic() < deadline:
            process.check()
            self.raise_failure()
            time.sleep(0.05)

    def _see(self, _record: Message, value: bytes, seen_ns: int) -> None:
        k = self._waiting.pop(orjson.loads(value)["request_id"], None)
        if k is not None and k >= self._schedule.warmup:
            self.latencies.record((seen_ns - self._schedule.due_ns(k)) // 1000)
