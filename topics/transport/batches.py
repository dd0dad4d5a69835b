"""Batches on their way to the leaders of their partitions: each is sent until it is taken, and only once for good.

Repeating is safe because batches have sequence numbers; a number is used up only by what the broker has.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import aiokafka.errors as kafka_errors
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from topics.declarations import MAX_BATCH_BYTES
from topics.transport import wire
from topics.transport.connections import look_for_leaders
from topics.transport.wire import Identity

log = logging.getLogger(__name__)

Record = tuple[bytes | None, bytes]
"""(key, value)"""

Headers = Sequence[tuple[str, bytes]]

RETRY_S: Final = 0.02
AWAY_S: Final = 0.1
"""Before a broker that could not be reached is tried again."""
REQUEST_TIMEOUT_MS: Final = 40_000
BATCH_BYTES: Final = MAX_BATCH_BYTES // 2
_SEQUENCES: Final = 2**31
"""A partition's sequence numbers start again at 0 after the largest int32."""

CONCURRENT_TRANSACTIONS: Final = 51
PRODUCER_FENCED: Final = {47, 90}
"""By its epoch: another producer has the transactional id."""


class Batch(NamedTuple):
    """Records of one partition, as bytes with their sequence number."""

    records: int
    content: bytearray


Packed = Mapping[TopicPartition, Sequence[Batch]]
"""Each partition's batches, in order."""


class BatchSender:
    """Used by one task at a time. `transactional_id`: of the transaction that all batches are part of; None for batches
    that are part of none."""

    def __init__(self, client: AIOKafkaClient, transactional_id: str | None) -> None:
        self._client = client
        self._transactional_id = transactional_id
        self._next_sequence: dict[TopicPartition, int] = {}  # used up only by what the broker has

    def pack(self, records: Iterable[Record], tp: TopicPartition, sender: Identity) -> list[Batch]:
        """Batches of records for a partition, to be sent next. A record larger than a batch is one of its own."""
        batches: list[Batch] = []
        sequence, builder, count = self._next_sequence.get(tp, 0), None, 0
        for key, value in records:
            if builder is None or builder.append(count, None, key, value, []) is None:
                if builder is not None:
                    batches.append(Batch(count, builder.build()))
                    sequence = (sequence + count) % _SEQUENCES
                builder, count = self._builder(sender, sequence, BATCH_BYTES), 0
                builder.append(0, None, key, value, [])  # the first always has room
            count += 1
        if builder is not None:
            batches.append(Batch(count, builder.build()))
        return batches

    def pack_one(
        self, records: Sequence[Record], tp: TopicPartition, sender: Identity, headers: Headers, most_bytes: int
    ) -> Batch | None:
        """All of at least one record as one batch, with `headers` at the first; None if that is larger than
        `most_bytes`."""
        builder = self._builder(sender, self._next_sequence.get(tp, 0), most_bytes)
        for number, (key, value) in enumerate(records):
            if builder.append(number, None, key, value, [] if number else list(headers)) is None:
                return None
        content = builder.build()
        return Batch(len(records), content) if len(content) <= most_bytes else None  # the first record always has room

    def begin_anew(self, tp: TopicPartition) -> None:
        """The partition's batches have a new sender, whose first is number 0."""
        self._next_sequence.pop(tp, None)

    def _builder(self, sender: Identity, sequence: int, most_bytes: int) -> Any:
        transactional = self._transactional_id is not None
        return DefaultRecordBatchBuilder(2, 0, transactional, sender.producer_id, sender.epoch, sequence, most_bytes)

    async def send(self, packed: Packed) -> dict[TopicPartition, int]:
        """Offsets of the last record of each partition, once the brokers have them all."""
        last: dict[TopicPartition, int] = {}
        waiting = {tp: list(reversed(batches)) for tp, batches in packed.items() if batches}
        while waiting:
            await self._send_heads(waiting, last)
            waiting = {tp: batches for tp, batches in waiting.items() if batches}
        return last

    async def _send_heads(self, waiting: Mapping[TopicPartition, list[Batch]], last: dict[TopicPartition, int]) -> None:
        """The first batch that each partition has left, to all leaders at once; those that must come again stay."""
        by_leader: dict[int, list[TopicPartition]] = defaultdict(list)
        for tp in waiting:
            by_leader[await self._leader(tp)].append(tp)
        answers = await asyncio.gather(
            *(self._produce(node, {tp: waiting[tp][-1].content for tp in tps}) for node, tps in by_leader.items())
        )
        results = {tp: result for answer in answers for tp, result in answer.items()}
        for tp, (code, offset) in results.items():  # all of them before any error: what was taken has its number
            if code == 0:
                count = waiting[tp].pop().records
                self._next_sequence[tp] = (self._next_sequence.get(tp, 0) + count) % _SEQUENCES
                last[tp] = offset + count - 1
        again = {self._retriable(tp, code) for tp, (code, _offset) in results.items() if code}
        if again:
            log.warning("batches are sent again: %s", ", ".join(error.__name__ for error in again))
            if any(error.invalid_metadata for error in again):
                await look_for_leaders(self._client)
            await asyncio.sleep(RETRY_S)

    async def _leader(self, tp: TopicPartition) -> int:
        await self._client._wait_on_metadata(tp.topic)
        while (node := self._client.cluster.leader_for_partition(tp)) in (None, -1):
            await look_for_leaders(self._client)
            await asyncio.sleep(RETRY_S)
        return int(node)

    async def _produce(
        self, node: int, batches: Mapping[TopicPartition, bytearray]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        request = wire.produce(self._transactional_id, REQUEST_TIMEOUT_MS, batches)
        try:
            answer = await self._client.send(node, request)
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise
            log.warning("node %s did not take batches: %r", node, error)
            await look_for_leaders(self._client)
            await asyncio.sleep(AWAY_S)
            return dict.fromkeys(batches, (kafka_errors.RequestTimedOutError.errno, -1))
        return answer.results  # type: ignore[no-any-return]

    @staticmethod
    def _retriable(tp: TopicPartition, code: int) -> type[kafka_errors.BrokerResponseError]:
        """The error, if the batch may be sent again; raises it if not."""
        if code in PRODUCER_FENCED:
            raise kafka_errors.ProducerFenced
        error: type[kafka_errors.BrokerResponseError] = kafka_errors.for_code(code)
        if code != CONCURRENT_TRANSACTIONS and not error.retriable:
            raise error(f"{tp.topic} {tp.partition}")
        return error
