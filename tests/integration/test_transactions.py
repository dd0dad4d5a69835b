"""The fenced transaction on a real broker: each test fails without the fix it is about (topics/transport/)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import MessageSizeTooLargeError

from tests.support.topics import make_topics
from topics.cluster import Cluster
from topics.transport import fencing
from topics.transport.batches import Record
from topics.transport.fencing import MemberFenced, Membership, membership, require_stable_offsets
from topics.transport.transaction import Transactions


async def write(transactions: Transactions, tp: TopicPartition, records: list[Record]) -> int:
    """The last record's offset."""
    return (await transactions.write(transactions.pack({tp: records})))[tp]


class Stage:
    """Topics, a group and a member of it, of one test."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.source, self.target, self.group = f"{prefix}in", f"{prefix}out", f"{prefix}group"
        self.narrow = f"{prefix}narrow"  # takes no batch of more than 500 bytes

    async def prepare(self) -> None:
        narrow = NewTopic(self.narrow, 1, 1, topic_configs={"max.message.bytes": "500"})
        await make_topics(self.bootstrap, NewTopic(self.source, 1, 1), NewTopic(self.target, 2, 1), narrow)

    @asynccontextmanager
    async def member(self, stable: bool = True) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.group, enable_auto_commit=False,
            auto_offset_reset="earliest", isolation_level="read_committed", session_timeout_ms=6000,
        )  # fmt: skip
        await consumer.start()
        if stable:
            require_stable_offsets(consumer)
        try:
            consumer.subscribe([self.source])
            await consumer._subscription.wait_for_assignment()
            yield consumer
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def transactions(self, name: str = "producer") -> AsyncIterator[Transactions]:
        transactions = Transactions(Cluster(self.bootstrap), f"{self.group}-{name}", self.group, timeout_ms=10_000)
        await transactions.start()
        try:
            yield transactions
        finally:
            await transactions.stop()

    async def attempt(self, transactions: Transactions, value: bytes, offset: int, member: Membership) -> None:
        """One whole transaction: a record and an offset."""
        target = TopicPartition(self.target, 0)
        await transactions.begin({target}, {TopicPartition(self.source, 0): offset}, member)
        await write(transactions, target, [(None, value)])
        await transactions.commit()

    async def visible(self) -> list[bytes]:
        """Everything committed on the target topic, once no transaction on it is open."""
        partitions = [TopicPartition(self.target, number) for number in range(2)]
        async with self._reader("read_uncommitted") as reader:
            ends = await reader.end_offsets(partitions)
        values = []
        async with self._reader("read_committed") as reader, asyncio.timeout(30):
            reader.assign(partitions)
            while any([await reader.position(tp) < ends[tp] for tp in partitions]):
                for records in (await reader.getmany(timeout_ms=200)).values():
                    values += [record.value for record in records]
        return values

    @asynccontextmanager
    async def _reader(self, isolation: str) -> AsyncIterator[AIOKafkaConsumer]:
        reader = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level=isolation, auto_offset_reset="earliest"
        )
        await reader.start()
        try:
            yield reader
        finally:
            await reader.stop()


@pytest.fixture
async def stage(kafka: str, topic_prefix: str) -> Stage:
    stage = Stage(kafka, topic_prefix)
    await stage.prepare()
    return stage


async def test_the_current_member_commits_records_and_offsets_together(stage: Stage) -> None:
    async with stage.member() as consumer, stage.transactions() as transactions:
        await stage.attempt(transactions, b"first", 7, membership(consumer))
        assert await stage.visible() == [b"first"]
        assert await consumer.committed(TopicPartition(stage.source, 0)) == 7


@pytest.mark.parametrize("stale", ["generation", "member"])
async def test_f14_a_stale_member_is_refused_and_what_it_wrote_is_never_seen(stage: Stage, stale: str) -> None:
    async with stage.member() as consumer, stage.transactions() as transactions:
        current = membership(consumer)
        old = (
            current._replace(generation=current.generation - 1)
            if stale == "generation"
            else current._replace(member_id="gone")
        )
        with pytest.raises(MemberFenced):
            await stage.attempt(transactions, b"stale", 7, old)
        await transactions.abort()
        assert await stage.visible() == []
        assert await consumer.committed(TopicPartition(stage.source, 0)) is None


async def test_what_was_aborted_is_not_published_by_the_next_commit(stage: Stage) -> None:
    """aiokafka forgets an errored transaction's partitions, sends no EndTxn, and the next commit publishes the lot."""
    async with stage.member() as consumer, stage.transactions() as transactions:
        current = membership(consumer)
        await _write_then_be_fenced(stage, transactions, current)
        await transactions.abort()
        await stage.attempt(transactions, b"good", 8, current)
        assert await stage.visible() == [b"good"]


async def _write_then_be_fenced(stage: Stage, transactions: Transactions, current: Membership) -> None:
    """A record reaches the broker, then the group coordinator refuses the offsets."""
    target = TopicPartition(stage.target, 0)
    await transactions.begin({target}, {TopicPartition(stage.source, 0): 7}, current._replace(member_id="gone"))
    with pytest.raises(MemberFenced):
        await write(transactions, target, [(None, b"aborted")])


@pytest.mark.parametrize("refused_first", [True, False])
async def test_nothing_is_committed_when_the_broker_refuses_a_part(stage: Stage, refused_first: bool) -> None:
    """Neither the rest of its records nor its offsets, and what was refused uses up no sequence number."""
    wide, narrow = (stage.target, b"the rest"), (stage.narrow, b"x" * 1000)
    source = TopicPartition(stage.source, 0)
    async with stage.member() as consumer, stage.transactions() as transactions:
        places = {TopicPartition(stage.target, 0), TopicPartition(stage.narrow, 0)}
        await transactions.begin(places, {source: 7}, membership(consumer))
        parts = dict([narrow, wide] if refused_first else [wide, narrow])
        with pytest.raises(MessageSizeTooLargeError):
            await transactions.write(
                transactions.pack({TopicPartition(topic, 0): [(None, value)] for topic, value in parts.items()})
            )
        await transactions.abort()
        await stage.attempt(transactions, b"next", 8, membership(consumer))
        assert await stage.visible() == [b"next"]
        assert await consumer.committed(source) == 8


async def test_committed_offsets_wait_for_an_open_transaction_that_may_still_move_them(stage: Stage) -> None:
    """Without require_stable a new owner starts from the old offset while the frozen owner's commit is pending."""
    source = TopicPartition(stage.source, 0)
    async with stage.member() as consumer, stage.transactions() as transactions:
        await stage.attempt(transactions, b"first", 7, membership(consumer))
        await transactions.begin({TopicPartition(stage.target, 0)}, {source: 9}, membership(consumer))
        await write(transactions, TopicPartition(stage.target, 0), [(None, b"second")])
        asked = asyncio.create_task(consumer.committed(source))
        done, _pending = await asyncio.wait([asked], timeout=1)
        assert not done, "the offset is unstable, no answer may be given yet"
        await transactions.commit()
        assert await asked == 9


async def test_a_transaction_of_a_worker_is_waited_for_however_long_it_takes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fencing, "NOBODYS_S", 0.1)
    async with stage.member() as consumer, stage.transactions() as transactions:
        asked = await _ask_while_one_is_open(stage, consumer, transactions)
        done, _pending = await asyncio.wait([asked], timeout=2)
        assert not done
        await transactions.commit()
        assert await asked == 9


async def test_offsets_that_no_transaction_can_move_are_taken_as_they_are(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a restart of Kafka 4.3.1 that has lost the end of one: here it is one that no worker can have begun."""
    monkeypatch.setattr(fencing, "NOBODYS_S", 1.0)
    async with stage.member() as consumer, stage.transactions() as mine:
        await stage.attempt(mine, b"first", 7, membership(consumer))
        nobody = Transactions(Cluster(stage.bootstrap), f"nobody-{stage.group}", stage.group, timeout_ms=60_000)
        await nobody.start()
        try:
            asked = await _ask_while_one_is_open(stage, consumer, nobody)
            done, _pending = await asyncio.wait([asked], timeout=0.5)
            assert not done, "it may be about to end"
            assert await asyncio.wait_for(asked, 20) == 7
            assert "transactions that do not exist" in caplog.text
            await stage.attempt(mine, b"second", 8, membership(consumer))
            assert await asyncio.wait_for(consumer.committed(TopicPartition(stage.source, 0)), 20) == 8
        finally:
            await nobody.abort()
            await nobody.stop()


async def _ask_while_one_is_open(
    stage: Stage, consumer: AIOKafkaConsumer, transactions: Transactions
) -> asyncio.Task[int | None]:
    source = TopicPartition(stage.source, 0)
    await transactions.begin({TopicPartition(stage.target, 0)}, {source: 9}, membership(consumer))
    await write(transactions, TopicPartition(stage.target, 0), [(None, b"open")])
    return asyncio.create_task(consumer.committed(source))


async def test_stock_offset_fetch_answers_at_once_with_the_old_offset(stage: Stage) -> None:
    """The fault that the stable fetch mends, shown on the same broker."""
    source = TopicPartition(stage.source, 0)
    async with stage.member(stable=False) as consumer, stage.transactions() as transactions:
        await stage.attempt(transactions, b"first", 7, membership(consumer))
        await transactions.begin({TopicPartition(stage.target, 0)}, {source: 9}, membership(consumer))
        await write(transactions, TopicPartition(stage.target, 0), [(None, b"second")])
        assert await asyncio.wait_for(consumer.committed(source), 5) == 7
        await transactions.abort()


async def test_a_second_producer_with_the_same_id_fences_the_first(stage: Stage) -> None:
    async with stage.member() as consumer, stage.transactions() as first:
        current = membership(consumer)
        await first.begin({TopicPartition(stage.target, 0)}, {TopicPartition(stage.source, 0): 5}, current)
        await write(first, TopicPartition(stage.target, 0), [(None, b"of the first")])
        async with stage.transactions() as second:
            with pytest.raises(Exception, match=r"(?i)fenced|epoch|newer producer|aborted"):
                await first.commit()
            await stage.attempt(second, b"of the second", 6, current)
            assert await stage.visible() == [b"of the second"]


async def test_large_slices_are_split_into_batches_and_the_last_offset_is_known(stage: Stage) -> None:
    rows = [(b"key-%d" % number, b"x" * 2000) for number in range(2000)]
    async with stage.member() as consumer, stage.transactions() as transactions:
        await transactions.begin(
            {TopicPartition(stage.target, 0)}, {TopicPartition(stage.source, 0): 1}, membership(consumer)
        )
        assert await write(transactions, TopicPartition(stage.target, 0), rows) == 1999
        await transactions.commit()
        assert len(await stage.visible()) == 2000


async def test_registering_before_writing_needs_no_retry(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Records sent while the coordinator appends a registration are answered NOT_ENOUGH_REPLICAS and sent again."""
    caplog.set_level(logging.WARNING, logger="topics.transport")
    async with stage.member() as consumer, stage.transactions() as transactions:
        for number in range(101):
            if number == 1:
                caplog.clear()  # the topic was so young that its leader may not have known it yet
            both = {TopicPartition(stage.target, 0), TopicPartition(stage.target, 1)}
            await transactions.begin(both, {TopicPartition(stage.source, 0): number + 1}, membership(consumer))
            await transactions.write(transactions.pack({tp: [(None, b"x")] for tp in both}))
            await transactions.commit()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("topics.")] == []
