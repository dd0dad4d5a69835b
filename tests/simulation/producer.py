"""The worker's transactions, with the interface of topics.transport.transaction and over the broker in memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any

from aiokafka.errors import KafkaTimeoutError
from faust.types import TP

from tests.simulation.broker import Broker, Record, Transaction
from tests.simulation.schedule import Schedule
from tests.simulation.turns import Activity, Waiting, turn, until
from topics.transport.fencing import MemberFenced, Membership

Spawn = Callable[[str, Coroutine[Any, Any, Any]], Activity]
LOST = 0.01
"""How often the request that ends a transaction, or its answer, does not arrive"""


class Batch:
    """Records on their way to one partition; awaiting it gives the offset of the last one."""

    def __init__(self, tp: TP, records: list[Record]) -> None:
        self.tp = tp
        self.records = records
        self.offset: int | None = None

    def __await__(self) -> Generator[Any, None, int]:
        yield Waiting(f"the offset in {self.tp.topic}", lambda: self.offset is not None)
        assert self.offset is not None
        return self.offset


class Transactions:
    """One at a time. Requests travel in activities of their own; a worker may die or freeze between any two."""

    def __init__(self, broker: Broker, transactional_id: str, schedule: Schedule, spawn: Spawn) -> None:
        self.producer = self  # for `register`
        self._broker = broker
        self._id = transactional_id
        self._schedule = schedule
        self._spawn = spawn
        self._epoch = -1
        self._transaction: Transaction | None = None
        self._unregistered: set[TP] = set()
        self._fence: Activity | None = None
        self._sender: Activity | None = None
        self._batches: list[Batch] = []

    async def start(self) -> None:
        """Become the one producer of this name: an open transaction of the predecessor is aborted first."""
        await turn("InitProducerId")
        self._epoch = self._broker.init_producer(self._id)
        await until("the predecessor's markers", lambda: self._broker.free(self._id))

    def register(self, partitions: Iterable[TP]) -> None:
        """Announced with the next request."""
        self._unregistered |= {TP(*tp) for tp in partitions}

    async def begin(self, partitions: set[TP], offsets: Mapping[TP, int], fetched_under: Membership) -> None:
        self._transaction, self._batches, self._sender, self._unregistered = None, [], None, set()
        self.register(partitions)
        moved = {TP(*tp): offset for tp, offset in offsets.items()}
        self._fence = self._spawn("fence", self._move_offsets(moved, fetched_under))
        await turn("begin")

    async def _move_offsets(self, offsets: dict[TP, int], member: Membership) -> None:
        await self._add_partitions()
        await turn("TxnOffsetCommit")
        assert self._transaction is not None
        self._broker.add_offsets(self._epoch, self._transaction, offsets, member)
        await turn("TxnOffsetCommit's answer")

    async def _add_partitions(self) -> None:
        await until("markers of the transaction before", lambda: self._broker.free(self._id) or bool(self._transaction))
        self._transaction = self._broker.add_partitions(self._id, self._epoch, self._unregistered)
        self._unregistered = set()
        await turn("AddPartitionsToTxn's answer")

    async def fenced(self) -> None:
        """Raises MemberFenced, or ProducerFenced."""
        assert self._fence is not None
        await _end_of(self._fence)

    async def write(self, topic: str, partition: int, records: Iterable[Record]) -> Batch:
        """On their way; partitions are independent of each other."""
        batch = Batch(TP(topic, partition), list(records))
        self._batches.append(batch)
        if self._sender is None or self._sender.done:
            self._sender = self._spawn("sender", self._send())
        await turn("send_batch")
        return batch

    async def _send(self) -> None:
        while self._batches:
            heads = {batch.tp: batch for batch in reversed(self._batches)}
            batch = heads[self._schedule.choose(sorted(heads))]
            if self._unregistered:
                await self._add_partitions()
            assert self._transaction is not None
            batch.offset = self._broker.append(self._epoch, self._transaction, batch.tp, batch.records)
            self._batches.remove(batch)
            await turn("Produce")

    async def commit(self) -> None:
        """After it returns the transaction is committed; after an exception nobody knows."""
        if self._sender is not None:
            await _end_of(self._sender)
        await self.fenced()
        await self._end(commit=True)

    async def abort(self) -> None:
        """Undo everything since `begin`."""
        assert self._fence is not None
        await until("fence", lambda: self._fence is None or self._fence.done)
        if self._fence.error is not None and not isinstance(self._fence.error, MemberFenced):
            raise self._fence.error
        await self._end(commit=False)

    async def _end(self, commit: bool) -> None:
        await turn("EndTxn")
        if self._schedule.chance(LOST):
            self._schedule.note("  EndTxn is lost")
            raise KafkaTimeoutError
        if self._transaction is not None:
            self._broker.end(self._epoch, self._transaction, commit)
        if self._schedule.chance(LOST):
            self._schedule.note("  EndTxn's answer is lost")
            raise KafkaTimeoutError
        await turn("EndTxn's answer")


async def _end_of(activity: Activity) -> None:
    await until(activity.name, lambda: activity.done)
    if activity.error is not None:
        raise activity.error
