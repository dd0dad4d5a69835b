"""KIP-447 for aiokafka: offsets that only the current member of the group can commit, and stable offset fetches.

A worker that was frozen and lost its partitions still holds a valid producer. What stops it is the group
coordinator, and only if the offsets of its transaction name the member id and generation of the *fetch*:
read `membership` when the records leave the fetcher, because a coordinator task may rejoin behind our back and the
new generation would vouch for the old records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import aiokafka.errors as kafka_errors
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer import sender as aiokafka_sender
from aiokafka.producer.sender import (
    AddOffsetsToTxnHandler,
    AddPartitionsToTxnHandler,
    EndTxnHandler,
    Sender,
    TxnOffsetCommitHandler,
)
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.transaction import TxnOffsetCommitResponse_v0

from topics.transport.protocol import FencedTxnOffsetCommit, StableOffsetFetch

CONCURRENT_TRANSACTIONS_BACKOFF_S: Final = 0.002
"""The markers of the previous commit take about a millisecond; aiokafka waits 20 and doubles the p90."""

PRODUCER_FENCED: Final = 90
_MEMBER_FENCED: Final = {
    22: "illegal generation",
    25: "unknown member id",
    27: "rebalance in progress",
    82: "fenced instance id",
}


class MemberFenced(kafka_errors.KafkaError):  # type: ignore[misc]
    """The group coordinator refused our member id or generation: abort; after the rejoin the records come again."""


class Membership(NamedTuple):
    """The place in the consumer group that records were fetched under."""

    generation: int
    member_id: str
    instance_id: str | None


def membership(consumer: AIOKafkaConsumer) -> Membership:
    """As the consumer's coordinator holds it now; no `await` may lie between the fetch and this call."""
    coordinator = consumer._coordinator
    return Membership(coordinator.generation, coordinator.member_id, coordinator._group_instance_id)


def require_stable_offsets(consumer: AIOKafkaConsumer) -> None:
    """From now on committed offsets are fetched stable. Call between `start` and `subscribe`."""
    consumer._coordinator.__class__ = _StableCoordinator  # adds a method, no state


class _StableCoordinator(GroupCoordinator):  # type: ignore[misc]
    async def _send_req(self, request: Any) -> Any:
        if isinstance(request, OffsetFetchRequest):
            request = StableOffsetFetch(request._consumer_group, request._partitions)
        return await super()._send_req(request)


class _FencedTransactionManager(TransactionManager):  # type: ignore[misc]
    membership: Membership | None = None
    _txn_consumer_group: str | None

    def error_transaction(self, exc: BaseException) -> None:
        """aiokafka forgets the partitions here, so the abort that follows believes the transaction empty and sends no
        EndTxn; the records already written would be published by the NEXT commit. Remember them."""
        partitions = set(self._txn_partitions)
        group = self._txn_consumer_group
        super().error_transaction(exc)
        self._txn_partitions |= partitions
        self._txn_consumer_group = group
        self._transaction_waiter.exception()  # retrieved: whoever awaits the commit sees it again


class _FencedOffsetCommitHandler(TxnOffsetCommitHandler):  # type: ignore[misc]
    def create_request(self) -> FencedTxnOffsetCommit:
        manager = self._sender._txn_manager
        topics: dict[str, list[tuple[int, int, int, str, dict[str, Any]]]] = {}
        for tp, offset in sorted(self._offsets.items()):
            topics.setdefault(tp.topic, []).append((tp.partition, offset.offset, -1, offset.metadata, {}))
        return FencedTxnOffsetCommit(
            manager.transactional_id,
            self._group_id,
            manager.producer_id,
            manager.producer_epoch,
            *manager.membership,
            [(topic, partitions, {}) for topic, partitions in topics.items()],
            {},
        )

    def handle_response(self, response: Any) -> float | None:
        topics = [
            (topic, [(number, code) for number, code, _tags in numbers]) for topic, numbers, _tags in response.topics
        ]
        codes = {code for _topic, numbers in topics for _number, code in numbers}
        for code in codes & _MEMBER_FENCED.keys():
            self._sender._txn_manager.error_transaction(MemberFenced(_MEMBER_FENCED[code]))
            return None
        if PRODUCER_FENCED in codes:
            raise kafka_errors.ProducerFenced
        backoff: float | None = super().handle_response(TxnOffsetCommitResponse_v0(response.throttle_time_ms, topics))
        return backoff


class _QuickAddPartitionsHandler(AddPartitionsToTxnHandler):  # type: ignore[misc]
    def handle_response(self, response: Any) -> float | None:
        if any(code == PRODUCER_FENCED for _topic, partitions in response.errors for _number, code in partitions):
            raise kafka_errors.ProducerFenced
        backoff: float | None = super().handle_response(response)
        if backoff == aiokafka_sender.BACKOFF_OVERRIDE:
            return CONCURRENT_TRANSACTIONS_BACKOFF_S
        return backoff


class _RefusesFenced:
    """For handlers whose response carries one error code: a fenced producer is told so, by the code aiokafka lacks."""

    def handle_response(self, response: Any) -> float | None:
        if response.error_code == PRODUCER_FENCED:
            raise kafka_errors.ProducerFenced
        backoff: float | None = super().handle_response(response)  # type: ignore[misc]
        return backoff


class _FencedAddOffsetsHandler(_RefusesFenced, AddOffsetsToTxnHandler):  # type: ignore[misc]
    pass


class _FencedEndTxnHandler(_RefusesFenced, EndTxnHandler):  # type: ignore[misc]
    pass


class _FencedSender(Sender):  # type: ignore[misc]
    async def _do_add_partitions_to_txn(self, partitions: set[TopicPartition]) -> Any:
        node = await self._transaction_coordinator()
        return await _QuickAddPartitionsHandler(self, partitions).do(node)

    async def _do_add_offsets_to_txn(self, group_id: str) -> Any:
        node = await self._transaction_coordinator()
        return await _FencedAddOffsetsHandler(self, group_id).do(node)

    async def _do_txn_offset_commit(self, offsets: Any, group_id: str) -> Any:
        if self._txn_manager.membership is None or not offsets:
            return await super()._do_txn_offset_commit(offsets, group_id)
        node = await self._find_coordinator(CoordinationType.GROUP, group_id)
        return await _FencedOffsetCommitHandler(self, offsets, group_id).do(node)

    async def _do_txn_commit(self, commit_result: Any) -> Any:
        await self._message_accumulator.flush_for_commit()
        if self._txn_manager.is_empty_transaction():
            return self._txn_manager.complete_transaction()
        node = await self._transaction_coordinator()
        return await _FencedEndTxnHandler(self, commit_result).do(node)

    async def _transaction_coordinator(self) -> int:
        node: int = await self._find_coordinator(CoordinationType.TRANSACTION, self._txn_manager.transactional_id)
        return node


class FencedProducer(AIOKafkaProducer):  # type: ignore[misc]
    """A transactional producer whose offsets carry the membership they were fetched under."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._txn_manager.__class__ = _FencedTransactionManager  # both only add methods and class attributes
        self._sender.__class__ = _FencedSender

    def register(self, partitions: set[TopicPartition]) -> None:
        """Announce the partitions this transaction writes to, all at once; returns before the broker answers."""
        for tp in partitions:
            self._txn_manager.maybe_add_partition_to_txn(tp)

    async def fence(self, offsets: Mapping[TopicPartition, int], group_id: str, fetched_under: Membership) -> None:
        """Put the next offsets into the transaction; raises MemberFenced when the membership is no longer current."""
        self._txn_manager.membership = fetched_under
        await self.send_offsets_to_transaction(offsets, group_id)
