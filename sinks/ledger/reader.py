"""Reads the journal topic from the offsets that PostgreSQL holds.

The consumer group only shares out the partitions. Where to read is decided by the ledger's own offsets: after every
assignment the reader seeks to them before it hands out a record, and a batch that was fetched under an older
assignment is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from sinks.ledger.dead_letters import SourceRecord
from sinks.ledger.errors import OffsetsOutOfRange
from sinks.ledger.writer import Batch, Move

log = logging.getLogger(__name__)

REVOKE_WAIT_S: Final = 10.0
"""How long a rebalance waits for the batch in hand. Longer would only delay the group: the offsets guard the ledger."""

LoadOffsets = Callable[[str, dict[int, int]], Awaitable[dict[int, int]]]


class JournalReader(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """Wraps a started AIOKafkaConsumer (read_committed, no auto commit, auto_offset_reset="none")."""

    def __init__(self, consumer: Any, topic: str, load_offsets: LoadOffsets) -> None:
        """`load_offsets(topic, beginnings)` gives the next offset of every partition in `beginnings`."""
        self._consumer = consumer
        self._topic = topic
        self._load_offsets = load_offsets
        self.busy = asyncio.Lock()  # held while a batch is being written
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._assignment = 0  # counts assignments and revocations
        self._positioned = 0  # the assignment whose partitions stand at the ledger's offsets
        self._next: dict[int, int] = {}  # partition -> first offset not yet in the ledger

    def subscribe(self) -> None:
        """Joins the group."""
        self._consumer.subscribe([self._topic], listener=self)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002
        """Lets the batch in hand finish, then forgets the partitions."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REVOKE_WAIT_S), self.busy:
                pass
        self._assigned = frozenset()
        self.rewind()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Only takes note: the next poll seeks."""
        log.info("partitions of %s: %s", self._topic, sorted(tp.partition for tp in assigned))
        self._assigned = frozenset(assigned)
        self.rewind()

    def rewind(self) -> None:
        """The next poll reads the stored offsets again."""
        self._assignment += 1
        self._next = {}

    async def poll(self, max_records: int, timeout_ms: int) -> Batch | None:
        """The next batch, or None; raises OffsetsOutOfRange, KafkaError, and what `load_offsets` raises."""
        assignment = self._assignment
        if self._positioned != assignment:
            await self._seek(assignment)
        try:
            records = await self._fetch(max_records, timeout_ms)
            moves = await self._moves()
        except IllegalStateError:  # a partition is gone, the new assignment not yet announced
            return None
        except KafkaError:  # records of other partitions may have been lost with it
            self.rewind()
            raise
        if self._positioned != self._assignment or assignment != self._assignment:
            return None
        return Batch(self._topic, records, moves) if moves else None

    def written(self, batch: Batch) -> None:
        """The batch is in the ledger."""
        self._next.update({partition: move.next for partition, move in batch.moves.items() if partition in self._next})

    def lag(self) -> dict[int, int]:
        """Partition -> committed records not yet in the ledger (transaction markers count as records)."""
        assigned = self._consumer.assignment()
        behind = {}
        for partition, offset in self._next.items():
            if (tp := self._at(partition)) in assigned:
                behind[partition] = max(0, (self._consumer.last_stable_offset(tp) or 0) - offset)
        return behind

    def places(self) -> dict[TopicPartition, int]:
        """The first offset of every partition that is not yet in the ledger."""
        return {self._at(partition): offset for partition, offset in self._next.items()}

    async def _seek(self, assignment: int) -> None:
        partitions = sorted(self._assigned)
        if not partitions:
            return
        beginnings = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        stored = await self._load_offsets(self._topic, {tp.partition: beginnings[tp] for tp in partitions})
        for tp in partitions:
            self._check_range(tp, beginnings[tp], stored[tp.partition], ends[tp])
        if assignment != self._assignment:
            return
        with suppress(IllegalStateError):  # a partition was taken away meanwhile: the next assignment seeks
            for tp in partitions:
                self._consumer.seek(tp, stored[tp.partition])
            self._next = stored
            self._positioned = assignment

    def _check_range(self, tp: TopicPartition, beginning: int, stored: int, end: int) -> None:
        if beginning <= stored <= end:
            return
        raise OffsetsOutOfRange(
            f"the ledger has read {tp.topic}/{tp.partition} up to {stored}, but its log holds {beginning} to {end}: "
            "this database belongs to another cluster, or the topic was deleted or lost records"
        )

    async def _fetch(self, max_records: int, timeout_ms: int) -> list[SourceRecord]:
        """An error about a position that is not ours (the group's, before the seek) is stale."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except NoOffsetForPartitionError:
            return []
        except OffsetOutOfRangeError as error:
            for tp, offset in error.args[0].items():
                if self._next.get(tp.partition) == offset:
                    raise OffsetsOutOfRange(f"{tp.topic}/{tp.partition} has no offset {offset} any more") from error
            self.rewind()
            return []
        return [record for records in fetched.values() for record in records]

    async def _moves(self) -> dict[int, Move]:
        """From the consumer's own positions, which pass the transaction markers that no record shows."""
        moves = {}
        for partition, expected in self._next.items():
            position = await self._consumer.position(self._at(partition))
            if position > expected:
                moves[partition] = Move(expected, position)
        return moves

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)
