"""The agent that decides: one slice in, one fenced Kafka transaction out, then the rows to the local store.

    1. skip      what this assignment has already committed, should it ever be delivered again
    2. begin     announce partitions and group, and send the source offsets; they travel while
    3. decide    the engine works the slice out
    4. write     changelog rows with the source offsets, replies, journal entries, dead letters; a stale worker stops
                 here, and what it has written is aborted
    5. commit    now it happened
    6. apply     rows and their changelog offset on their way to the store (tables/behind.py)

A message that came to a wrong partition is its producer's mistake, or the topics have other partitions than they had:
then nothing may be decided any more, so that is asked before 4.

A failure before 5 leaves nothing behind. `MemberFenced` aborts and waits for the rejoin; any other failure leaves the
outcome unknown, and the worker ends: a restart restores from the changelog.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from faust.types import TP

from agents.clock import wall_clock
from agents.decided import WRONG_PARTITION, Decided
from agents.engine import Engine
from agents.metrics import WorkerMetrics
from tables.behind import PartitionRows
from tables.source_offsets import Rows, SourceOffsets
from topics.declarations import ACCOUNT_UPDATES, AUTHORIZATION_DECISIONS, AUTHORIZATIONS, CLOCK, JOURNAL_ENTRIES
from topics.transport.consumer import Slice, SliceConsumer
from topics.transport.fencing import MemberFenced
from topics.transport.transaction import Transactions

Step = Callable[[str], None]
"""Called at each numbered step with its name; tests end or freeze the process there."""


WriteRows = Callable[[Sequence[PartitionRows]], None]
"""Committed rows to the local store; each partition's in one write with its changelog offset"""


class Decider:
    """Owns the slice in work. `lock` is held from step 1 to 6, so that a revocation waits for the commit: Faust delays
    the rejoin until then and the running transaction keeps a valid generation."""

    def __init__(  # noqa: PLR0913
        self,
        engine: Engine,
        transactions: Transactions,
        changelog: str,
        sources: SourceOffsets,
        write_rows: WriteRows,
        metrics: WorkerMetrics,
        *,
        step: Step = lambda _name: None,
        clock: Callable[[], int] = wall_clock,
        check_partitions: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`check_partitions` raises when the topics have other partitions than they had."""
        self._check_partitions = check_partitions
        self._engine = engine
        self._transactions = transactions
        self._changelog = changelog
        self._sources = sources
        self._write_rows = write_rows
        self._metrics = metrics
        self._step = step
        self._clock = clock
        self._next_offset: dict[TP, int] = {}
        self.finished = 0  # slices and revocations done with
        self.lock = asyncio.Lock()

    async def handle(self, slice_: Slice, consumer: SliceConsumer) -> None:
        """Decide one slice; raises whatever leaves the outcome of its transaction unknown."""
        async with self.lock:
            try:
                if slice_.fetched_under == consumer.thread.fetched_under:  # else fetched before a rebalance: dropped
                    await self._commit(slice_, self._unseen(slice_.records), consumer.fetch_ahead)
            finally:
                consumer.release()
                self.finished += 1

    async def revoked(self, consumer: SliceConsumer) -> None:
        """Partitions leave: finish the commit in work, forget the offsets of this assignment."""
        async with self.lock:
            consumer.release()  # Faust has emptied the stream's queue
            self._next_offset.clear()
            self.finished += 1

    def next_offset(self, tp: TP) -> int:
        """The first offset of an input partition that this assignment has not decided; 0 before the first slice."""
        return self._next_offset.get(tp, 0)

    def lags(self, end: Callable[[TP], int | None]) -> dict[TP, int]:
        """Records behind the end of each partition decided so far; `end` gives a partition's end offset if known."""
        ends = {tp: end(tp) for tp in self._next_offset}
        return {tp: max(0, last - self._next_offset[tp]) for tp, last in ends.items() if last is not None}

    def _unseen(self, records: Mapping[TP, list[ConsumerRecord]]) -> dict[TP, list[ConsumerRecord]]:
        unseen = {}
        for tp, fetched in records.items():
            start = self._next_offset.get(tp, 0)
            new = fetched if fetched[0].offset >= start else [record for record in fetched if record.offset >= start]
            if new:
                unseen[tp] = new
        return unseen

    async def _commit(
        self, slice_: Slice, records: Mapping[TP, list[ConsumerRecord]], fetch_ahead: Callable[[], None]
    ) -> None:
        if not records:
            return
        started = time.perf_counter()
        offsets = {tp: fetched[-1].offset + 1 for tp, fetched in records.items()}
        kafka_offsets = {TopicPartition(*tp): offset for tp, offset in offsets.items()}
        self._step("begin")
        await self._transactions.begin(self._destinations(records), kafka_offsets, slice_.fetched_under)
        try:
            self._step("decide")
            decided = self._engine.decide(records, self._clock())
            decided_at = time.perf_counter()
            if decided.dead_letters[WRONG_PARTITION] and self._check_partitions is not None:
                await self._check_partitions()
            rows = self._rows(decided, offsets)
            packed = self._transactions.pack(self._records(decided, rows))
            if slice_.full:
                fetch_ahead()  # what comes next is fetched already, and is made a slice while the batches travel
            self._step("write")
            ends = await self._transactions.write(packed)
            self._step("commit")
            fetch_ahead()
            await self._transactions.commit()
        except MemberFenced:
            self._metrics.fenced.inc()
            await self._transactions.abort()
            return
        self._step("apply")
        self._write_rows(self._committed_rows(rows, ends))
        self._next_offset.update(offsets)
        self._metrics.observe(decided, records, decided_at - started, time.perf_counter() - started)
        self._step("done")

    def _rows(self, decided: Decided, offsets: Mapping[TP, int]) -> dict[int, Rows]:
        """Accounts' rows by partition, behind how far their inputs are decided with them."""
        found = self._sources.rows(offsets)
        for partition, rows in decided.rows.items():
            found[partition] += rows
        return found

    def _committed_rows(self, rows: Mapping[int, Rows], ends: Mapping[TopicPartition, int]) -> list[PartitionRows]:
        return [
            PartitionRows(partition, each, ends[TopicPartition(self._changelog, partition)])
            for partition, each in rows.items()
        ]

    def _destinations(self, records: Mapping[TP, Any]) -> set[TopicPartition]:
        """Where this slice will write, as far as its source topics tell; others are added when they occur. The
        changelog is always among them: it is how the next owner of a partition knows that the transaction is about it
        (topics/transport/inheritance.py)."""
        found = {TopicPartition(self._changelog, tp.partition) for tp in records}
        for tp in records:
            if tp.topic == CLOCK.name:
                continue
            reply = AUTHORIZATION_DECISIONS if tp.topic == AUTHORIZATIONS.name else ACCOUNT_UPDATES
            for topic in (reply.name, JOURNAL_ENTRIES.name):
                found.add(TopicPartition(topic, tp.partition))
        return found

    def _records(
        self, decided: Decided, rows: Mapping[int, Rows]
    ) -> dict[TopicPartition, Sequence[tuple[bytes | None, bytes]]]:
        """Everything to be written: the rows to the changelog, and what is sent."""
        found: dict[TopicPartition, Sequence[tuple[bytes | None, bytes]]] = {
            TopicPartition(topic, partition): records for (topic, partition), records in decided.records.items()
        }
        for partition, each in rows.items():
            found[TopicPartition(self._changelog, partition)] = each
        return found
