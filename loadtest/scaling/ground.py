"""What a part of a run finds on the broker: rows in the changelog of its group, and no input that is not its own.

Input topics are the same for every part, since their names are fixed. A group's rows and offsets are its own: while one
group's workers are measured, no other group has any.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from loadtest import clients
from loadtest.scaling.errors import ScalingError
from loadtest.spool import Record
from topics.admin import changelog, ensure_topics
from topics.cluster import Cluster
from topics.declarations import AUTHORIZATIONS, INPUTS
from topics.keys import partition_for

ROWS_A_TRANSACTION: Final = 5000
_TRANSACTION_S: Final = 60.0
_LONGEST_TRANSACTION_MS: Final = 900_000
"""As long as brokers allow (transaction.max.timeout.ms): a backlog may be long."""
_PAUSE_S: Final = 0.2
_QUIET: Final = {"log_level": 0}


def make_topics(cluster: Cluster, group: str, partitions: int) -> None:
    """What the group's workers need, where it is missing."""
    asyncio.run(ensure_topics(cluster, group, partitions, replication=1))


def write_rows(
    cluster: Cluster,
    group: str,
    partitions: int,
    rows: Iterable[tuple[bytes, bytes]],
    on_progress: Callable[[int], None] = lambda _rows: None,
) -> int:
    """Write rows to the group's changelog, in transactions as its workers do, and return how many bytes they have."""
    topic = changelog(group).name
    sender = _transactional(cluster, f"{group}-rows")
    sender.begin_transaction()
    size = number = 0
    for number, (key, row) in enumerate(rows, 1):
        _produce(sender, topic, row, key, partition_for(key, partitions))
        size += len(row)
        if number % ROWS_A_TRANSACTION == 0:
            sender.commit_transaction(_TRANSACTION_S)
            on_progress(number)
            sender.begin_transaction()
    sender.commit_transaction(_TRANSACTION_S)
    on_progress(number)
    return size


def send_backlog(cluster: Cluster, group: str, partitions: int, records: Iterable[Record]) -> dict[int, int]:
    """Send requests to the authorizations topic, and return each partition's offset behind its last one. Readers see
    all of them at once, in the moment in which this returns: they are one transaction. Raises ScalingError."""
    sender = _transactional(cluster, f"{group}-backlog")
    sender.begin_transaction()
    for record in records:
        _produce(sender, record.topic, record.value, record.key, record.partition)
    if sender.flush(_TRANSACTION_S):
        raise ScalingError(f"the broker did not take the backlog within {_TRANSACTION_S:.0f} s")
    with closing(clients.reader(cluster, **{"isolation.level": "read_uncommitted"})) as reader:
        ends = clients.end_offsets(reader, AUTHORIZATIONS.name, partitions)
    sender.commit_transaction(_TRANSACTION_S)
    return ends


def _transactional(cluster: Cluster, transactional_id: str) -> Producer:
    sender = Producer(
        {
            **cluster.librdkafka(),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": _LONGEST_TRANSACTION_MS,
            "linger.ms": 5,
            **_QUIET,
        }
    )
    sender.init_transactions(_TRANSACTION_S)
    return sender


def _produce(sender: Producer, topic: str, value: bytes, key: bytes, partition: int) -> None:
    """Into the producer's queue, as soon as it has room."""
    while True:
        try:
            sender.produce(topic, value, key, partition)
        except BufferError:
            sender.poll(0.1)
        else:
            sender.poll(0)
            return


def skip_input(cluster: Cluster, group: str, partitions: int, patience: float) -> None:
    """Let the group begin behind everything that the input topics hold. It must have no members; those that have just
    ended count until their session is over. Raises ScalingError after `patience` seconds."""
    reader = clients.reader(cluster)
    try:
        ends = [
            position
            for topic in INPUTS
            for position in clients.positions(topic.name, clients.end_offsets(reader, topic.name, partitions))
        ]
    finally:
        reader.close()
    admin = AdminClient({**cluster.librdkafka(), **_QUIET})
    deadline = time.monotonic() + patience
    while True:
        try:
            (asked,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, ends)]).values()
            asked.result()
            return
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise ScalingError(f"group {group} keeps its offsets: {error.args[0].str()}") from error
            time.sleep(_PAUSE_S)


class Committed:
    """How far a group has come on one topic, as its committed offsets say; asked without joining it.

    As they are when they are asked for: stable ones would be told when no transaction may move them, and workers that
    have a backlog begin the next one when the last is done.
    """

    def __init__(self, cluster: Cluster, group: str, topic: str, partitions: int) -> None:
        self._client = clients.reader(cluster, **{"group.id": group, "isolation.level": "read_uncommitted"})
        self._asked = [TopicPartition(topic, partition) for partition in range(partitions)]

    def read(self) -> dict[int, int]:
        """Partition -> offset of the next record to decide. Raises Unreachable."""
        try:
            found = self._client.committed(self._asked, timeout=clients.REACH_SECONDS)
        except KafkaException as error:
            raise clients.Unreachable(f"the group's offsets cannot be read: {error.args[0].str()}") from error
        return {each.partition: each.offset for each in found}

    def close(self) -> None:
        self._client.close()


def owners(cluster: Cluster, group: str, topic: str) -> dict[str, set[int]]:
    """Worker -> partitions of `topic` that are its, as the group's coordinator knows it."""
    client = AdminClient({**cluster.librdkafka(), **_QUIET})
    members = client.describe_consumer_groups([group])[group].result(clients.REACH_SECONDS).members
    return {
        str(member.group_instance_id): {
            each.partition for each in member.assignment.topic_partitions if each.topic == topic
        }
        for member in members
        if member.assignment is not None
    }
