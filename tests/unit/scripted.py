"""In place of a broker: answers from a script, and what a transaction did as a list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from topics.transport import batches, coordinators
from topics.transport.batches import Record
from topics.transport.fencing import Membership
from topics.transport.wire import (
    AddOffsets,
    AddPartitions,
    CommitOffsets,
    EndTransaction,
    OffsetsCommitted,
    OneCode,
    PartitionsAdded,
    Produce,
    Produced,
)

HERE = TopicPartition("out", 0)
THERE = TopicPartition("out", 1)


def become(producer_id: int, epoch: int, code: int = 0) -> Any:
    """The answer to who asks for a producer id."""
    return SimpleNamespace(error_code=code, producer_id=producer_id, producer_epoch=epoch)


def taken(**offsets: int) -> Produced:
    """The answer to batches: the offset of the first record of what was taken."""
    places = {"here": HERE, "there": THERE}
    return Produced({places[name]: (0, offset) for name, offset in offsets.items()})


class Client:
    """In place of aiokafka's: answers each kind of request from its script, the last answer for ever; an exception in
    it is raised."""

    def __init__(self) -> None:
        self.script: dict[type, list[Any]] = {
            InitProducerIdRequest: [become(5, 0)],
            AddPartitions: [PartitionsAdded({})], AddOffsets: [OneCode({"": 0})],
            CommitOffsets: [OffsetsCommitted({})], EndTransaction: [OneCode({"": 0})],
        }  # fmt: skip
        self.sent: list[tuple[Any, Any]] = []  # (node, request)
        self.lookups = self.metadata_updates = 0
        self.leaders = {HERE: 1, THERE: 1}
        self.cluster = SimpleNamespace(leader_for_partition=lambda tp: self.leaders[tp])

    async def bootstrap(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def coordinator_lookup(self, _kind: Any, _key: str) -> int:
        self.lookups += 1
        return 7

    async def send(self, node: int, request: Any, **_group: Any) -> Any:
        await asyncio.sleep(0)
        self.sent.append((node, request))
        script = self.script[type(request)]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def _sync_task(self) -> asyncio.Future[None]:
        """It runs for ever."""
        return asyncio.get_running_loop().create_future()

    async def force_metadata_update(self) -> None:
        self.metadata_updates += 1

    async def _wait_on_metadata(self, _topic: str) -> None:
        pass

    def kinds(self) -> list[str]:
        return [type(request).__name__ for _node, request in self.sent]

    def batches(self) -> list[list[Any]]:
        """Those of each request that had some, read as a broker would."""
        return [batches_of(request) for _node, request in self.sent if isinstance(request, Produce)]


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    for module in (batches, coordinators):
        for wait in ("BETWEEN_TRANSACTIONS_S", "RETRY_S", "AWAY_S"):
            monkeypatch.setattr(module, wait, 0.0, raising=False)


def batches_of(request: Produce) -> list[Any]:
    """As aiokafka reads them."""
    body = request.encode()
    found = []
    at = body.index(b"out") + 3 + 4
    while at < len(body):
        size = int.from_bytes(body[at + 4 : at + 8])
        found.append(parsed(body[at + 8 : at + 8 + size]))
        at += 8 + size
    return found


def parsed(content: bytes | bytearray) -> Any:
    """One batch."""
    records = MemoryRecords(bytes(content))
    batch = records.next_batch()
    assert records.next_batch() is None
    return batch


class Transactions:
    """With the interface of topics.transport.transaction: notes each step in `did`. `fail_at` makes a step raise, and
    steps wait for their `gate`."""

    def __init__(self, did: list[str]) -> None:
        self.did = did
        self.fail_at: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.announced: list[set[TopicPartition]] = []
        self.offsets: list[dict[TP, int]] = []
        self.members: list[Membership] = []
        self.written: list[dict[TopicPartition, list[Record]]] = []

    def hold(self, name: str) -> asyncio.Event:
        """A step waits until what is returned is set."""
        return self.gates.setdefault(name, asyncio.Event())

    async def _step(self, name: str) -> None:
        if name in self.gates:
            await self.gates.pop(name).wait()
        self.did.append(name)
        await asyncio.sleep(0)  # it travels
        if name in self.fail_at:
            raise self.fail_at[name]

    async def begin(
        self, partitions: set[TopicPartition], offsets: Mapping[TopicPartition, int], fetched_under: Membership
    ) -> None:
        self.announced.append(partitions)
        self.offsets.append({TP(*tp): offset for tp, offset in offsets.items()})
        self.members.append(fetched_under)
        await self._step("begin")

    def pack(self, records: Mapping[TopicPartition, Iterable[Record]]) -> dict[TopicPartition, list[Record]]:
        return {tp: list(each) for tp, each in records.items()}

    async def write(self, packed: dict[TopicPartition, list[Record]]) -> dict[TopicPartition, int]:
        self.written.append(packed)
        await self._step("write")
        return dict.fromkeys(packed, 41)

    async def commit(self) -> None:
        await self._step("commit")

    async def abort(self) -> None:
        await self._step("abort")
