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
from typing import Final, Protocol

import orjson
from confluent_kafka import KafkaError, Message

from loadtest import clients
from loadtest.decisions import DecisionWatch
from loadtest.latency import Latencies, Samples
from loadtest.result import LoadResult
from loadtest.schedule import SECOND_NS, Schedule, Timetable, drive
from loadtest.spool import Group, Record, Spool
from loadtest.usage import UsageMeter
from topics.cluster import Cluster

MAX_OUTSTANDING: Final = 500_000
"""Undecided requests beyond which the sender holds back: memory stays bounded, the rest shows up as unsent."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being counted, done, total)."""


class Observer(Protocol):
    """Told of every request of a run, warm-up included; times are nanoseconds from the start of the schedule."""

    def sent(self, at_ns: int) -> None:
        """A request was handed over. Called by the sender's thread."""

    def refused(self, at_ns: int) -> None:
        """The broker did not take one. Called by the sender's thread."""

    def decided(self, k: int, seen_ns: int, *, shed: bool) -> None:
        """The first decision of request `k` was seen; `shed`: it had waited for too long. Called by the watch's
        thread."""


class Blind:
    """An observer that keeps nothing."""

    def sent(self, at_ns: int) -> None: ...

    def refused(self, at_ns: int) -> None: ...

    def decided(self, k: int, seen_ns: int, *, shed: bool) -> None: ...


UNOBSERVED: Final = Blind()


def in_a_moment() -> int:
    """A tenth of a second from now, in `time.monotonic_ns()`."""
    return time.monotonic_ns() + SECOND_NS // 10


@dataclass(frozen=True, slots=True)
class Run:
    """What to do in one run."""

    cluster: Cluster
    schedule: Timetable
    accounts: int
    drain_seconds: float = 15.0  # patience for missing decisions after the last send
    grace_seconds: float = 2.0  # a request this late after the sending period is given up as unsent
    max_outstanding: int = MAX_OUTSTANDING
    worker_pid: int | None = None
    keys: bytes = b""  # decisions whose key starts otherwise are of other runs
    start: Callable[[], int] = in_a_moment  # called when all is in place: `time.monotonic_ns()` of the schedule's start
    observer: Observer = UNOBSERVED


@dataclass(frozen=True, slots=True)
class Played:
    """What one run did. Counts and latencies are of measured requests, unless they say otherwise."""

    sent: int
    decided_while_sending: int
    missing: int  # sent and never decided
    warmup_missing: int  # the same, of the warm-up
    latencies: Latencies
    send_lag: Latencies  # actual minus intended send time
    outcomes: dict[str, int]
    worker: UsageMeter


def run(plan: Run, spool: Spool, on_progress: Progress) -> LoadResult:
    """Send all of `spool` on a steady schedule and time the decisions; see `play`."""
    if not isinstance(plan.schedule, Schedule):
        raise TypeError("only a steady schedule has one rate to report")
    return _result(plan.schedule, plan.accounts, play(plan, spool, on_progress))


def play(plan: Run, spool: Spool, on_progress: Progress) -> Played:
    """Send all of `spool` on schedule and time the decisions. `spool` holds one group per scheduled request."""
    if spool.groups != plan.schedule.total:
        raise ValueError(f"{spool.groups} groups prepared for {plan.schedule.total} requests")
    watch = DecisionWatch(plan.cluster, plan.schedule, plan.observer.decided, plan.keys)
    try:
        watch.begin()
        sender = Sender(iter(spool), watch, plan, on_progress)
        with undisturbed(), UsageMeter(plan.worker_pid) as usage:
            handed_over = sender.send_all()
        sender.finish()
        _drain(watch, plan.drain_seconds, on_progress)
    finally:
        watch.end()
    warmup_missing, missing = watch.outstanding_by_phase()
    return Played(
        sent=max(0, handed_over - plan.schedule.warmup) - sender.refused,
        decided_while_sending=watch.decided_while_sending,
        missing=missing,
        warmup_missing=warmup_missing,
        latencies=watch.latencies,
        send_lag=sender.lag.histogram(),
        outcomes=dict(watch.outcomes.most_common()),
        worker=usage,
    )


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
        self._producer = clients.load_producer(plan.cluster)
        self._groups = groups
        self._group: Group | None = None  # the next to go
        self._follow_ups: deque[Record] = deque()
        self._watch = watch
        self._plan = plan
        self._clock = MonotonicClock(0)
        self._on_progress = on_progress
        self._progress_every = max(1, min(1000, plan.schedule.total // 50))
        self.lag = Samples()
        self.refused = 0

    def send_all(self) -> int:
        """Drive the schedule from the moment that the plan names; returns the number of requests handed over."""
        self._clock.start_ns = self._plan.start()
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
        at_ns = self._clock.elapsed_ns()
        self._plan.observer.sent(at_ns)
        if k >= self._plan.schedule.warmup:
            self.lag.append(max(0, at_ns - self._plan.schedule.due_ns(k)) // 1000)
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
        if k is None:
            return
        self._plan.observer.refused(self._clock.elapsed_ns())
        if k >= self._plan.schedule.warmup:
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


def _result(schedule: Schedule, accounts: int, played: Played) -> LoadResult:
    seconds = (schedule.length_ns - schedule.measured_from_ns) / SECOND_NS
    return LoadResult(
        offered_rate=schedule.rate,
        seconds=seconds,
        accounts=accounts,
        sent=played.sent,
        unsent=schedule.requests - played.sent,
        decided=len(played.latencies) + played.latencies.overflow,
        missing=played.missing,
        warmup_missing=played.warmup_missing,
        overflow=played.latencies.overflow,
        rate=round(played.decided_while_sending / seconds, 1),
        latency_ms=played.latencies.summary(),
        send_lag_ms=played.send_lag.summary(),
        outcomes=played.outcomes,
        worker=played.worker.result(),
    )
