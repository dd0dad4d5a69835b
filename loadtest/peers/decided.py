"""Reads one topic of a stage: to its end, or until enough decisions are there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from confluent_kafka import KafkaError, Message

from loadtest import clients
from loadtest.peers.errors import PeerFailed
from loadtest.peers.process import PeerProcess
from topics.cluster import Cluster

_BATCH: Final = 2000
_WAIT_S: Final = 0.05


class DecidedCounter:
    """Counts committed decisions from the first one on, by the millisecond in which the broker appended them."""

    def __init__(self, cluster: Cluster, topic: str, partitions: int) -> None:
        self._consumer = clients.reader(cluster)
        clients.assign_from(self._consumer, topic, clients.from_beginning(partitions))
        self.appended: Counter[int] = Counter()  # Unix time in milliseconds -> decisions
        self.count = 0

    def read_until(self, count: int, seconds: float, process: PeerProcess) -> bool:
        """Read until there are `count` decisions in all; False after `seconds`. Raises PeerFailed when it ends."""
        deadline = time.monotonic() + seconds
        while self.count < count:
            batch = clients.arrived(self._consumer, _BATCH, _WAIT_S)
            if not batch:
                process.check()
            if time.monotonic() > deadline:
                return False
            for message in batch:
                clients.value_of(message)  # raises for a consumer error
                self.appended[message.timestamp()[1]] += 1
            self.count += len(batch)
        return True

    def between(self, start_ms: int, end_ms: int) -> int:
        """Decisions appended from `start_ms` up to but not including `end_ms`."""
        return sum(count for at, count in self.appended.items() if start_ms <= at < end_ms)

    def close(self) -> None:
        self._consumer.close()


def whole_topic(cluster: Cluster, topic: str, partitions: int, seconds: float) -> Iterator[Message]:
    """Every committed record of a topic, each partition in order; raises PeerFailed if that takes over `seconds`."""
    consumer = clients.reader(cluster, **{"enable.partition.eof": True})
    try:
        clients.assign_from(consumer, topic, clients.from_beginning(partitions))
        deadline = time.monotonic() + seconds
        ended: set[int | None] = set()
        while len(ended) < partitions:
            if time.monotonic() > deadline:
                raise PeerFailed(f"{topic} could not be read to its end within {seconds:.0f} s")
            for message in clients.arrived(consumer, _BATCH, _WAIT_S):
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    yield message
    finally:
        consumer.close()
