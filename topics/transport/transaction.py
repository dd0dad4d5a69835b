"""One worker's transactions, one at a time, in the order that keeps them quick and fenced:

    1. begin       register every partition, then the source offsets (the fence), before any record exists
    2. fenced      a stale worker learns here that it is stale, and has written nothing
    3. write       the records, a few large batches per partition
    4. commit      after this returns, and only then, the rows may go to the local store

Registering while records are already in flight makes the broker answer NOT_ENOUGH_REPLICAS (KIP-890 verification)
and costs a retry; step 2 waits that out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition

from topics.cluster import Cluster
from topics.declarations import MAX_BATCH_BYTES
from topics.transport.fencing import FencedProducer, MemberFenced, Membership

Record = tuple[bytes | None, bytes]
"""(key, value)"""


class Transactions:
    """The worker's transactional producer. Not safe for two tasks at once: the worker has one slice in work."""

    def __init__(self, cluster: Cluster, transactional_id: str, group_id: str, timeout_ms: int) -> None:
        self._settings = {
            **cluster.aiokafka(),
            "transactional_id": transactional_id,
            "transaction_timeout_ms": timeout_ms,
            "linger_ms": 0,
            "retry_backoff_ms": 2,
            "max_batch_size": MAX_BATCH_BYTES // 2,
            "max_request_size": 4 * MAX_BATCH_BYTES,
        }
        self._group_id = group_id
        self._producer: FencedProducer | None = None
        self._fence: asyncio.Task[None] | None = None
        self._writes: list[asyncio.Future[int]] = []

    async def start(self) -> None:
        """Become the one producer with this id: a dead predecessor's open transaction is aborted by the broker."""
        self._producer = FencedProducer(**self._settings)
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
        """Steps 1: returns while the requests travel, so that the caller can decide meanwhile."""
        await self.producer.begin_transaction()
        self._writes.clear()
        self.producer.register(partitions)
        self._fence = asyncio.create_task(self.producer.fence(offsets, self._group_id, fetched_under))
        await asyncio.sleep(0)

    async def fenced(self) -> None:
        """Step 2: raises MemberFenced when the records belong to another worker by now."""
        if self._fence is None:
            raise RuntimeError("no transaction is open")
        await self._fence

    async def write(self, topic: str, partition: int, records: Iterable[Record]) -> asyncio.Future[int]:
        """Step 3: append records in order; the future gives the offset of the last one once the broker has them."""
        batch = self.producer.create_batch()
        for key, value in records:
            if batch.append(key=key, value=value, timestamp=None) is None:
                await self.producer.send_batch(batch, topic, partition=partition)
                batch = self.producer.create_batch()
                if batch.append(key=key, value=value, timestamp=None) is None:
                    raise ValueError(f"a record of {len(value)} bytes for {topic} does not fit into a batch")
        count = batch.record_count()
        sent = await self.producer.send_batch(batch, topic, partition=partition)
        self._writes.append(asyncio.ensure_future(_last_offset(sent, count)))
        return self._writes[-1]

    async def commit(self) -> None:
        """Step 4. Any exception but MemberFenced leaves the outcome unknown: the worker must end and recover."""
        for written in self._writes:  # aiokafka would commit the rest when the broker has refused a batch
            await written
        await self.producer.commit_transaction()
        self._fence = None

    async def abort(self) -> None:
        """Undo everything since `begin`."""
        if self._fence is not None:
            await asyncio.wait([self._fence])
            error = None if self._fence.cancelled() else self._fence.exception()
            self._fence = None
            if error is not None and not isinstance(error, MemberFenced):
                raise error
        await self.producer.abort_transaction()


async def _last_offset(sent: asyncio.Future[object], count: int) -> int:
    metadata = await sent
    offset: int = metadata.offset  # type: ignore[attr-defined]
    return offset + count - 1
