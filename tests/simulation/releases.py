"""Decisions outside of transactions, with the interface of topics.transport.release and over the broker in memory."""

from __future__ import annotations

from asyncio import CancelledError
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka.errors import KafkaTimeoutError
from faust.types import TP

from tests.simulation.broker import Broker, Log, Record, Transaction
from tests.simulation.consumer import Client
from tests.simulation.producer import Spawn, end_of
from tests.simulation.schedule import Schedule
from tests.simulation.turns import turn, until
from topics.declarations import AUTHORIZATION_DECISIONS
from topics.transport import redo
from topics.transport.redo import Work
from topics.transport.release import Redo

LOST = {"Produce": 0.01, "Produce's answer": 0.01}
LOST_ELSE = 0.001
"""How often a request, or its answer, does not arrive"""
A_STEP = 0.1
"""How often a request that fences is told as a step: there are a dozen in each assignment"""
RENEWED = 0.02
"""How often it is time to renew the fence"""


class Batch(NamedTuple):
    """Of one partition: all of it is appended at once, or nothing."""

    epoch: int
    records: Sequence[Record]
    header: bytes


class Releases:
    """Requests take a turn on the way there and one on the way back; a worker may die or freeze between any two."""

    topic = AUTHORIZATION_DECISIONS.name

    def __init__(
        self, broker: Broker, schedule: Schedule, spawn: Spawn, step: Callable[[str], None], most: int
    ) -> None:
        """`step` is told before some of the requests that fence. `most`: records in a batch and in what follows from
        it, together."""
        self.assignment = self._owner = 0  # the group's, by which owners of a partition are told apart
        self._broker = broker
        self._schedule = schedule
        self._spawn = spawn
        self._step = step
        self._most = most
        self._senders: dict[int, int] = {}
        self.fencing: dict[int, Transaction] = {}  # those that are about to be ended, by partition

    async def take_over(self, partitions: Iterable[int]) -> None:
        """Become the only one whose batches these partitions take."""
        self._owner = self.assignment
        senders: dict[int, int] = {}
        fences = [self._spawn("fence of releases", self._fence(each, senders)) for each in sorted(partitions)]
        try:
            for fence in fences:
                await end_of(fence)
        except CancelledError:
            for fence in fences:
                fence.cancel()
            raise
        self._senders = senders

    async def _fence(self, partition: int, senders: dict[int, int]) -> None:
        await self._mark(partition, await self._become(partition))
        senders[partition] = await self._become(partition)

    async def _become(self, partition: int) -> int:
        name, epoch = _name(partition), None
        while epoch is None:
            await until("markers of the transaction before", lambda: not self._broker.is_ending(name))
            await self._travel("InitProducerId", "fence")
            epoch = self._broker.become(name)
            await self._travel("InitProducerId's answer")
        return epoch

    async def _mark(self, partition: int, epoch: int) -> None:
        name, place = _name(partition), TP(self.topic, partition)
        await until("markers of the transaction before", lambda: not self._broker.is_ending(name))
        await self._travel("AddPartitionsToTxn", "fence")
        self.fencing[partition] = transaction = self._broker.add_partitions(name, epoch, {place})
        await self._travel("AddPartitionsToTxn's answer")
        await self._travel("EndTxn", "fence")
        self._broker.end(epoch, transaction, commit=False)
        await self._travel("EndTxn's answer")

    async def keep(self) -> None:
        """Renew the fence, now and then."""
        if self._schedule.happens(RENEWED):
            for partition, epoch in self._senders.items():
                await self._mark(partition, epoch)

    async def read(self, starts: Mapping[int, int | None]) -> tuple[dict[int, list[Redo]], dict[int, int]]:
        """What follows from the batches behind `starts`, and where each partition ends now."""
        found: defaultdict[int, list[Redo]] = defaultdict(list)
        ends: dict[int, int] = {}
        for partition in sorted(starts):
            await self._travel("ListOffsets")
            ends[partition] = self._log(partition).end()
            self._log(partition).owner = max(self._log(partition).owner, self._owner)
            await self._travel("ListOffsets' answer")
        for partition, start in starts.items():
            position = ends[partition] if start is None else start
            while position < ends[partition]:
                await self._travel("Fetch")
                to = self._schedule.between(position + 1, ends[partition])
                entries = enumerate(self._log(partition).entries[position:to], position)
                found[partition] += [(offset, redo.decode(each.header)) for offset, each in entries if each.header]
                position = to
                await self._travel("Fetch's answer")
        self._broker.found += sum(map(len, found.values()))
        return dict(found), ends

    def pack(self, partition: int, decisions: Sequence[Record], works: Sequence[Work]) -> Batch | None:
        """One batch, with what follows from it; None if it would be too large."""
        if len(decisions) + sum(work.size for work in works) > self._most:
            return None
        return Batch(self._senders[partition], decisions, redo.encode(works))

    async def send(self, batches: Mapping[int, Batch]) -> dict[int, int]:
        """The offset behind each partition's batch. Leaders take them in any order, and a worker may die in between.
        Raises ProducerFenced."""
        behind = {}
        waiting = dict(batches)
        while waiting:
            partition = self._schedule.choose(sorted(waiting))
            batch = waiting.pop(partition)
            await self._travel("Produce")
            behind[partition] = self._append(partition, batch) + 1
            await self._travel("Produce's answer")
        return behind

    def _append(self, partition: int, batch: Batch) -> int:
        """Behind what an owner has read nobody may write who had the partition before, whatever comes of it."""
        log = self._log(partition)
        last = log.append_batch(_name(partition), *batch)
        self._broker.released += 1
        assert self._owner >= log.owner, f"a batch is taken from who had partition {partition} before"
        return last

    async def _travel(self, what: str, step: str = "") -> None:
        """Of a request or an answer, which may be lost: then the worker ends."""
        if step and self._schedule.happens(A_STEP):
            self._step(step)
        await turn(what)
        if self._schedule.chance(LOST.get(what, LOST_ELSE)):
            self._schedule.note(f"  {what} is lost")
            raise KafkaTimeoutError

    def _log(self, partition: int) -> Log:
        return self._broker.logs[TP(self.topic, partition)]


def _name(partition: int) -> str:
    return f"{Client.group_id}-release.{partition}"
