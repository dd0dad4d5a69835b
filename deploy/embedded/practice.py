"""Work for a broker whose JVM is learning: what a worker, its generator and its readers make brokers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from topics.cluster import Cluster
from topics.transport.fencing import membership
from topics.transport.transaction import Transactions

_TRANSACTIONS: Final = 600
"""Each over twelve partitions: enough for what is in their path to be compiled well and its profile kept."""
_SOURCE: Final = "practice-in"
_TARGETS: Final = ("practice-rows", "practice-replies", "practice-entries")
_PARTITIONS: Final = range(4)
_GROUP: Final = "practice"
_RECORD: Final = b"about as long as a request" * 12


async def practise(cluster: Cluster) -> None:
    """Raises KafkaError."""
    await _make_topics(cluster)
    async with _clients(cluster) as (producer, member, reader), _transactions(cluster) as transactions:
        reading = asyncio.create_task(_read(reader))
        try:
            for _ in range(_TRANSACTIONS):
                await asyncio.gather(*[producer.send_and_wait(_SOURCE, _RECORD, partition=n) for n in _PARTITIONS])
                records = await member.getmany(timeout_ms=1000)
                if records:
                    await _commit(transactions, member, records)
        finally:
            reading.cancel()


async def _make_topics(cluster: Cluster) -> None:
    admin = AIOKafkaAdminClient(**cluster.aiokafka())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, len(_PARTITIONS), 1) for name in (_SOURCE, *_TARGETS)])
    finally:
        await admin.close()


@asynccontextmanager
async def _clients(cluster: Cluster) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer, AIOKafkaConsumer]]:
    """(producer of the source, its consumer in a group, reader of all else)"""
    committed = {"isolation_level": "read_committed", "auto_offset_reset": "earliest", "fetch_max_wait_ms": 5}
    producer = AIOKafkaProducer(**cluster.aiokafka())
    member = AIOKafkaConsumer(_SOURCE, **cluster.aiokafka(), **committed, group_id=_GROUP, enable_auto_commit=False)
    reader = AIOKafkaConsumer(*_TARGETS, **cluster.aiokafka(), **committed)
    clients = (producer, member, reader)
    await asyncio.gather(*(client.start() for client in clients))
    try:
        yield clients
    finally:
        await asyncio.gather(*(client.stop() for client in clients))


@asynccontextmanager
async def _transactions(cluster: Cluster) -> AsyncIterator[Transactions]:
    transactions = Transactions(cluster, f"{_GROUP}-worker", _GROUP, 60_000)
    await transactions.start()
    try:
        yield transactions
    finally:
        await transactions.stop()


async def _read(reader: AIOKafkaConsumer) -> None:
    while True:
        await reader.getmany(timeout_ms=1000)


async def _commit(
    transactions: Transactions,
    member: AIOKafkaConsumer,
    records: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]],
) -> None:
    targets = {
        TopicPartition(topic, tp.partition): [(b"key", record.value or b"") for record in fetched]
        for tp, fetched in records.items()
        for topic in _TARGETS
    }
    offsets = {tp: fetched[-1].offset + 1 for tp, fetched in records.items()}
    await transactions.begin(set(targets), offsets, membership(member))
    await transactions.write(transactions.pack(targets))
    await transactions.commit()
