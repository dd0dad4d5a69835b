"""Read off the system while a load lasts: consumer lag, CPU and memory of worker and generators, dead letters."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import orjson
from confluent_kafka import KafkaException, TopicPartition

from loadtest import clients
from loadtest.usage import Probe, Usage
from topics.cluster import Cluster
from topics.declarations import ACCOUNT_EVENTS, AUTHORIZATIONS, CLEARINGS, CLOCK, DEAD_LETTERS, PAYMENTS

_LOADED: Final = (AUTHORIZATIONS, CLEARINGS, PAYMENTS, ACCOUNT_EVENTS)
"""Input topics that a load fills; the clock is the workers' own."""

_REQUEST_SECONDS: Final = 5.0
_SETTLED_SECONDS: Final = 3.0
_LETTERS: Final = 10_000
_MARKERS: Final = 64


class NotIdle(Exception):
    """The engine still works on what came before; the message says how much."""


class LagReader:
    """How many records of its input the consumer group of the workers has not committed yet."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        # A consumer that never joins: it only asks. It is closed by hand: with an AdminClient here, which has no close,
        # the process crashed in two of four runs of the tests (confluent-kafka 2.16.1).
        self._client = clients.reader(cluster, **{"group.id": group, "isolation.level": "read_uncommitted"})
        there = clients.reach(self._client, cluster)
        inputs = (*_LOADED, CLOCK)
        everything = {topic.name: range(there.get(topic.name, 0)) for topic in inputs}
        self._inputs = [TopicPartition(name, number) for name, numbers in everything.items() for number in numbers]
        self._loaded = [each for each in self._inputs if each.topic != CLOCK.name]

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    def read(self) -> int | None:
        """Records behind the ends of all input partitions; None when the group is unknown or a broker is silent.

        A partition for which nothing is committed yet counts from its beginning.
        """
        try:
            committed = self._committed()
            if not committed:
                return None  # the clock's topic is never empty: no such group
            return sum(self._behind(partition, committed) for partition in self._loaded)
        except KafkaException:
            return None

    def _committed(self) -> dict[tuple[str, int], int]:
        found = self._client.committed(self._inputs, timeout=_REQUEST_SECONDS)
        return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    def _behind(self, partition: TopicPartition, committed: dict[tuple[str, int], int]) -> int:
        first, end = self._client.get_watermark_offsets(partition, timeout=_REQUEST_SECONDS)
        return max(0, end - committed.get((partition.topic, partition.partition), first))


def wait_until_idle(lag: LagReader, seconds: float) -> None:
    """Until the workers have caught up, so that a run does not wait behind another one's backlog. Raises NotIdle.

    A few records that stay are transaction markers, which nobody commits.
    """
    deadline = time.monotonic() + seconds
    behind, since = lag.read(), time.monotonic()
    while behind:
        now = time.monotonic()
        if behind <= _MARKERS and now - since > _SETTLED_SECONDS:
            return
        if now > deadline:
            raise NotIdle(f"the engine is still {behind:,} records behind after {seconds:.0f} s: is a worker running?")
        time.sleep(0.2)
        before, behind = behind, lag.read()
        since = since if behind == before else time.monotonic()


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything at one moment; what could not be read is None."""

    at_ns: int  # time.monotonic_ns()
    lag: int | None
    worker: Usage | None
    generators: tuple[Usage | None, ...]


class Gauges:
    """Context manager: a thread that takes a reading every `seconds` from the beginning of the block to its end."""

    def __init__(
        self, cluster: Cluster, lag: LagReader, worker_pid: int | None, generator_pids: Sequence[int], seconds: float
    ) -> None:
        self._lag = lag
        self._worker = Probe(worker_pid)
        self._generators = [Probe(pid) for pid in generator_pids]
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read_until_stopped, name="gauges", daemon=True)
        self._letters = clients.reader(cluster)
        topic = DEAD_LETTERS.name
        partitions = clients.partitions_of(self._letters, topic, cluster)
        clients.assign_from(self._letters, topic, clients.end_offsets(self._letters, topic, partitions))
        self.readings: list[Reading] = []
        self.dead_letters: Counter[str] = Counter()  # by reason, whoever sent the record

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._count_letters(1.0)
        self._letters.close()

    @property
    def latest(self) -> Reading | None:
        """The newest reading."""
        return self.readings[-1] if self.readings else None

    def _read_until_stopped(self) -> None:
        due = time.monotonic()
        stop = False
        while not stop:
            self.readings.append(self._read())
            self._count_letters(0)
            due += self._seconds
            stop = self._stopping.wait(max(0.0, due - time.monotonic()))
        self.readings.append(self._read())

    def _read(self) -> Reading:
        generators = tuple(probe.read() for probe in self._generators)
        return Reading(time.monotonic_ns(), self._lag.read(), self._worker.read(), generators)

    def _count_letters(self, seconds: float) -> None:
        """Count what has arrived, and wait up to `seconds` for more."""
        while batch := clients.arrived(self._letters, _LETTERS, seconds):
            for message in batch:
                self.dead_letters[str(orjson.loads(clients.value_of(message) or b"{}").get("reason"))] += 1
