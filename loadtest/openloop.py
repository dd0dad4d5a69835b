"""One open-loop run against the engine: prepared messages out, decisions in, a result that hides nothing.

The k-th authorisation request is due at start + k / rate. Its latency runs from that instant to the moment a
read-committed consumer sees its first decision, so a stall anywhere (generator, broker, engine) is in the numbers.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import orjson
from confluent_kafka import KafkaError, Message

from loadtest import clients
from loadtest.decisions import DecisionWatch
from loadtest.latency import Latencies
from loadtest.result import LoadResult
from loadtest.schedule import SECOND_NS, Schedule, drive
from loadtest.spool import Group, Record, Spool
from loadtest.usage import UsageMeter

MAX_OUTSTANDING: Final = 500_000
"""Undecided requests beyond which the sender holds back: memory stays bounded, the rest shows up as unsent."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being counted, done, total)."""


@dataclass(frozen=True, slots=True)
class Run:
    """What to do in one run."""

    bootstrap: str
    schedule: Schedule
    accounts: int
    drain_seconds: float = 15.0  # patience for missing decisions after the last send
    grace_seconds: float = 2.0  # a request this late after the sending period is given up as unsent
    max_outstanding: int = MAX_OUTSTANDING
    worker_pid: int | None = None


def run(plan: Run, spool: Spool, on_progress: Progress) -> LoadResult:
    """Send all of `spool` on schedule and time the decisions. `spool` holds one group per scheduled request."""
    if spool.groups != plan.schedule.total:
        raise ValueError(f"{spool.groups} groups prepared for {plan.schedule.total} requests")
    watch = DecisionWatch(plan.bootstrap, plan.schedule)
    try:
        watch.begin()
        sender = Sender(iter(spool), watch, plan, on_progress)
        with undisturbed(), UsageMeter(plan.worker_pid) as usage:
            handed_over = sender.send_all()
        sender.finish()
        _drain(watch, plan.drain_seconds, on_progress)
    finally:
        watch.end()
    return _result(plan, sender, watch, handed_over, usage)


class MonotonicClock:
    """`schedule.Clock` on the machine's monotonic clock."""

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns

    def elapsed_ns(self) -> int:
        return time.monotonic_ns() - self.start_ns

    def sleep_ns(self, duration_ns: int) -> None:
        time.sleep(duration_ns / SECOND_NS)


class Sender:
    """Hands prepared groups to librdkafka when they are due."""

    PAUSE_NS: Final = 500_000

    def __init__(self, groups: Iterator[Group], watch: DecisionWatch, plan: Run, on_progress: Progress) -> None:
        self._producer = clients.producer(plan.bootstrap)
        self._groups = groups
        self._group: Group | None = None  # the next to go
        self._follow_ups: deque[Record] = deque()
        self._watch = watch
        self._plan = plan
        self._clock = MonotonicClock(0)
        self._on_progress = on_progress
        self._progress_every = max(1, int(plan.schedule.rate / 5))
        self.lag = Latencies()
        self.refused = 0

    def send_all(self) -> int:
        """Drive the schedule from a moment in the near future; returns the number of requests handed over."""
        self._clock.start_ns = time.monotonic_ns() + SECOND_NS // 10
        self._watch.start_at(self._clock.start_ns)
        grace_ns = round(self._plan.grace_seconds * SECOND_NS)
        return drive(self._plan.schedule, self._send, self._clock, grace_ns=grace_ns, pause_ns=self.PAUSE_NS)

    def finish(self) -> None:
        """Send the last follow-ups and wait for the broker's last acknowledgements, `drain_seconds` at most."""
        deadline = time.monotonic() + self._plan.drain_seconds
        while not self._flush_follow_ups() and time.monotonic() < deadline:
            self._producer.poll(0.01)
        self._producer.flush(max(0.0, deadline - time.monotonic()))

    def _send(self, k: int) -> bool:
        """Send request `k` and its follow-ups; False when there is no room now."""
        self._producer.poll(0)
        self._watch.raise_failure()
        if not self._flush_follow_ups() or self._watch.outstanding >= self._plan.max_outstanding:
            return False
        self._group = self._group or next(self._groups)
        if not self._send_request(self._group[0], k):
            return False
        self._follow_ups.extend(self._group[1:])
        self._group = None
        self._flush_follow_ups()
        if k % self._progress_every == 0:
            self._on_progress("requests sent", k, self._plan.schedule.total)
        return True

    def _send_request(self, request: Record, k: int) -> bool:
        reference = str(request.reference)
        self._watch.expect(reference, k)  # before it leaves: the answer may be quick
        if not self._produce(request):
            self._watch.forget(reference)
            return False
        if k >= self._plan.schedule.warmup:
            self.lag.record(max(0, self._clock.elapsed_ns() - self._plan.schedule.due_ns(k)) // 1000)
        return True

    def _flush_follow_ups(self) -> bool:
        """True once no follow-up waits."""
        while self._follow_ups:
            if not self._produce(self._follow_ups[0]):
                return False
            self._follow_ups.popleft()
        return True

    def _produce(self, record: Record) -> bool:
        """False when librdkafka's queue is full."""
        try:
            self._producer.produce(record.topic, record.value, record.key, record.partition, self._on_refused)
        except BufferError:
            return False
        return True

    def _on_refused(self, _error: KafkaError | None, message: Message) -> None:
        """The broker did not take a record (only failures are reported): its request counts as unsent."""
        content = orjson.loads(message.value() or b"{}")
        if content.get("type") != "authorization-request":
            return
        k = self._watch.forget(content["network_reference"])
        if k is not None and k >= self._plan.schedule.warmup:
            self.refused += 1


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the interpreter's own pauses out of the latencies.

    The sender gets the interpreter back within half a millisecond while decisions are being read, and the garbage
    collector does not look at what was there before the run.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def _drain(watch: DecisionWatch, seconds: float, on_progress: Progress) -> None:
    deadline = time.monotonic() + seconds
    at_first = watch.outstanding
    while watch.outstanding and time.monotonic() < deadline:
        watch.raise_failure()
        time.sleep(0.05)
        on_progress("last decisions", at_first - watch.outstanding, at_first)


def _result(plan: Run, sender: Sender, watch: DecisionWatch, handed_over: int, usage: UsageMeter) -> LoadResult:
    schedule = plan.schedule
    warmup_missing, missing = watch.outstanding_by_phase()
    sent = max(0, handed_over - schedule.warmup) - sender.refused
    seconds = (schedule.length_ns - schedule.measured_from_ns) / SECOND_NS
    return LoadResult(
        offered_rate=schedule.rate,
        seconds=seconds,
        accounts=plan.accounts,
        sent=sent,
        unsent=schedule.requests - sent,
        decided=len(watch.latencies) + watch.latencies.overflow,
        missing=missing,
        warmup_missing=warmup_missing,
        overflow=watch.latencies.overflow,
        rate=round(watch.decided_while_sending / seconds, 1),
        latency_ms=watch.latencies.summary(),
        send_lag_ms=sender.lag.summary(),
        outcomes=dict(watch.outcomes.most_common()),
        worker=usage.result(),
    )
