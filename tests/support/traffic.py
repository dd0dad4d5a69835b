"""Sends messages to a broker and reads topics back from end to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from models.messages import Inbound
from topics import codec
from topics.codec import TOPIC_OF_TYPE
from topics.keys import partition_for

PARTITIONS = 4


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
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap, "group.id": "test-reader", "isolation.level": "read_committed",
            "auto.offset.reset": "earliest", "enable.auto.commit": False,
        }
    )  # fmt: skip
    number = len(reader.list_topics(topic, 10).topics[topic].partitions)
    ends = [reader.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in range(number)]
    reader.assign([TopicPartition(topic, p, 0) for p in range(number)])
    found: list[list[Any]] = [[] for _ in range(number)]
    deadline = time.monotonic() + deadline_s
    while any(position.offset < ends[position.partition] for position in _positions(reader, topic, number)):
        assert time.monotonic() < deadline, f"{topic} could not be read to its end {ends}"
        for record in reader.consume(5000, 0.2):
            if record.error() is None:
                found[record.partition()].append(record)
    reader.close()
    return found


def _positions(reader: Consumer, topic: str, number: int) -> list[TopicPartition]:
    positions = reader.position([TopicPartition(topic, p) for p in range(number)])
    return [TopicPartition(tp.topic, tp.partition, max(tp.offset, 0)) for tp in positions]


def bodies(partitions: list[list[Any]]) -> list[dict[str, Any]]:
    """The contents of what `read` or `wait_for` found."""
    return [orjson.loads(record.value()) for partition in partitions for record in partition]


def wait_for(bootstrap: str, topic: str, count: int, deadline_s: float = 90) -> list[list[Any]]:
    """`read`, again and again until there are `count` records."""
    deadline = time.monotonic() + deadline_s
    while True:
        found = read(bootstrap, topic)
        total = sum(map(len, found))
        if total >= count:
            return found
        assert time.monotonic() < deadline, f"{topic}: {total} of {count} records after {deadline_s} s"
        time.sleep(0.5)
