"""The worker's transactions, with the interface of topics.transport.transaction and over the broker in memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError
from faust.types import TP

from tests.simulation.broker import Broker, Record, Transaction
from tests.simulation.schedule import Schedule
from tests.simulation.turns import Activity, turn, until
from topics.transport.fencing import MemberFenced, Membership

Spawn = Callable[[str, Coroutine[Any, Any, Any]], Activity]
LOST = 0.01
"""How often the request that ends a transaction, or its answer, does not arrive"""


Records = Mapping[TP, Sequence[Record]]
"""What is to be written to each partition, in order"""


class Transactions:
    """One at a time. Requests travel in activities of their own; a worker may die or freeze between any two."""

    def __init__(
        self, broker: Broker, transactional_id: str, schedule: Schedule, spawn: Spawn, step: Callable[[str], None]
    ) -> None:
        """`step` is told when the coordinator has the offsets, which is between any two of the records."""
        self._broker = broker
        self.name = transactional_id
        self._schedule = schedule
        self._spawn = spawn
        self._step = step
        self._epoch = -1
        self._transaction: Transaction | None = None
        self._registered: set[TP] = set()
        self._announced: Activity | None = None
        self._fence: Activity | None = None

    async def start(self) -> None:
        """Become the one producer of this name: an open transaction of the predecessor is aborted first."""
        await turn("InitProducerId")
        self._epoch = self._broker.init_producer(self.name)
        await until("the predecessor's markers", lambda: self._broker.free(self.name))

    async def begin(self, partitions: set[TP], offsets: Mapping[TP, int], fetched_under: Membership) -> None:
        self._transaction, self._registered = None, set()
        moved = {TP(*tp): offset for tp, offset in offsets.items()}
        self._announced = self._spawn("announced", self._register({TP(*tp) for tp in partitions}))
        self._fence = self._spawn("fence", self._join(self._announced, moved, fetched_under))
        await turn("begin")

    async def _join(self, announced: Activity, offsets: dict[TP, int], member: Membership) -> None:
        await end_of(announced)
        await turn("TxnOffsetCommit")
        assert self._transaction is not None
        self._broker.add_offsets(self._epoch, self._transaction, offsets, member)
        self._step("offsets")
        await turn("TxnOffsetCommit's answer")

    async def _register(self, partitions: set[TP]) -> None:
        if not partitions - self._registered:
            return
        await until(
            "markers of the transaction before", lambda: self._broker.free(self.name) or bool(self._transaction)
        )
        self._transaction = self._broker.add_partitions(self.name, self._epoch, partitions - self._registered)
        self._registered |= partitions
        await turn("AddPartitionsToTxn's answer")

    def pack(self, records: Mapping[Any, Iterable[Record]]) -> Records:
        """As they will be sent."""
        return {TP(*tp): list(each) for tp, each in records.items()}

    async def write(self, packed: Records) -> dict[TopicPartition, int]:
        """The offsets of the last records. Leaders take them in any order, and a worker may die in between; the answer
        to the source offsets comes at any time. Raises MemberFenced, or ProducerFenced."""
        assert self._announced is not None
        assert self._fence is not None
        await end_of(self._announced)
        await self._register(set(packed))
        last = {}
        waiting = dict(packed)
        while waiting:
            await turn("Produce")
            tp = self._schedule.choose(sorted(waiting))
            assert self._transaction is not None
            last[TopicPartition(*tp)] = self._broker.append(self._epoch, self._transaction, tp, list(waiting.pop(tp)))
            await turn("Produce's answer")
        await end_of(self._fence)
        return last

    async def commit(self) -> None:
        """After it returns the transaction is committed; after an exception nobody knows."""
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


async def end_of(activity: Activity) -> None:
    await until(activity.name, lambda: activity.done)
    if activity.error is not None:
        raise activity.error
