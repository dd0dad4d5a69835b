"""A transactional producer that sends what one fenced transaction needs, and nothing twice as often as it must.

aiokafka's own producer is made for records that trickle in: every batch has futures and a turn in a background task,
every request walks a schema. Here a transaction is a handful of awaited requests, sent over aiokafka's client and its
connections. aiokafka's faults with transactions (it forgets the partitions of one that failed, and publishes it with
the next commit) do not exist here.

Every request is repeated until it is answered: a broker that is away comes back, or the watchdog ends the worker.
Repeating is safe: registrations, offsets and the end of a transaction are idempotent, batches have sequence numbers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import aiokafka.errors as kafka_errors
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from topics.cluster import Cluster
from topics.declarations import MAX_BATCH_BYTES
from topics.transport import wire
from topics.transport.fencing import MemberFenced, Membership
from topics.transport.wire import Answer, Identity

log = logging.getLogger(__name__)

Record = tuple[bytes | None, bytes]
"""(key, value)"""

BETWEEN_TRANSACTIONS_S: Final = 0.001
"""The markers of the previous commit take about a millisecond; aiokafka waits 20 and doubles the p90."""
RETRY_S: Final = 0.02
AWAY_S: Final = 0.1
"""Before a broker that could not be reached is tried again."""
REQUEST_TIMEOUT_MS: Final = 40_000
BATCH_BYTES: Final = MAX_BATCH_BYTES // 2
_SEQUENCES: Final = 2**31
"""A partition's sequence numbers start again at 0 after the largest int32."""

_CONCURRENT_TRANSACTIONS: Final = 51
_COORDINATOR_MOVED: Final = {7, 15, 16}  # timed out, not available, not coordinator
_RETRIABLE: Final = {3, 14, _CONCURRENT_TRANSACTIONS} | _COORDINATOR_MOVED  # unknown partition, loading
_PRODUCER_FENCED: Final = {47, 90}  # by its epoch: another producer has the transactional id
_NOT_ATTEMPTED: Final = 55  # because of another partition of the same request
_MEMBER_FENCED: Final = {
    22: "illegal generation",
    25: "unknown member id",
    27: "rebalance in progress",
    82: "fenced instance id",
}


_CONNECTIONS: Final = {
    CoordinationType.TRANSACTION: ConnectionGroup.COORDINATION,
    # That of the batches: a broker serves a connection in order. It verifies offsets and batches with the transaction's
    # coordinator; of two verifications that it begins at once, one is refused, and would be repeated 20 ms later.
    CoordinationType.GROUP: ConnectionGroup.DEFAULT,
}


class Batch(NamedTuple):
    """Records of one partition, as bytes with their sequence number."""

    records: int
    content: bytearray


Packed = Mapping[TopicPartition, Sequence[Batch]]
"""Each partition's batches, in order."""


class FencedProducer:
    """One transaction at a time, by one task at a time. Its offsets carry the membership they were fetched under."""

    def __init__(self, cluster: Cluster, transactional_id: str, timeout_ms: int) -> None:
        self._client = AIOKafkaClient(
            **cluster.aiokafka(), client_id=transactional_id, request_timeout_ms=REQUEST_TIMEOUT_MS
        )
        self._timeout_ms = timeout_ms
        self._me = Identity(transactional_id, -1, -1)
        self._coordinators: dict[Any, int] = {}
        self._next_sequence: dict[TopicPartition, int] = {}  # used up only by what the broker has
        self._registered: set[TopicPartition] = set()
        self._has_offsets = False

    async def start(self) -> None:
        """Become the one producer with this id: a dead predecessor's open transaction is aborted by the broker."""
        await self._client.bootstrap()
        name = self._me.transactional_id
        while True:
            answer = await self._coordinator(
                CoordinationType.TRANSACTION, name, InitProducerIdRequest(name, self._timeout_ms)
            )
            if await self._settled(CoordinationType.TRANSACTION, {name: answer.error_code}):
                self._me = Identity(name, answer.producer_id, answer.producer_epoch)
                return

    async def stop(self) -> None:
        await self._client.close()

    # -- the requests of a transaction, in the order they are sent

    def begin(self) -> None:
        """Nothing travels yet: a transaction is open at the broker once a partition or a group is registered."""
        self._registered.clear()
        self._has_offsets = False

    def announce(self, partitions: Collection[TopicPartition], group_id: str) -> asyncio.Future[Any]:
        """Tell where this transaction writes, and whose offsets it moves; done when the broker knows."""
        self._has_offsets = True
        # One connection, which its broker serves in order: the second does not wait for the first to be read here.
        return asyncio.gather(self.register(partitions), self._until_settled(wire.add_offsets(self._me, group_id)))

    async def send_offsets(
        self, offsets: Mapping[TopicPartition, int], group_id: str, fetched_under: Membership
    ) -> None:
        """Put the next offsets into the transaction; raises MemberFenced when the membership is no longer current."""
        request = wire.commit_offsets(self._me, group_id, fetched_under, offsets)
        await self._until_settled(request, CoordinationType.GROUP, group_id)

    async def register(self, partitions: Collection[TopicPartition]) -> None:
        """Announce partitions that this transaction writes to."""
        new = frozenset(partitions) - self._registered
        if not new:
            return
        self._registered |= new  # before it is known: an abort must reach the broker in any case
        await self._until_settled(wire.add_partitions(self._me, new))

    def pack(self, records: Iterable[Record], tp: TopicPartition) -> list[Batch]:
        """Batches of records for a partition, to be sent next. A record larger than a batch is one of its own."""
        batches: list[Batch] = []
        sequence, builder, count = self._next_sequence.get(tp, 0), None, 0
        for key, value in records:
            if builder is None or builder.append(count, None, key, value, []) is None:
                if builder is not None:
                    batches.append(Batch(count, builder.build()))
                    sequence = (sequence + count) % _SEQUENCES
                builder, count = self._builder(sequence), 0
                builder.append(0, None, key, value, [])  # the first always has room
            count += 1
        if builder is not None:
            batches.append(Batch(count, builder.build()))
        return batches

    def _builder(self, sequence: int) -> Any:
        return DefaultRecordBatchBuilder(2, 0, 1, self._me.producer_id, self._me.epoch, sequence, BATCH_BYTES)

    async def send(self, packed: Packed) -> dict[TopicPartition, int]:
        """Offsets of the last record of each partition, once the brokers have them all."""
        last: dict[TopicPartition, int] = {}
        waiting = {tp: list(reversed(batches)) for tp, batches in packed.items() if batches}
        while waiting:
            await self._send_heads(waiting, last)
            waiting = {tp: batches for tp, batches in waiting.items() if batches}
        return last

    async def end(self, *, commit: bool) -> None:
        """Commit or abort what was registered. An exception leaves the outcome unknown."""
        if self._registered or self._has_offsets:
            await self._until_settled(wire.end_transaction(self._me, commit))

    # -- records

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
                await self._client.force_metadata_update()
            await asyncio.sleep(RETRY_S)

    async def _leader(self, tp: TopicPartition) -> int:
        await self._client._wait_on_metadata(tp.topic)
        while (node := self._client.cluster.leader_for_partition(tp)) in (None, -1):
            await self._client.force_metadata_update()
            await asyncio.sleep(RETRY_S)
        return int(node)

    async def _produce(
        self, node: int, batches: Mapping[TopicPartition, bytearray]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        request = wire.produce(self._me.transactional_id, REQUEST_TIMEOUT_MS, batches)
        try:
            answer = await self._client.send(node, request)
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise
            log.warning("node %s did not take batches: %r", node, error)
            await self._client.force_metadata_update()
            await asyncio.sleep(AWAY_S)
            return dict.fromkeys(batches, (kafka_errors.RequestTimedOutError.errno, -1))
        return answer.results  # type: ignore[no-any-return]

    @staticmethod
    def _retriable(tp: TopicPartition, code: int) -> type[kafka_errors.BrokerResponseError]:
        """The error, if the batch may be sent again; raises it if not."""
        if code in _PRODUCER_FENCED:
            raise kafka_errors.ProducerFenced
        error: type[kafka_errors.BrokerResponseError] = kafka_errors.for_code(code)
        if code != _CONCURRENT_TRANSACTIONS and not error.retriable:
            raise error(f"{tp.topic} {tp.partition}")
        return error

    # -- coordinators

    async def _until_settled(
        self, request: Any, kind: Any = CoordinationType.TRANSACTION, group_id: str | None = None
    ) -> None:
        """Ask the transaction's coordinator, or the group's, until nothing is wrong."""
        while True:
            answer: Answer = await self._coordinator(kind, group_id or self._me.transactional_id, request)
            if await self._settled(kind, answer.wrong):
                return

    async def _settled(self, kind: Any, codes: Mapping[Any, int]) -> bool:
        """Whether nothing was wrong; if not, waits until it may be tried again, or raises what is the matter."""
        wrong = set(codes.values()) - {0, _NOT_ATTEMPTED}
        if not wrong:
            return True
        if wrong & _PRODUCER_FENCED:
            raise kafka_errors.ProducerFenced
        for code in wrong & _MEMBER_FENCED.keys():
            raise MemberFenced(_MEMBER_FENCED[code])
        for code in wrong - _RETRIABLE:
            raise kafka_errors.for_code(code)(", ".join(str(what) for what in codes))
        if wrong & _COORDINATOR_MOVED:
            self._coordinators.pop(kind, None)
        await asyncio.sleep(BETWEEN_TRANSACTIONS_S if wrong == {_CONCURRENT_TRANSACTIONS} else RETRY_S)
        return False

    async def _coordinator(self, kind: Any, key: str, request: Any) -> Any:
        """The answer of a coordinator, which is looked for again when it cannot be reached."""
        while True:
            try:
                node = self._coordinators.get(kind)
                if node is None:
                    node = self._coordinators[kind] = await self._client.coordinator_lookup(kind, key)
                return await self._client.send(node, request, group=_CONNECTIONS[kind])
            except kafka_errors.KafkaError as error:
                if not error.retriable:
                    raise
                if not isinstance(error, kafka_errors.GroupCoordinatorNotAvailableError):  # that one is about to be
                    log.warning("the coordinator of %s did not answer: %r", key, error)
                self._coordinators.pop(kind, None)
                await self._client.force_metadata_update()
                await asyncio.sleep(AWAY_S)
