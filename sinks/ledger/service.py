"""The sink as a service: waits for its servers, brings the schema up to date, then reads and writes until stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from types import MappingProxyType
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from sinks.ledger.database import Database
from sinks.ledger.dead_letters import KafkaDeadLetters
from sinks.ledger.errors import StaleOffsets, Unavailable
from sinks.ledger.hint import GroupHint
from sinks.ledger.metrics import LedgerMetrics
from sinks.ledger.migrations import load, migrate
from sinks.ledger.reader import JournalReader
from sinks.ledger.writer import Batch, LedgerWriter, create_staging

log = logging.getLogger(__name__)

POLL_MS: Final = 200
GATHER_MS: Final = 200
GATHER_BYTES: Final = 256 * 1024
"""The broker answers a fetch when there is so much, or it has waited for so long: workers commit a hundred times a
second, and a PostgreSQL transaction for each would cost more than the entries in it."""
PAUSE_S: Final = 0.5


class LedgerSink:
    """Posts the journal topic to PostgreSQL, exactly once. Use: `await sink.run()` in a task, `await sink.stop()`."""

    def __init__(  # noqa: PLR0913
        self,
        *,
        bootstrap: str,
        dsn: str,
        group_id: str,
        registry: CollectorRegistry,
        security: Mapping[str, Any] = MappingProxyType({}),
        max_batch: int = 5000,
        topic: str = "journal-entries",
        dead_letter_topic: str = "dead-letters",
        start_patience_s: float = 30.0,
        patience_s: float = 300.0,
    ) -> None:
        """`security`: aiokafka's arguments for TLS and passwords. `max_batch`: most records in one PostgreSQL
        transaction. `start_patience_s`: how long each server may take to appear; `patience_s`: how long one
        may be away later."""
        self._bootstrap = bootstrap
        self._connect = {"bootstrap_servers": bootstrap, **security}
        self._dsn = dsn
        self._group_id = group_id
        self._max_batch = max_batch
        self._topic = topic
        self._dead_letter_topic = dead_letter_topic
        self._start_patience_s = start_patience_s
        self._patience_s = patience_s
        self.metrics = LedgerMetrics(registry)
        self.ready = asyncio.Event()  # set when the schema is up to date and Kafka answers
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Until `stop()`; raises LedgerError with one line for the operator. May be called once."""
        self._task = asyncio.current_task()
        await self._migrate()
        async with AsyncExitStack() as stack:
            database = Database(
                self._dsn, patience_s=self._patience_s, prepare=create_staging, on_retry=self.metrics.retried
            )
            stack.push_async_callback(database.close)
            consumer = await self._started(self._consumer, stack)
            producer = await self._started(self._producer, stack)
            await self._wait_for_topics(consumer)
            writer = LedgerWriter(database, KafkaDeadLetters(producer, self._dead_letter_topic))
            reader = JournalReader(consumer, self._topic, writer.offsets)
            reader.subscribe()
            self.ready.set()
            hint = GroupHint(consumer)
            stack.callback(hint.close)
            await self._pump(reader, writer, hint)
            await hint.last_word(reader.places())

    async def stop(self, grace_s: float = 15.0) -> None:
        """Finishes the batch in hand; after `grace_s` seconds it is rolled back instead. Nothing is lost either way."""
        self._stopping.set()
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        done, _ = await asyncio.wait({task}, timeout=grace_s)
        if not done:
            task.cancel()
            await asyncio.wait({task})

    async def _migrate(self) -> None:
        database = Database(self._dsn, patience_s=self._start_patience_s)
        try:
            applied = await database.run(lambda connection: migrate(connection, load()))
        finally:
            await database.close()
        for name in applied:
            log.info("applied migration %s", name)

    async def _pump(self, reader: JournalReader, writer: LedgerWriter, hint: GroupHint) -> None:
        """Read, write, and again. Kafka's own failures are sat out for `patience_s`."""
        failing_since: float | None = None
        while not self._stopping.is_set():
            try:
                batch = await reader.poll(self._max_batch, POLL_MS)
                failing_since = None
            except KafkaError as error:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > self._patience_s:
                    raise self._kafka_unavailable(error, self._patience_s) from error
                log.warning("Kafka at %s: %r: trying again", self._bootstrap, error)
                await asyncio.sleep(PAUSE_S)
                continue
            if batch is not None:
                await self._write(batch, reader, writer)
            self.metrics.lag(reader.lag())
            hint.tell(reader.places())

    async def _write(self, batch: Batch, reader: JournalReader, writer: LedgerWriter) -> None:
        begun = time.perf_counter()
        async with reader.busy:
            try:
                outcome = await writer.write(batch)
            except StaleOffsets as error:
                log.info("batch dropped: %s", error)
                self.metrics.batch_dropped()
                reader.rewind()
                return
            except KafkaError as error:
                message = (
                    f"Kafka at {self._bootstrap} did not take a dead letter for {self._dead_letter_topic}: {error!r}"
                )
                raise Unavailable(message) from error
            reader.written(batch)
        self.metrics.batch_committed(len(batch.records), time.perf_counter() - begun, outcome)

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._connect,
            group_id=self._group_id,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_min_bytes=GATHER_BYTES,
            fetch_max_wait_ms=GATHER_MS,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2000,
        )

    def _producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(**self._connect, acks="all", enable_idempotence=True, max_request_size=1_048_576)

    async def _started(self, create: Callable[[], Any], stack: AsyncExitStack) -> Any:
        """A started Kafka client that stops with the stack; raises Unavailable."""
        deadline = time.monotonic() + self._start_patience_s
        while True:
            client = create()
            try:
                await client.start()
            except (KafkaError, OSError) as error:
                with suppress(Exception):
                    await client.stop()
                if time.monotonic() > deadline:
                    raise self._kafka_unavailable(error, self._start_patience_s) from error
                await asyncio.sleep(PAUSE_S)
            else:
                stack.push_async_callback(client.stop)
                return client

    async def _wait_for_topics(self, consumer: AIOKafkaConsumer) -> None:
        deadline = time.monotonic() + self._start_patience_s
        while missing := {self._topic, self._dead_letter_topic} - await consumer.topics():
            if time.monotonic() > deadline:
                raise Unavailable(f"Kafka at {self._bootstrap} has no topic {', '.join(sorted(missing))}")
            await asyncio.sleep(PAUSE_S)

    def _kafka_unavailable(self, error: Exception, patience_s: float) -> Unavailable:
        detail = str(error) or type(error).__name__
        return Unavailable(f"Kafka at {self._bootstrap} did not answer within {patience_s:g} s: {detail}")
