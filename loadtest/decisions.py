"""Watches `authorization-decisions` and times the first committed answer to every request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import orjson

from loadtest import clients
from loadtest.latency import Latencies, Samples
from loadtest.schedule import Timetable
from topics.declarations import AUTHORIZATION_DECISIONS

_BATCH: Final = 500
_SETTLE_SECONDS: Final = 1.0


Decided = Callable[[int, int], None]
"""Called with (number of a request, nanoseconds from the start at which its first decision was seen)."""


class DecisionWatch:
    """A thread that reads decisions from where the topic ended when the watch began.

    `expect` is called by the sender before a request leaves; a decision takes the request out again, so memory follows
    what is in flight, and a second decision of the same request finds nothing to time. Nor does the decision of an
    increment, which has a reference of its own. `on_decided` is told of every request, warm-up included, on the thread;
    records whose key does not start with `keys` are not looked at.
    """

    def __init__(
        self, bootstrap: str, schedule: Timetable, on_decided: Decided = lambda _k, _seen_ns: None, keys: bytes = b""
    ) -> None:
        self._schedule = schedule
        self._bootstrap = bootstrap
        self._on_decided = on_decided
        self._keys = keys
        self._samples = Samples()
        self._waiting: dict[str, int] = {}
        self._start_ns = 0
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._consumer = clients.low_latency_reader(bootstrap)
        self._thread = threading.Thread(target=self._read_until_stopped, name="decision-watch", daemon=True)
        self.outcomes: Counter[str] = Counter()
        self.decided_while_sending = 0

    def begin(self) -> None:
        """Find the end of the topic and start reading there; returns once the consumer has settled."""
        topic = AUTHORIZATION_DECISIONS.name
        partitions = clients.partitions_of(self._consumer, topic, self._bootstrap)
        clients.assign_from(self._consumer, topic, clients.end_offsets(self._consumer, topic, partitions))
        self._thread.start()
        time.sleep(_SETTLE_SECONDS)

    def start_at(self, start_ns: int) -> None:
        """The schedule starts at this `time.monotonic_ns()`."""
        self._start_ns = start_ns

    def expect(self, reference: str, k: int) -> None:
        """Request `k` is about to be sent."""
        self._waiting[reference] = k

    def forget(self, reference: str) -> int | None:
        """The request could not be sent after all; returns its number, None when it is not awaited."""
        return self._waiting.pop(reference, None)

    @property
    def outstanding(self) -> int:
        """Requests sent and not yet decided."""
        return len(self._waiting)

    @property
    def latencies(self) -> Latencies:
        """Of the measured requests decided so far; counted anew each time."""
        return self._samples.histogram()

    def outstanding_by_phase(self) -> tuple[int, int]:
        """Requests sent and not decided: (of the warm-up, of the measured period)."""
        measured = sum(k >= self._schedule.warmup for k in list(self._waiting.values()))
        return len(self._waiting) - measured, measured

    def raise_failure(self) -> None:
        """Raise here what ended the thread there."""
        if self._failure:
            raise self._failure

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
                seen_ns = time.monotonic_ns() - self._start_ns
                for message in batch:
                    value = clients.value_of(message)
                    if (message.key() or b"").startswith(self._keys):
                        self.take(value, seen_ns)
        except Exception as error:  # handed to the thread that can act on it
            self._failure = error

    def take(self, value: bytes, seen_ns: int) -> None:
        """A record of the topic that was seen `seen_ns` after the start."""
        decision = orjson.loads(value)
        if decision["type"] != "authorization-decision":
            return
        k = self._waiting.pop(decision["network_reference"], None)
        if k is None:
            return
        if self._schedule.measured_from_ns <= seen_ns < self._schedule.length_ns:
            self.decided_while_sending += 1
        if k >= self._schedule.warmup:
            self._samples.append((seen_ns - self._schedule.due_ns(k)) // 1000)
            self.outcomes[outcome_name(decision)] += 1
        self._on_decided(k, seen_ns)


def outcome_name(decision: dict[str, object]) -> str:
    """`approved`, `partially-approved`, or `declined:` and the reason."""
    outcome, reason = str(decision["outcome"]), decision["reason"]
    return outcome if reason is None else f"{outcome}:{reason}"
