"""Sees every decision the moment it may be read, and knows when each partition decided again.

A decision carries the time at which its worker made the record. Whoever was killed or stopped before that time cannot
have made it, so the first decision made after a fault is a recovered worker's.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from tests.support.traffic import PARTITIONS
from topics.declarations import AUTHORIZATION_DECISIONS

POLL_S: Final = 0.02
MOST: Final = 500


class Watch(threading.Thread):
    """Reads the decisions' topic, committed records only, from now on. `close` ends it."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True, name="watch")
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap, "group.id": "campaign-watch", "isolation.level": "read_committed",
                "enable.auto.commit": False, "auto.offset.reset": "latest", "fetch.wait.max.ms": 20,
                "reconnect.backoff.max.ms": 200, "log_level": 0,
            }
        )  # fmt: skip
        self._consumer.assign([TopicPartition(AUTHORIZATION_DECISIONS.name, p) for p in range(PARTITIONS)])
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._seen: list[list[tuple[int, float]]] = [[] for _ in range(PARTITIONS)]  # (made, seen)

    def run(self) -> None:
        while not self._closing.is_set():
            records = self._consumer.consume(MOST, POLL_S)
            now = time.time()
            with self._lock:
                for record in records:
                    self._note(record, now)

    def close(self) -> None:
        self._closing.set()
        self.join(10)
        self._consumer.close()

    def forget(self) -> None:
        """Everything seen so far: call before a fault, so that little has to be kept."""
        with self._lock:
            self._seen = [[] for _ in range(PARTITIONS)]

    def decided_again(self, since: float) -> float | None:
        """When every partition had been seen to decide something made after `since` (seconds since the epoch, as the
        result); None: not yet."""
        with self._lock:
            first = [next((seen for made, seen in each if made > since * 1000), None) for each in self._seen]
        known = [seen for seen in first if seen is not None]
        return max(known) if len(known) == PARTITIONS else None

    def decided(self, since: float, until: float) -> int:
        """How many of the decisions seen were made between two times, in seconds since the epoch."""
        with self._lock:
            return sum(since * 1000 < made <= until * 1000 for each in self._seen for made, _seen in each)

    def _note(self, record: Any, now: float) -> None:
        if record.error() is None:
            self._seen[record.partition()].append((record.timestamp()[1], now))
