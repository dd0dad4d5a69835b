"""Decisions outside of transactions on a real broker: what fences an owner that is gone, and what the next one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import ProducerFenced

from tests.support.topics import make_topics
from topics.cluster import Cluster
from topics.transport.fencing import membership
from topics.transport.redo import Work
from topics.transport.release import Releases
from topics.transport.transaction import Transactions


def work(number: int) -> Work:
    return Work({"in": number}, [(b"key", b"row-%d" % number)], {"entries": [(None, b"entry-%d" % number)]})


class Stage:
    """A topic of decisions with two partitions, and a group, of one test."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.source, self.topic, self.group = f"{prefix}in", f"{prefix}decisions", f"{prefix}group"

    @asynccontextmanager
    async def releases(self, *partitions: int) -> AsyncIterator[Releases]:
        """Those of a worker that has just taken the partitions over."""
        releases = Releases(Cluster(self.bootstrap), self.topic, self.group)
        await releases.start()
        try:
            await releases.take_over(partitions)
            yield releases
        finally:
            await releases.stop()

    async def seen(self, count: int) -> list[bytes]:
        """The first `count` decisions of both partitions that readers of committed records get, then what else comes
        within half a second."""
        reader = AIOKafkaConsumer(
            self.topic, bootstrap_servers=self.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await reader.start()
        values: list[bytes] = []
        try:
            async with asyncio.timeout(30):
                while len(values) < count:
                    records = await reader.getmany(timeout_ms=200)
                    values += [record.value or b"" for each in records.values() for record in each]
            records = await reader.getmany(timeout_ms=500)
            return values + [record.value or b"" for each in records.values() for record in each]
        finally:
            await reader.stop()


@pytest.fixture
async def stage(kafka: str, topic_prefix: str) -> Stage:
    stage = Stage(kafka, topic_prefix)
    await make_topics(kafka, NewTopic(stage.source, 1, 1), NewTopic(stage.topic, 2, 1))
    return stage


async def release(releases: Releases, partition: int, value: bytes, *works: Work) -> int:
    """The offset behind it."""
    batch = releases.pack(partition, [(b"key", value)], works)
    assert batch is not None
    return (await releases.send({partition: batch}))[partition]


async def test_decisions_are_seen_at_once_and_what_follows_from_them_is_found(stage: Stage) -> None:
    async with stage.releases(0, 1) as releases:
        first = await release(releases, 0, b"first", work(1))
        second = await release(releases, 0, b"second", work(2), work(3))
        await release(releases, 1, b"other", work(4))
        assert sorted(await stage.seen(3)) == [b"first", b"other", b"second"]
        found, ends = await releases.read({0: 0, 1: None})
        assert [works for _offset, works in found[0]] == [[work(1)], [work(2), work(3)]]
        assert set(found) == {0}, "of partition 1 only the end was asked for"
        assert [offset + 1 for offset, _works in found[0]] == [first, second]
        assert ends[0] == second
        assert ends[1] > 0
        later, _ends = await releases.read({0: first})
        assert [works for _offset, works in later[0]] == [[work(2), work(3)]]


async def test_many_batches_are_read_to_the_end(stage: Stage) -> None:
    async with stage.releases(0) as releases:
        for number in range(300):
            await release(releases, 0, b"x" * 1000, work(number))
        found, _ends = await releases.read({0: 0})
        assert [works for _offset, works in found[0]] == [[work(number)] for number in range(300)]


async def test_behind_the_last_batch_are_only_markers_that_nobody_sees(stage: Stage) -> None:
    async with stage.releases(0) as releases:
        end = await release(releases, 0, b"first", work(1))
    async with stage.releases(0) as releases:
        found, ends = await asyncio.wait_for(releases.read({0: end}), 20)
        assert found.get(0, []) == []
        assert ends[0] > end
        assert await stage.seen(1) == [b"first"]


@pytest.mark.parametrize("has_written", [True, False])
async def test_the_batch_of_an_owner_that_is_gone_is_refused(stage: Stage, has_written: bool) -> None:
    async with stage.releases(0, 1) as old:
        if has_written:
            await release(old, 0, b"in time", work(1))
        batch = old.pack(0, [(b"key", b"too late")], [work(2)])
        async with stage.releases(0) as new:
            found, _ends = await new.read({0: 0})
            assert [works for _offset, works in found.get(0, [])] == ([[work(1)]] if has_written else [])
            assert batch is not None
            with pytest.raises(ProducerFenced):
                await old.send({0: batch})
            await release(new, 0, b"of the new one", work(2))
            await release(old, 1, b"of what it still has", work(3))
            expected = [b"in time"] * has_written + [b"of the new one", b"of what it still has"]
            assert sorted(await stage.seen(len(expected))) == sorted(expected)


async def test_the_fence_stands_before_the_new_owner_has_written_anything(stage: Stage) -> None:
    """A new epoch alone would fence nobody: partitions learn of it from what is written to them."""
    async with stage.releases(0) as old:
        await release(old, 0, b"in time", work(1))
        async with stage.releases(0):
            with pytest.raises(ProducerFenced):
                await release(old, 0, b"too late", work(2))
            assert await stage.seen(1) == [b"in time"]


async def test_a_partition_may_come_again_and_again(stage: Stage) -> None:
    async with stage.releases(0) as releases:
        for number in range(3):
            await release(releases, 0, b"decision-%d" % number, work(number))
            await releases.take_over([0, 1])
        assert await stage.seen(3) == [b"decision-0", b"decision-1", b"decision-2"]


async def test_decisions_that_a_transaction_has_say_nothing_of_what_follows(stage: Stage) -> None:
    """Whether it was committed or aborted: what follows is in the same transaction."""
    tp, source = TopicPartition(stage.topic, 0), TopicPartition(stage.source, 0)
    member = AIOKafkaConsumer(stage.source, bootstrap_servers=stage.bootstrap, group_id=stage.group)
    await member.start()  # waits for its partitions
    transactions = Transactions(Cluster(stage.bootstrap), f"{stage.group}-worker", stage.group, 10_000)
    await transactions.start()
    try:
        async with stage.releases(0) as releases:
            for end in (transactions.commit, transactions.abort):
                await transactions.begin({tp}, {source: 1}, membership(member))
                await transactions.write(transactions.pack({tp: [(b"key", b"by transaction")]}))
                await end()
            last = await release(releases, 0, b"released", work(1))
            found, ends = await releases.read({0: 0})
            assert [works for _offset, works in found[0]] == [[work(1)]]
            assert ends[0] >= last, "the marker of the abort may come after it"
            assert await stage.seen(2) == [b"by transaction", b"released"]
    finally:
        await transactions.stop()
        await member.stop()
