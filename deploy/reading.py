"""Reads what is committed on a topic, from outside the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import KafkaError, Message

from agents.settings import Settings
from loadtest import clients
from models.account import Account
from tables import rows
from tables.source_offsets import is_account
from topics.admin import changelog
from topics.cluster import Cluster
from topics.keys import partition_for

_BATCH: Final = 1000
_STALL_SECONDS: Final = 30.0


def committed(cluster: Cluster, topic: str, offsets: dict[int, int] | None = None) -> Iterator[Message]:
    """Every committed record from `offsets` (partition -> offset; default: the beginning) to the end of each partition.

    Raises Unreachable (also when the broker falls silent), or NoSuchTopic.
    """
    client = clients.reader(cluster, **{"enable.partition.eof": True})
    try:
        if offsets is None:
            offsets = clients.from_beginning(clients.partitions_of(client, topic, cluster))
        clients.assign_from(client, topic, offsets)
        unfinished = set(offsets)
        last_news = time.monotonic()
        while unfinished:
            batch = clients.arrived(client, _BATCH, 0.2)
            if batch:
                last_news = time.monotonic()
            elif time.monotonic() - last_news > _STALL_SECONDS:
                raise clients.Unreachable(f"Kafka at {cluster} fell silent while {topic} was read")
            for message in batch:
                error = message.error()
                if error and error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition() or 0)
                    continue
                clients.value_of(message)  # raises for any other error
                yield message
    finally:
        client.close()


def has_committed(cluster: Cluster, topic: str, offsets: dict[int, int]) -> bool:
    """Whether any record is committed at or after `offsets`; transaction markers are no records."""
    return next(committed(cluster, topic, offsets), None) is not None


def account_row(cluster: Cluster, settings: Settings, account_id: str) -> Account | None:
    """The account as the engine last committed it, None when there is no such account; raises UnreadableRow."""
    topic = changelog(settings.app_id).name
    key = account_id.encode()
    partition = partition_for(key, _partitions(cluster, topic))
    latest = None
    for message in committed(cluster, topic, {partition: clients.from_beginning(1)[0]}):
        if message.key() == key:
            latest = message.value()
    return None if latest is None else rows.account(account_id, latest)


def account_rows(cluster: Cluster, settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Every account's id and row as last committed: a linear read of the changelog, the latest row of each key. What
    is no UTF-8 in a key is escaped."""
    latest: dict[bytes, bytes | None] = {}
    for message in committed(cluster, changelog(settings.app_id).name):
        if is_account(message.key()):
            latest[message.key() or b""] = message.value()
    return ((key.decode(errors="backslashreplace"), row) for key, row in latest.items() if row is not None)


def _partitions(cluster: Cluster, topic: str) -> int:
    client = clients.reader(cluster)
    try:
        return clients.partitions_of(client, topic, cluster)
    finally:
        client.close()
