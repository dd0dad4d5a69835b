"""Watches `authorization-decisions` and times the first committed answer to every request."""

from __future__ import annotations

from collections import Counter
from typing import Final, Protocol

import orjson
from confluent_kafka import Message

from loadtest.latency import Latencies, Samples
from loadtest.result import SHED
from loadtest.schedule import Timetable
from loadtest.watch import Watch
from topics.cluster import Cluster
from topics.declarations import AUTHORIZATION_DECISIONS

_SETTLE_SECONDS: Final = 1.0


class OnDecided(Protocol):
    """Called with the number of a request, the nanoseconds from the start at which its first decision was seen, and
    whether it was shed."""

    def __call__(self, k: int, seen_ns: int, *, shed: bool) -> None: ...


class DecisionWatch(Watch):
    """Times the first decision of every request.

    `expect` is called by the sender before a request leaves; a decision takes the request out again, so memory follows
    what is in flight, and a second decision of the same request finds nothing to time. Nor does the decision of an
    increment, which has a reference of its own. `on_decided` is told of every request, warm-up included, on the thread;
    records whose key does not start with `keys` are not looked at.
    """

    def __init__(self, cluster: Cluster, schedule: Timetable, on_decided: OnDecided, keys: bytes = b"") -> None:
        super().__init__(cluster, AUTHORIZATION_DECISIONS.name, _SETTLE_SECONDS, "decision-watch")
        self._schedule = schedule
        self._on_decided = on_decided
        self._keys = keys
        self._samples = Samples()
        self.outcomes: Counter[str] = Counter()
        self.decided_while_sending = 0  # without those of shed requests

    def forget(self, reference: str) -> int | None:
        """The request could not be sent after all; returns its number, None when it is not awaited."""
        return self._waiting.pop(reference, None)

    @property
    def latencies(self) -> Latencies:
        """Of the measured requests decided so far; counted anew each time."""
        return self._samples.histogram()

    def outstanding_by_phase(self) -> tuple[int, int]:
        """Requests sent and not decided: (of the warm-up, of the measured period)."""
        measured = sum(k >= self._schedule.warmup for k in list(self._waiting.values()))
        return len(self._waiting) - measured, measured

    def _see(self, record: Message, value: bytes, seen_ns: int) -> None:
        if (record.key() or b"").startswith(self._keys):
            self.take(value, seen_ns)

    def take(self, value: bytes, seen_ns: int) -> None:
        """A record of the topic that was seen `seen_ns` after the start."""
        decision = orjson.loads(value)
        if decision["type"] != "authorization-decision":
            return
        k = self._waiting.pop(decision["network_reference"], None)
        if k is None:
            return
        outcome = outcome_name(decision)
        shed = outcome == SHED
        if not shed and self._schedule.measured_from_ns <= seen_ns < self._schedule.length_ns:
            self.decided_while_sending += 1
        if k >= self._schedule.warmup:
            self._samples.append((seen_ns - self._schedule.due_ns(k)) // 1000)
            self.outcomes[outcome] += 1
        self._on_decided(k, seen_ns, shed=shed)


def outcome_name(decision: dict[str, object]) -> str:
    """`approved`, `partially-approved`, or `declined:` and the reason."""
    outcome, reason = str(decision["outcome"]), decision["reason"]
    return outcome if reason is None else f"{outcome}:{reason}"
