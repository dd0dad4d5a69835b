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
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient

from topics.cluster import Cluster
from topics.transport import wire
from topics.transport.batches import REQUEST_TIMEOUT_MS, Batch, BatchSender, Packed, Record
from topics.transport.coordinators import Coordinators
from topics.transport.fencing import Membership
from topics.transport.wire import Identity


class FencedProducer:
    """One transaction at a time, by one task at a time. Its offsets carry the membership they were fetched under."""

    def __init__(self, cluster: Cluster, transactional_id: str, timeout_ms: int) -> None:
        self._client = AIOKafkaClient(
            **cluster.aiokafka(), client_id=transactional_id, request_timeout_ms=REQUEST_TIMEOUT_MS
        )
        self._timeout_ms = timeout_ms
        self._me = Identity(transactional_id, -1, -1)
        self._coordinators = Coordinators(self._client)
        self._batches = BatchSender(self._client, transactional_id)
        self._registered: set[TopicPartition] = set()
        self._has_offsets = False

    async def start(self) -> None:
        """Become the one producer with this id: a dead predecessor's open transaction is aborted by the broker."""
        await self._client.bootstrap()
        self._me = await self._coordinators.become(self._me.transactional_id, self._timeout_ms)

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
        return asyncio.gather(self.register(partitions), self._ask(wire.add_offsets(self._me, group_id)))

    async def send_offsets(
        self, offsets: Mapping[TopicPartition, int], group_id: str, fetched_under: Membership
    ) -> None:
        """Put the next offsets into the transaction; raises MemberFenced when the membership is no longer current."""
        request = wire.commit_offsets(self._me, group_id, fetched_under, offsets)
        await self._coordinators.of_group(group_id, request)

    async def register(self, partitions: Collection[TopicPartition]) -> None:
        """Announce partitions that this transaction writes to."""
        new = frozenset(partitions) - self._registered
        if not new:
            return
        self._registered |= new  # before it is known: an abort must reach the broker in any case
        await self._ask(wire.add_partitions(self._me, new))

    def pack(self, records: Iterable[Record], tp: TopicPartition) -> list[Batch]:
        """Batches of records for a partition, to be sent next. A record larger than a batch is one of its own."""
        return self._batches.pack(records, tp, self._me)

    async def send(self, packed: Packed) -> dict[TopicPartition, int]:
        """Offsets of the last record of each partition, once the brokers have them all."""
        return await self._batches.send(packed)

    async def end(self, *, commit: bool) -> None:
        """Commit or abort what was registered. An exception leaves the outcome unknown."""
        if self._registered or self._has_offsets:
            await self._ask(wire.end_transaction(self._me, commit))

    async def _ask(self, request: Any) -> None:
        await self._coordinators.of_transaction(self._me.transactional_id, request)
