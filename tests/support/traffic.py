"""Sends messages to a broker and reads topics back from end to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from models.messages import Inbound
from topics import codec
from topics.codec import TOPIC_OF_TYPE
from topics.declarations import CLOCK, INPUTS
from topics.keys import partition_for

PARTITIONS = 4
SENT = [spec.name for spec in INPUTS if spec is not CLOCK]
"""Topics to which workers send nothing themselves."""


def producer(bootstrap: str) -> Producer:
    return Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all", "enable.idempotence": True})


class Failed(AssertionError):
    """A record was not delivered."""


def send(sender: Producer, messages: Iterable[Inbound]) -> int:
    """Produce messages to the topics of their types, in order; returns how many."""
    failed: list[Any] = []

    def delivered(error: Any, _record: Any) -> None:
        if error is not None:
            failed.append(error)

    count = 0
    for message in messages:
        key = message.account_id.encode()  # type: ignore[union-attr]
        sender.produce(
            TOPIC_OF_TYPE[message.type],
            codec.encode(message),
            key,
            partition_for(key, PARTITIONS),
            on_delivery=delivered,
        )
        sender.poll(0)
        count += 1
    sender.flush(60)
    if failed:
        raise Failed(str(failed[0]))
    return count


class Load(threading.Thread):
    """Sends `messages` at `rate` a second in the background; `join` raises what went wrong."""

    def __init__(self, bootstrap: str, messages: Sequence[Inbound], rate: int) -> None:
        super().__init__(daemon=True)
        self._kafka, self._messages, self._rate = bootstrap, messages, rate
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            sender, start, sent = producer(self._kafka), time.monotonic(), 0
            while sent < len(self._messages):
                due = min(len(self._messages), int((time.monotonic() - start) * self._rate) + 1)
                sent += send(sender, self._messages[sent:due])
                time.sleep(0.01)
        except BaseException as error:
            self._error = error

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        if self._error is not None:
            raise self._error
        assert not self.is_alive(), "the load did not end in time"


def read(bootstrap: str, topic: str, deadline_s: float = 60) -> list[list[Any]]:
    """Every committed record of a topic, by partition, in offset order; waits until no transaction on it is open."""
    return wait_for(bootstrap, topic, 0, deadline_s)


def wait_for(bootstrap: str, topic: str, count: int, deadline_s: float = 90) -> list[list[Any]]:
    """`read`, once there are `count` records."""
    deadline = time.monotonic() + deadline_s
    with _reader(bootstrap) as reader:
        found: list[list[Any]] = [[] for _ in reader.list_topics(topic, 10).topics[topic].partitions]
        assert found, f"there is no topic {topic}"
        reader.assign([TopicPartition(topic, partition, 0) for partition in range(len(found))])
        while True:
            for record in _to_the_end(reader, topic, deadline):
                found[record.partition()].append(record)
            total = sum(map(len, found))
            if total >= count:
                return found
            assert time.monotonic() < deadline, f"{topic}: {total} of {count} records after {deadline_s} s"
            time.sleep(0.1)


def wait_committed(bootstrap: str, app_id: str = "opentobuy", deadline_s: float = 60) -> None:
    """Until the workers have committed all that was sent: decisions are there sooner than what follows from them."""
    deadline = time.monotonic() + deadline_s
    group = Consumer({"bootstrap.servers": bootstrap, "group.id": app_id, "enable.auto.commit": False})
    try:
        topics = group.list_topics(timeout=10).topics
        partitions = [TopicPartition(topic, p) for topic in SENT if topic in topics for p in topics[topic].partitions]
        ends = [group.get_watermark_offsets(tp, 10)[1] for tp in partitions]
        while True:
            offsets = [max(0, tp.offset) for tp in group.committed(partitions, 10)]
            if offsets == ends:
                return
            assert time.monotonic() < deadline, f"committed: {offsets}, sent: {ends}"
            time.sleep(0.02)
    finally:
        group.close()


def read_partition(bootstrap: str, topic: str, partition: int, deadline_s: float = 120) -> Iterator[Any]:
    """What `read` gives of one partition, one by one: a long topic need not be in memory whole."""
    with _reader(bootstrap) as reader:
        reader.assign([TopicPartition(topic, partition, 0)])
        yield from _to_the_end(reader, topic, time.monotonic() + deadline_s)


@contextmanager
def _reader(bootstrap: str) -> Iterator[Consumer]:
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap, "group.id": "test-reader", "isolation.level": "read_committed",
            "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,  # a broker that waits for records answers nothing else on that connection
        }
    )  # fmt: skip
    try:
        yield reader
    finally:
        reader.close()


def _to_the_end(reader: Consumer, topic: str, deadline: float) -> Iterator[Any]:
    """On from where it is, until every position is past what the end was at first; raises AssertionError when that
    takes too long."""
    partitions = [at.partition for at in reader.assignment()]
    ends = {p: reader.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in partitions}
    while any(max(0, at.offset) < ends[at.partition] for at in reader.position(reader.assignment())):
        assert time.monotonic() < deadline, f"{topic} could not be read to its end {ends}"
        for record in reader.consume(5000, 0.05):
            if record.error() is None:
                yield record


def bodies(partitions: list[list[Any]]) -> list[dict[str, Any]]:
    """The contents of what `read` or `wait_for` found."""
    return [orjson.loads(record.value()) for partition in partitions for record in partition]
