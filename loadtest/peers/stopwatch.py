"""Latency under an open loop: from the instant a request was due to the moment its committed decision is seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from loadtest import clients
from loadtest.latency import Latencies
from loadtest.openloop import MonotonicClock, undisturbed
from loadtest.peers.process import PeerProcess
from loadtest.peers.stage import Stage
from loadtest.peers.traffic import Prepared
from loadtest.schedule import SECOND_NS, Schedule, drive
from loadtest.usage import UsageMeter

GRACE_S: Final = 2.0
"""A request this late after the sending period is given up as unsent."""

DRAIN_S: Final = 15.0
"""Patience for missing decisions after the last request."""

_PAUSE_NS: Final = 500_000
_BATCH: Final = 500
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
    watch = _Watch(stage, schedule)
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
        self, stage: Stage, schedule: Schedule, prepared: Sequence[Prepared], watch: _Watch, process: PeerProcess
    ) -> None:
        self._producer = clients.producer(stage.bootstrap)
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
        self._watch.start_ns = self._clock.start_ns
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


class _Watch:
    """A thread that reads decisions as they are committed, from where the topic ended when it began."""

    def __init__(self, stage: Stage, schedule: Schedule) -> None:
        self._stage = stage
        self._schedule = schedule
        self._waiting: dict[str, int] = {}
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._consumer = clients.low_latency_reader(stage.bootstrap)
        self._thread = threading.Thread(target=self._read_until_stopped, name="peer-watch", daemon=True)
        self.start_ns = 0
        self.latencies = Latencies()

    def begin(self) -> None:
        topic = self._stage.decisions
        ends = clients.end_offsets(self._consumer, topic, self._stage.partitions)
        clients.assign_from(self._consumer, topic, ends)
        self._thread.start()
        time.sleep(_SETTLE_S)

    def expect(self, request_id: str, k: int) -> None:
        """Request `k` is about to be sent."""
        self._waiting[request_id] = k

    @property
    def outstanding(self) -> int:
        """Requests awaited, warm-up included."""
        return len(self._waiting)

    def raise_failure(self) -> None:
        """Raise here what ended the thread there."""
        if self._failure:
            raise self._failure

    def drain(self, process: PeerProcess) -> None:
        """Wait for the last decisions, `DRAIN_S` at most."""
        deadline = time.monotonic() + DRAIN_S
        while self._waiting and time.monotonic() < deadline:
            process.check()
            self.raise_failure()
            time.sleep(0.05)

    def end(self) -> None:
        """Stop reading; counts stay."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._consumer.close()

    def _read_until_stopped(self) -> None:
        try:
            while not self._stopping.is_set():
                batch = clients.arrived(self._consumer, _BATCH, 0.05)
                seen_ns = time.monotonic_ns() - self.start_ns
                for message in batch:
                    self._take(clients.value_of(message), seen_ns)
        except Exception as error:  # handed to the thread that can act on it
            self._failure = error

    def _take(self, decision: bytes, seen_ns: int) -> None:
        k = self._waiting.pop(orjson.loads(decision)["request_id"], None)
        if k is not None and k >= self._schedule.warmup:
            self.latencies.record((seen_ns - self._schedule.due_ns(k)) // 1000)
