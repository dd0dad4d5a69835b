"""What a dead worker left open is ended by the next owner of its partitions, and nothing else is."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.integration.test_transactions import Stage, stage
from topics.cluster import Cluster
from topics.transport import inheritance
from topics.transport.fencing import membership
from topics.transport.inheritance import end_what_the_dead_left_open
from topics.transport.transaction import Transactions

__all__ = ["stage"]  # the fixture


async def leave_open(stage: Stage, transactions: Transactions, consumer: AIOKafkaConsumer) -> None:
    """A transaction with an offset and a record, as of a worker that is killed before its commit."""
    target = TopicPartition(stage.target, 0)
    await transactions.begin({target}, {TopicPartition(stage.source, 0): 9}, membership(consumer))
    await transactions.write(transactions.pack({target: [(None, b"of the dead")]}))


async def test_the_next_owner_ends_it_and_knows_offsets_and_records_at_once(stage: Stage) -> None:
    """Left to its timeout, the transaction of this test would stay open for longer than the offsets are waited for."""
    async with stage.member() as consumer, stage.transactions("dead") as dead:
        await leave_open(stage, dead, consumer)
        ended = await end_what_the_dead_left_open(consumer, {TopicPartition(stage.target, 0)})
        assert ended == [f"{stage.group}-dead"]
        assert await asyncio.wait_for(consumer.committed(TopicPartition(stage.source, 0)), 5) is None
        assert await stage.visible() == []
        with pytest.raises(Exception, match=r"(?i)fenced|epoch|newer producer|aborted"):
            await dead.commit()
        async with stage.transactions("alive") as alive:
            await stage.attempt(alive, b"of the living", 10, membership(consumer))
        assert await stage.visible() == [b"of the living"]


async def test_work_on_other_partitions_is_left_alone(stage: Stage) -> None:
    async with stage.member() as consumer, stage.transactions("alive") as alive:
        await leave_open(stage, alive, consumer)
        assert await end_what_the_dead_left_open(consumer, {TopicPartition(stage.target, 1)}) == []
        await alive.commit()
        assert await stage.visible() == [b"of the dead"]


async def test_a_member_that_the_group_does_not_count_any_more_ends_nothing(stage: Stage) -> None:
    async with stage.member() as consumer, stage.transactions("alive") as alive:
        await leave_open(stage, alive, consumer)
        consumer._coordinator.generation += 1
        assert await end_what_the_dead_left_open(consumer, {TopicPartition(stage.target, 0)}) == []
        consumer._coordinator.generation -= 1
        await alive.commit()
        assert await stage.visible() == [b"of the dead"]


async def test_a_worker_that_is_started_again_meanwhile_is_not_fenced(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the dead one's name, and has ended what that left open, between the look for it and its end."""
    async with stage.member() as consumer, stage.transactions("dead") as dead:
        await leave_open(stage, dead, consumer)
        again = Transactions(Cluster(stage.bootstrap), f"{stage.group}-dead", stage.group, timeout_ms=10_000)

        async def is_current(_coordinator: object) -> bool:
            await again.start()
            return True

        monkeypatch.setattr(inheritance, "_is_current", is_current)
        await end_what_the_dead_left_open(consumer, {TopicPartition(stage.target, 0)})
        await stage.attempt(again, b"of the new one", 10, membership(consumer))
        await again.stop()
        assert await stage.visible() == [b"of the new one"]
