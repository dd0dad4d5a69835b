"""Kafka clients for watching and loading the engine from outside (librdkafka: cheap enough to share two cores).

The engine itself speaks aiokafka; these clients only produce inputs and read what was committed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from topics.cluster import Cluster
from topics.permissions import READER_GROUP, Permission, Resource

REACH_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.1


class Unreachable(Exception):
    """No broker answered; the message names the address."""


class NoSuchTopic(Exception):
    """The cluster has no topic of that name."""


class Refused(Exception):
    """The cluster and we will not have each other: a certificate, a password or a right is wrong."""


def producer(cluster: Cluster) -> Producer:
    """A producer that loses, repeats and reorders nothing, and reports only failed deliveries to callbacks.

    The caller names the partition of every record (`topics.keys.partition_for`): librdkafka's own partitioner
    disagrees with the one the rest of the system uses (cases F9, F10).
    """
    return _producer(cluster, {"enable.idempotence": True})


def load_producer(cluster: Cluster) -> Producer:
    """A producer of load that is timed: it loses nothing, and repeats and reorders nothing while the broker takes
    everything. After a failure there it may, as networks do.

    It is not idempotent, because an idempotent one of librdkafka takes a whole core while a batch with six records or
    more is on its way: 0.2 s of every second at 5,000 records a second, and just when a busy machine keeps the broker
    waiting. A record waits up to 5 ms for others, which is part of the latencies measured: a request holds one
    partition's records alone, and with less wait a thousand records a second would be a thousand requests, more than
    all that the engine asks of the broker.
    """
    return _producer(cluster, {"enable.idempotence": False, "max.in.flight.requests.per.connection": 5})


def _producer(cluster: Cluster, config: dict[str, Any]) -> Producer:
    return Producer(
        {
            **cluster.librdkafka(),
            "acks": "all",
            "linger.ms": 5,
            "delivery.report.only.error": True,
            "message.timeout.ms": 30_000,
            **_QUIET,
            **config,
        }
    )


def reader(cluster: Cluster, **config: Any) -> Consumer:
    """A read-committed consumer outside every group: it is assigned partitions and commits nothing."""
    return Consumer(
        {
            **cluster.librdkafka(),
            "group.id": f"{READER_GROUP}{uuid4()}",  # librdkafka wants one; it is never joined
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            **_QUIET,
            **config,
        }
    )


def low_latency_reader(cluster: Cluster) -> Consumer:
    """A reader that sees a committed record as soon as the broker shows it."""
    return reader(cluster, **{"fetch.wait.max.ms": 5, "fetch.queue.backoff.ms": 1})


def reach(client: Consumer | Producer, cluster: Cluster) -> dict[str, int]:
    """Topic -> number of partitions, as the cluster tells it; raises Unreachable or Refused."""
    if cluster.protocol != "PLAINTEXT":
        _shake_hands(cluster)
    try:
        topics = client.list_topics(timeout=REACH_SECONDS).topics
    except KafkaException as error:
        raise _unreachable(cluster, error) from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _unreachable(cluster: Cluster, error: KafkaException) -> Unreachable:
    return Unreachable(f"no Kafka broker answers at {cluster}: {error.args[0].str()}")


def _shake_hands(cluster: Cluster) -> None:
    """Raise Refused as soon as TLS or a password fails: librdkafka goes on trying, and tells only its callback why.
    Raise Unreachable when nobody answers."""
    cluster.aiokafka()  # names a bad file of certificates better than librdkafka does
    told: list[KafkaError] = []
    config: dict[str, Any] = {**cluster.librdkafka(), **_QUIET, "error_cb": told.append}
    client = AdminClient(config)
    deadline = time.monotonic() + REACH_SECONDS
    while True:
        try:
            client.list_topics(timeout=_PAUSE_SECONDS)
            return
        except KafkaException as error:
            silence = error
        client.poll(0)
        for refusal in told:
            if refusal.code() in _REFUSALS:
                raise Refused(f"Kafka at {cluster} and OTB_KAFKA_*: {refusal.str()}")
        if time.monotonic() > deadline:
            raise _unreachable(cluster, silence) from silence


def require(cluster: Cluster) -> None:
    """Raise Unreachable or Refused unless a broker answers now: other clients would try for ever."""
    client = reader(cluster)
    try:
        reach(client, cluster)
    finally:
        client.close()


def require_permissions(cluster: Cluster, needed: Sequence[Permission]) -> None:
    """Raise Refused naming the first right on a topic or group that our principal lacks, before anything starts.

    Nobody can ask for a right on a transactional id: its producer finds out when it starts.
    """
    admin = AdminClient({**cluster.librdkafka(), **_QUIET})
    wanted = {(each.resource, each.name): each.operations for each in needed}
    options = {"include_authorized_operations": True, "request_timeout": REACH_SECONDS}
    asked: dict[tuple[Resource, str], Any] = {}
    if topics := [name for resource, name in wanted if resource == "topic"]:
        found = admin.describe_topics(TopicCollection(topics), **options)
        asked |= {("topic", name): description for name, description in found.items()}
    if groups := [name for resource, name in wanted if resource == "group"]:
        found = admin.describe_consumer_groups(groups, **options)
        asked |= {("group", name): description for name, description in found.items()}
    who = f"Kafka at {cluster}: {cluster.username or 'the certificate'}"
    for (resource, name), description in asked.items():
        try:
            allowed = {operation.name.lower() for operation in description.result().authorized_operations or ()}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:  # told only to who may describe it
                continue
            raise Refused(f"{who}: {resource} {name}: {error.args[0].str()} (`otb acls` has the rights)") from error
        missing = [operation for operation in wanted[resource, name] if operation not in allowed]
        if missing:
            raise Refused(f"{who} may not {' or '.join(missing)} {resource} {name} (`otb acls` has the rights)")


def partitions_of(client: Consumer | Producer, topic: str, cluster: Cluster) -> int:
    """Number of partitions of `topic`; raises Unreachable or NoSuchTopic."""
    partitions = reach(client, cluster).get(topic)
    if not partitions:
        raise NoSuchTopic(f"there is no topic {topic!r} on {cluster}")
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


_REFUSALS: Final = {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED}
_QUIET: Final = {"log_level": 0}  # librdkafka writes to stderr on its own; failures reach us as exceptions
