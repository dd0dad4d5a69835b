"""A thread that reads a topic as it is committed, for whoever times what is answered there."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import Final

from confluent_kafka import Message

from loadtest import clients
from topics.cluster import Cluster

_BATCH: Final = 500


class Watch(ABC):
    """Reads from where the topic ended when the watch began. What ends the thread is raised by `raise_failure`."""

    def __init__(self, cluster: Cluster, topic: str, settle_seconds: float, name: str) -> None:
        """`settle_seconds`: how long `begin` gives the consumer; `name` is the thread's."""
        self._cluster = cluster
        self._topic = topic
        self._settle_seconds = settle_seconds
        self._start_ns = 0
        self._waiting: dict[str, int] = {}
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._consumer = clients.low_latency_reader(cluster)
        self._thread = threading.Thread(target=self._read_until_stopped, name=name, daemon=True)

    def begin(self) -> None:
        """Find the end of the topic and start reading there; returns once the consumer has settled."""
        partitions = clients.partitions_of(self._consumer, self._topic, self._cluster)
        clients.assign_from(self._consumer, self._topic, clients.end_offsets(self._consumer, self._topic, partitions))
        self._thread.start()
        time.sleep(self._settle_seconds)

    def start_at(self, start_ns: int) -> None:
        """The schedule starts at this `time.monotonic_ns()`."""
        self._start_ns = start_ns

    def expect(self, reference: str, k: int) -> None:
        """Request `k` is about to be sent."""
        self._waiting[reference] = k

    @property
    def outstanding(self) -> int:
        """Requests awaited, warm-up included."""
        return len(self._waiting)

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

    @abstractmethod
    def _see(self, record: Message, value: bytes, seen_ns: int) -> None:
        """A committed record, seen `seen_ns` after the start; called on the thread."""

    def _read_until_stopped(self) -> None:
        try:
            while not self._stopping.is_set():
                batch = clients.arrived(self._consumer, _BATCH, 0.05)
                seen_ns = time.monotonic_ns() - self._start_ns
                for record in batch:
                    self._see(record, clients.value_of(record), seen_ns)
        except Exception as error:  # handed to the thread that can act on it
            self._failure = error
