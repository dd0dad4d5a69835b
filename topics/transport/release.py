"""Decisions on their way to those who wait for them, before the transaction that has the rest.

A batch of decisions is in the log as soon as it is appended, so it is written outside of transactions, each partition's
with a producer id of its own (that of the transactional id GROUP-release.PARTITION). The batch says in a header what
follows from it (redo.py), and the partition's next owner does that where no transaction has.

Who owned a partition before may be frozen, and wake with a batch in hand. `take_over` fences it: it takes the producer
id over, and has the broker write an abort marker with the new epoch into the partition. Behind that the broker refuses
the old one's batches; what lies before it is final. Nobody sees a marker.

A broker forgets an id that nobody has used for long: a partition after a day (`producer.id.expiration.ms`), the
coordinator after a week (`transactional.id.expiration.ms`). The fence would be gone with it, so it is renewed in time,
with the epoch that it has: who does not own the partition any more is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient

from topics.cluster import Cluster
from topics.transport import redo, wire
from topics.transport.batches import REQUEST_TIMEOUT_MS, Batch, BatchSender, Record
from topics.transport.coordinators import Coordinators
from topics.transport.redo import Work
from topics.transport.wire import Identity

ANY_TIMEOUT_MS: Final = 60_000
"""Of a transaction that fences: it is ended at once."""
RENEW_S: Final = 6 * 3600.0
"""A quarter of what the first of them to forget needs."""
MOST_BYTES: Final = 512 * 1024
"""In a batch; a broker takes about twice as much unless it is told otherwise. What follows from a decision is some
times longer than itself, is written twice and goes to everybody who reads decisions: that is well spent on a hundred
decisions that somebody waits for, and not on a backlog of thousands."""

Redo = tuple[int, list[Work]]
"""(offset of the record that has it, what follows from the batch)"""


class Releases:
    """The worker's batches of one topic. Not safe for two tasks at once."""

    def __init__(self, cluster: Cluster, topic: str, group_id: str) -> None:
        self.topic = topic
        self._cluster = cluster
        self._group_id = group_id
        self._client: AIOKafkaClient | None = None
        self._senders: dict[int, Identity] = {}
        self._renewed = 0.0

    async def start(self) -> None:
        """Connect."""
        name = f"{self._group_id}-release"
        self._client = AIOKafkaClient(**self._cluster.aiokafka(), client_id=name, request_timeout_ms=REQUEST_TIMEOUT_MS)
        await self._client.bootstrap()
        self._coordinators = Coordinators(self._client)
        self._batches = BatchSender(self._client, transactional_id=None)

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def take_over(self, partitions: Iterable[int]) -> None:
        """Become the only one whose batches these partitions take."""
        wanted = sorted(partitions)
        senders = await asyncio.gather(*map(self._fence, wanted))
        self._senders = dict(zip(wanted, senders, strict=True))
        self._renewed = time.monotonic()

    async def _fence(self, partition: int) -> Identity:
        name = f"{self._group_id}-release.{partition}"  # no worker's name has a point in it
        fencing = await self._coordinators.become(name, ANY_TIMEOUT_MS)
        await self._mark(partition, fencing)
        self._batches.begin_anew(TopicPartition(self.topic, partition))
        # The broker answers this when the marker is in the log, and not before.
        return await self._coordinators.become(name, ANY_TIMEOUT_MS)

    async def _mark(self, partition: int, sender: Identity) -> None:
        """An abort marker with the sender's epoch, soon in the log; raises ProducerFenced when there is a later one."""
        place = frozenset({TopicPartition(self.topic, partition)})
        await self._coordinators.of_transaction(sender.transactional_id, wire.add_partitions(sender, place))
        await self._coordinators.of_transaction(sender.transactional_id, wire.end_transaction(sender, False))

    async def keep(self) -> None:
        """Renew the fence if it is time; raises ProducerFenced when another worker has taken a partition over."""
        if time.monotonic() - self._renewed > RENEW_S:
            await asyncio.gather(*(self._mark(partition, sender) for partition, sender in self._senders.items()))
            self._renewed = time.monotonic()

    async def read(self, starts: Mapping[int, int | None]) -> tuple[dict[int, list[Redo]], dict[int, int]]:
        """What follows from the batches behind `starts` (partition -> offset, None: only the end is asked for), and
        where each partition ends now.

        Batches of transactions have no such header, so it does not matter here what became of those. Raises
        UnreadableRedo.
        """
        partitions = [TopicPartition(self.topic, partition) for partition in starts]
        found: defaultdict[int, list[Redo]] = defaultdict(list)
        reader = AIOKafkaConsumer(**self._cluster.aiokafka(), auto_offset_reset="earliest", fetch_max_wait_ms=100)
        await reader.start()
        try:
            reader.assign(partitions)
            ends = await reader.end_offsets(partitions)
            for tp in partitions:
                start = starts[tp.partition]
                reader.seek(tp, ends[tp] if start is None else start)
            behind = [tp for tp in partitions if await reader.position(tp) < ends[tp]]
            while behind:
                for records in (await reader.getmany(*behind, timeout_ms=100)).values():
                    for record in records:
                        found[record.partition] += _redo_of(record)
                behind = [tp for tp in behind if await reader.position(tp) < ends[tp]]
        finally:
            await reader.stop()
        return dict(found), {tp.partition: end for tp, end in ends.items()}

    def pack(self, partition: int, decisions: Sequence[Record], works: Sequence[Work]) -> Batch | None:
        """One batch, with what follows from it; None if it would be larger than `MOST_BYTES`."""
        if sum(work.value_bytes for work in works) > MOST_BYTES:
            return None
        tp, headers = TopicPartition(self.topic, partition), [(redo.HEADER, redo.encode(works))]
        return self._batches.pack_one(decisions, tp, self._senders[partition], headers, MOST_BYTES)

    async def send(self, batches: Mapping[int, Batch]) -> dict[int, int]:
        """The offset behind each partition's batch, once the brokers have them all. Raises ProducerFenced when another
        worker has taken a partition over."""
        packed = {TopicPartition(self.topic, partition): [batch] for partition, batch in batches.items()}
        last = await self._batches.send(packed)
        return {tp.partition: offset + 1 for tp, offset in last.items()}


def _redo_of(record: ConsumerRecord[Any, Any]) -> list[Redo]:
    return [(record.offset, redo.decode(content)) for name, content in record.headers if name == redo.HEADER]
