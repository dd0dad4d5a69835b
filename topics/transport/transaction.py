"""One worker's transactions, one at a time, in the order that keeps them quick and fenced:

    1. begin       announce every partition and the group, then send the source offsets (the fence)
    2. pack        the records as batches, while the requests of 1 travel
    3. write       the batches, once all is announced; the answer to the offsets may come before or after theirs, and
                   a stale worker learns from it that it is stale: what it has written is aborted
    4. commit      after this returns, and only then, the rows may go to the local store

Announcing while records are already in flight makes the broker answer NOT_ENOUGH_REPLICAS (KIP-890 verification)
and costs a retry. Offsets and records need no order: a transaction commits both or none, and never without the fence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from topics.cluster import Cluster
from topics.transport.batches import Packed, Record
from topics.transport.fencing import MemberFenced, Membership
from topics.transport.producer import FencedProducer


class _Open(NamedTuple):
    """What a transaction has on its way since `begin`."""

    announced: asyncio.Future[Any]
    fence: asyncio.Task[None]


class Transactions:
    """The worker's transactional producer. Not safe for two tasks at once: the worker has one slice in work."""

    def __init__(self, cluster: Cluster, transactional_id: str, group_id: str, timeout_ms: int) -> None:
        self._cluster = cluster
        self._transactional_id = transactional_id
        self._group_id = group_id
        self._timeout_ms = timeout_ms
        self._producer: FencedProducer | None = None
        self._open: _Open | None = None

    async def start(self) -> None:
        """Become the one producer with this id: a dead predecessor's open transaction is aborted by the broker."""
        self._producer = FencedProducer(self._cluster, self._transactional_id, self._timeout_ms)
        await self._producer.start()

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    @property
    def producer(self) -> FencedProducer:
        if self._producer is None:
            raise RuntimeError("the transactional producer has not been started")
        return self._producer

    async def begin(
        self, partitions: set[TopicPartition], offsets: Mapping[TopicPartition, int], fetched_under: Membership
    ) -> None:
        """Step 1: returns while the requests travel, so that the caller can decide meanwhile."""
        self.producer.begin()
        announced = self.producer.announce(partitions, self._group_id)
        self._open = _Open(announced, asyncio.create_task(self._join(announced, offsets, fetched_under)))
        # The event loop does nothing while the caller decides: both requests are written to their connection before.
        await asyncio.sleep(0)

    async def _join(
        self, announced: asyncio.Future[Any], offsets: Mapping[TopicPartition, int], fetched_under: Membership
    ) -> None:
        await announced
        await self.producer.send_offsets(offsets, self._group_id, fetched_under)

    def pack(self, records: Mapping[TopicPartition, Iterable[Record]]) -> Packed:
        """Step 2: each partition's records, in order."""
        return {tp: self.producer.pack(each, tp) for tp, each in records.items()}

    async def write(self, packed: Packed) -> dict[TopicPartition, int]:
        """Step 3: the offsets of each partition's last record, once the brokers have all of them and the offsets;
        raises MemberFenced when the records belong to another worker by now. No request is on its way afterwards."""
        if self._open is None:
            raise RuntimeError("no transaction is open")
        await self._open.announced
        await self.producer.register(packed.keys())
        sending = asyncio.create_task(self.producer.send(packed))
        await asyncio.wait([sending, self._open.fence])
        written = sending.result()
        self._open.fence.result()
        return written

    async def commit(self) -> None:
        """Step 4. Any exception leaves the outcome unknown: the worker must end and recover."""
        await self.producer.end(commit=True)
        self._open = None

    async def abort(self) -> None:
        """Undo everything since `begin`."""
        if self._open is not None:
            fence, self._open = self._open.fence, None
            await asyncio.wait([fence])
            error = None if fence.cancelled() else fence.exception()
            if error is not None and not isinstance(error, MemberFenced):
                raise error
        await self.producer.end(commit=False)
