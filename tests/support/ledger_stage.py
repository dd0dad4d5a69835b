"""Topics with journal entries, a database, and sinks between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from models.messages import JournalEntry
from sinks.ledger import reports
from sinks.ledger.service import LedgerSink
from tests.ledger_records import journal

PARTITIONS = 2


class Stage:
    """Topics of this test's own, a database, and sinks between them."""

    def __init__(self, kafka: str, dsn: str, prefix: str) -> None:
        self.kafka = kafka
        self.dsn = dsn
        self.prefix = prefix
        self.topic = f"{prefix}journal-entries"
        self.dead_letters = f"{prefix}dead-letters"
        self.registry = CollectorRegistry()
        self.sequences: dict[str, int] = {}

    def sink(self, **changes: Any) -> LedgerSink:
        plain: dict[str, Any] = {
            "bootstrap": self.kafka, "dsn": self.dsn, "group_id": f"{self.prefix}ledger", "topic": self.topic,
            "dead_letter_topic": self.dead_letters, "registry": CollectorRegistry(), "max_batch": 50,
        }  # fmt: skip
        return LedgerSink(**(plain | changes))

    @asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[LedgerSink]:
        sink = self.sink(**changes)
        task = asyncio.create_task(sink.run())
        try:
            yield sink
        finally:
            await sink.stop()
            await task

    def entries(self, count: int) -> list[JournalEntry]:
        """The next entries of ten accounts in turn."""
        made = []
        for i in range(count):
            account_id = f"acct-{i % 10}"
            sequence = self.sequences[account_id] = self.sequences.get(account_id, 0) + 1
            made.append(journal(account_id, sequence, 100 + i, cause=f"ref-{account_id}-{sequence}"))
        return made

    @asynccontextmanager
    async def producer(self, **settings: Any) -> AsyncIterator[Any]:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all", **settings)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def send(self, producer: Any, entries: Sequence[JournalEntry | bytes]) -> None:
        sent = []
        for content in entries:
            key = b"acct-0" if isinstance(content, bytes) else content.account_id.encode()
            value = content if isinstance(content, bytes) else orjson.dumps(content)
            sent.append(await producer.send(self.topic, key=key, value=value, partition=key[-1] % PARTITIONS))
        await asyncio.gather(*sent)

    async def produce(self, entries: Sequence[JournalEntry | bytes]) -> None:
        async with self.producer() as producer:
            await self.send(producer, entries)

    async def ends(self, topic: str) -> dict[int, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, isolation_level="read_committed")
        await consumer.start()
        try:
            ends = await consumer.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)])
            return {tp.partition: end for tp, end in ends.items()}
        finally:
            await consumer.stop()

    async def group_offsets(self) -> dict[int, int]:
        """What the sinks' group has been told."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            told = await admin.list_consumer_group_offsets(f"{self.prefix}ledger")
            return {tp.partition: place.offset for tp, place in told.items() if tp.topic == self.topic}
        finally:
            await admin.close()

    async def read_dead_letters(self) -> list[dict[str, Any]]:
        ends = {p: end for p, end in (await self.ends(self.dead_letters)).items() if end}
        if not ends:
            return []
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([TopicPartition(self.dead_letters, p) for p in ends])
            return [orjson.loads((await consumer.getone()).value) for _ in range(sum(ends.values()))]
        finally:
            await consumer.stop()

    async def caught_up(self) -> None:
        """Waits until the ledger's offsets are the log's ends."""
        ends = await self.ends(self.topic)
        while await self.ask(reports.applied_offsets, self.topic) != ends:  # noqa: ASYNC110  # asks another server
            await asyncio.sleep(0.1)

    async def ask(self, question: Any, *arguments: Any) -> Any:
        """The answer to a report; None while there is no schema or no server."""
        try:
            connection = await asyncpg.connect(self.dsn)
        except (OSError, asyncpg.PostgresError):
            return None
        try:
            return await question(connection, *arguments)
        except asyncpg.UndefinedTableError:
            return None
        finally:
            await connection.close()

    async def check_posted(self) -> None:
        """Every entry made here is in the ledger once, and the books balance."""
        balances = await self.ask(reports.balances_by_account)
        assert {a: b.last_sequence for a, b in balances.items()} == self.sequences
        assert (await self.ask(reports.counts)).entries == sum(self.sequences.values())
        assert await self.ask(reports.sequence_gaps) == []
        assert (await self.ask(reports.trial_balance)).balanced
