"""Kafka clients for watching and loading the engine from outside (librdkafka: cheap enough to share two cores).

The engine itself speaks aiokafka; these clients only produce inputs and read what was committed.
"""

from __future__ import annotations

import time
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition

REACH_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.1


class Unreachable(Exception):
    """No broker answered; the message names the address."""


class NoSuchTopic(Exception):
    """The cluster has no topic of that name."""


def producer(bootstrap: str) -> Producer:
    """A producer that loses, repeats and reorders nothing, and reports only failed deliveries to callbacks.

    The caller names the partition of every record (`topics.keys.partition_for`): librdkafka's own partitioner
    disagrees with the one the rest of the system uses (cases F9, F10).
    """
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 1,
            "delivery.report.only.error": True,
            "message.timeout.ms": 30_000,
            **_QUIET,
        }
    )


def reader(bootstrap: str, **config: Any) -> Consumer:
    """A read-committed consumer outside every group: it is assigned partitions and commits nothing."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"otb-reader-{uuid4()}",  # librdkafka wants one; it is never joined
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            **_QUIET,
            **config,
        }
    )


def low_latency_reader(bootstrap: str) -> Consumer:
    """A reader that sees a committed record as soon as the broker shows it."""
    return reader(bootstrap, **{"fetch.wait.max.ms": 5, "fetch.queue.backoff.ms": 1})


def reach(client: Consumer | Producer, bootstrap: str) -> dict[str, int]:
    """Topic -> number of partitions, as the cluster tells it; raises Unreachable."""
    try:
        topics = client.list_topics(timeout=REACH_SECONDS).topics
    except KafkaException as error:
        raise Unreachable(f"no Kafka broker answers at {bootstrap}: {error.args[0].str()}") from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


def require(bootstrap: str) -> None:
    """Raise Unreachable unless a broker answers now: other clients would try for ever."""
    client = reader(bootstrap)
    try:
        reach(client, bootstrap)
    finally:
        client.close()


def partitions_of(client: Consumer | Producer, topic: str, bootstrap: str) -> int:
    """Number of partitions of `topic`; raises Unreachable or NoSuchTopic."""
    partitions = reach(client, bootstrap).get(topic)
    if not partitions:
        raise NoSuchTopic(f"there is no topic {topic!r} on {bootstrap}")
    return partitions


def end_offsets(client: Consumer, topic: str, partitions: int) -> dict[int, int]:
    """Partition -> offset up to which records are committed (the last stable offset)."""
    return {partition: _watermarks(client, topic, partition)[1] for partition in range(partitions)}


def first_offsets(client: Consumer, topic: str, partitions: int) -> dict[int, int]:
    """Partition -> offset of the oldest record that the broker still has."""
    return {partition: _watermarks(client, topic, partition)[0] for partition in range(partitions)}


def _watermarks(client: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Raises Unreachable. A partition may have no leader yet just after its topic was created."""
    deadline = time.monotonic() + REACH_SECONDS
    while True:
        try:
            low, high = client.get_watermark_offsets(TopicPartition(topic, partition), timeout=REACH_SECONDS)
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise Unreachable(f"partition {partition} of {topic} does not answer: {error.args[0].str()}") from error
            time.sleep(_PAUSE_SECONDS)
        else:
            return low, high


def assign_from(client: Consumer, topic: str, offsets: dict[int, int]) -> None:
    """Start reading each partition at its offset."""
    client.assign(positions(topic, offsets))


def positions(topic: str, offsets: dict[int, int]) -> list[TopicPartition]:
    """The offsets of one topic's partitions as librdkafka wants them."""
    return [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]


def from_beginning(partitions: int) -> dict[int, int]:
    """Offsets for `assign_from`: everything the broker still has."""
    return dict.fromkeys(range(partitions), OFFSET_BEGINNING)


def arrived(client: Consumer, most: int, seconds: float) -> list[Message]:
    """What has arrived, `most` at most; waits up to `seconds` for the first record and for no other.

    `Consumer.consume` alone would sit out its whole timeout unless it can fill the batch.
    """
    first = client.poll(seconds)
    return [] if first is None else [first, *client.consume(most - 1, 0)]


def value_of(message: Message) -> bytes:
    """The value of a consumed record (empty for a tombstone); raises Unreachable for a consumer error."""
    if error := message.error():
        raise Unreachable(f"reading {message.topic() or 'Kafka'} failed: {error.str()}")
    return message.value() or b""


_QUIET: Final = {"log_level": 0}  # librdkafka writes to stderr on its own; failures reach us as exceptions
