"""A file of clearings in front of requests, on a real broker: what each poll brings."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import NewTopic

from tests.support.topics import make_topics
from topics.transport import rationing
from topics.transport.fetching import HeldFetcher, make_patient
from topics.transport.rationing import ALONE, BESIDE_REQUESTS, RationingFetcher

Polled = dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]
MOST = 1000


@dataclass(frozen=True, slots=True)
class Inputs:
    """Two topics of one partition each, of which one is rationed, and who reads them as a worker does."""

    consumer: AIOKafkaConsumer
    producer: AIOKafkaProducer
    requests: TopicPartition
    file: TopicPartition

    async def write(self, tp: TopicPartition, values: range) -> None:
        await asyncio.gather(*[await self.producer.send(tp.topic, b"%d" % value) for value in values])

    async def poll(self, seconds: float = 10) -> Polled:
        return await self.consumer._fetcher.fetched_records([self.requests, self.file], seconds, MOST)

    async def poll_a_part(self) -> Polled:
        """A poll that leaves a part of the file in the fetcher."""
        found = await self.poll()
        assert self.file in self.consumer._fetcher._records
        return found


@pytest.fixture
def rationed(topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic `file` comes by the file."""
    monkeypatch.setattr(rationing, "RATIONED", {f"{topic_prefix}file"})


@asynccontextmanager
async def inputs(kafka: str, prefix: str, kind: type[HeldFetcher] = RationingFetcher) -> AsyncIterator[Inputs]:
    tps = TopicPartition(f"{prefix}requests", 0), TopicPartition(f"{prefix}file", 0)
    await make_topics(kafka, *(NewTopic(tp.topic, 1, 1) for tp in tps))
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", fetch_max_wait_ms=5)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=5)
    await consumer.start()
    await producer.start()
    try:
        make_patient(consumer, kind=kind)
        yield Inputs(consumer, producer, *tps)
    finally:
        await producer.stop()
        await consumer.stop()


def values(polled: Polled, tp: TopicPartition) -> list[int]:
    return [int(record.value) for record in polled.get(tp, [])]


@pytest.mark.usefixtures("rationed")
async def test_a_slice_has_every_request_and_a_ration_of_the_file(kafka: str, topic_prefix: str) -> None:
    async with inputs(kafka, topic_prefix) as given:
        await given.write(given.file, range(300))
        await given.write(given.requests, range(25))
        given.consumer.assign([given.requests, given.file])
        async with asyncio.timeout(10):
            while {given.requests, given.file} - given.consumer._fetcher._records.keys():
                await given.consumer._fetcher._something_came(1)
        first = await given.poll()
        assert values(first, given.requests) == list(range(25))
        assert values(first, given.file) == list(range(BESIDE_REQUESTS))


@pytest.mark.usefixtures("rationed")
async def test_a_request_is_fetched_and_handed_out_while_most_of_a_file_waits(kafka: str, topic_prefix: str) -> None:
    async with inputs(kafka, topic_prefix) as given:
        await given.write(given.file, range(300))
        given.consumer.assign([given.requests, given.file])
        seen = values(await given.poll_a_part(), given.file)
        assert len(seen) == ALONE
        await given.write(given.requests, range(1))
        polls = 0
        while True:
            polled = await given.poll()
            polls += 1
            seen += values(polled, given.file)
            if given.requests in polled:
                break
        assert polls <= 3, "the fetch that travelled already may come back first"
        assert len(seen) < 300
        while len(seen) < 300:
            seen += values(await given.poll(), given.file)
        assert seen == list(range(300)), "nothing is lost, repeated or out of order"


async def test_without_rations_a_file_that_waits_is_handed_out_whole(kafka: str, topic_prefix: str) -> None:
    async with inputs(kafka, topic_prefix, HeldFetcher) as given:
        await given.write(given.file, range(300))
        given.consumer.assign([given.requests, given.file])
        assert len(values(await given.poll(), given.file)) == 300


@pytest.mark.usefixtures("rationed")
async def test_a_file_alone_goes_on_in_larger_steps_until_it_is_done(kafka: str, topic_prefix: str) -> None:
    async with inputs(kafka, topic_prefix) as given:
        await given.write(given.file, range(200))
        given.consumer.assign([given.requests, given.file])
        seen, sizes = [], Counter[int]()
        while len(seen) < 200:
            records = values(await given.poll(), given.file)
            sizes[len(records)] += 1
            seen += records
        assert seen == list(range(200))
        assert max(sizes) == ALONE
        assert not await given.poll(0.05)


@pytest.mark.usefixtures("rationed")
async def test_what_was_left_is_fetched_again_after_a_seek(kafka: str, topic_prefix: str) -> None:
    async with inputs(kafka, topic_prefix) as given:
        await given.write(given.file, range(100))
        given.consumer.assign([given.requests, given.file])
        await given.poll_a_part()
        given.consumer.seek(given.file, 10)
        seen: list[int] = []
        while len(seen) < 90:
            seen += values(await given.poll(), given.file)
        assert seen == list(range(10, 100))


@pytest.mark.usefixtures("rationed")
async def test_a_restore_takes_all_that_was_fetched(kafka: str, topic_prefix: str) -> None:
    async with inputs(kafka, topic_prefix) as given:
        await given.write(given.file, range(300))
        given.consumer.assign([given.requests, given.file])
        polled = await given.consumer._fetcher.fetched_records([given.requests, given.file], 10, None)
        assert len(values(polled, given.file)) == 300
