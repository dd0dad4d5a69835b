"""What a fetch brings that was held back, and how long one waits, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from tests.support.topics import make_topics
from topics.transport import fetching
from topics.transport.fetch_wire import Fetch
from topics.transport.fetching import HeldFetcher, make_patient


async def second_poll(kafka: str, topic: str, *, held: bool) -> int:
    """Records that the second poll brings, of five that came one by one since the first."""
    await make_topics(kafka, NewTopic(topic, 1, 1))
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", fetch_max_wait_ms=20)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await consumer.start()
    await producer.start()
    try:
        make_patient(consumer, kind=HeldFetcher)
        consumer.assign([TopicPartition(topic, 0)])
        await producer.send_and_wait(topic, b"first")
        while not await consumer.getmany(timeout_ms=1000):
            pass
        if held:
            consumer._fetcher.hold()
        await asyncio.sleep(0.1)  # the next fetch, if it is not held back, travels
        for number in range(5):
            await producer.send_and_wait(topic, b"%d" % number)
            await asyncio.sleep(0.1)
        if held:
            consumer._fetcher.let_go()
        records = await consumer.getmany(timeout_ms=30_000)
        return sum(map(len, records.values()))
    finally:
        await producer.stop()
        await consumer.stop()


async def test_a_fetch_that_was_held_back_brings_all_that_has_gathered(kafka: str, topic_prefix: str) -> None:
    assert await second_poll(kafka, f"{topic_prefix}held", held=True) == 5


async def test_stock_aiokafka_brings_what_came_first_and_fetches_no_more(kafka: str, topic_prefix: str) -> None:
    """When this fails, aiokafka fetches on while records wait, and our holding back can go."""
    assert await second_poll(kafka, f"{topic_prefix}stock", held=False) == 1


@asynccontextmanager
async def idle(kafka: str, topic: str) -> AsyncIterator[tuple[AIOKafkaConsumer, list[int]]]:
    """A consumer of an empty topic, whose fetches wait for 5 ms, and how long each of them waits."""
    await make_topics(kafka, NewTopic(topic, 1, 1))
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", fetch_max_wait_ms=5)
    await consumer.start()
    waits: list[int] = []
    send = consumer._client.send

    async def note(node: int, request: object, **named: object) -> object:
        if isinstance(request, Fetch):
            waits.append(int.from_bytes(request.encode()[4:8]))
        return await send(node, request, **named)

    consumer._client.send = note
    try:
        yield consumer, waits
    finally:
        await consumer.stop()


async def test_a_fetch_waits_longer_where_nothing_comes_until_something_does(kafka: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}idle"
    async with idle(kafka, topic) as (consumer, waits), AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        make_patient(consumer)
        consumer.assign([TopicPartition(topic, 0)])
        assert not await consumer.getmany(timeout_ms=2000)
        assert waits[:8] == [5, 10, 20, 40, 80, 160, 250, 250]
        await producer.send_and_wait(topic, b"at last")
        assert await consumer.getmany(timeout_ms=10_000)
        del waits[:]
        assert not await consumer.getmany(timeout_ms=1000)
        assert waits[:2] == [5, 10]


async def test_a_fetch_that_waits_long_is_answered_as_soon_as_a_record_comes(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LONGEST_WAIT_MS", 35_000)
    topic = f"{topic_prefix}long"
    async with idle(kafka, topic) as (consumer, waits), AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        make_patient(consumer)
        consumer._fetcher._wait_ms = 35_000
        consumer.assign([TopicPartition(topic, 0)])
        assert not await consumer.getmany(timeout_ms=500)
        assert waits == [35_000], "it travels"
        await producer.send_and_wait(topic, b"now")
        assert await consumer.getmany(timeout_ms=10_000)


async def test_who_is_not_patient_asks_as_often_as_ever(kafka: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}restless"
    async with idle(kafka, topic) as (consumer, waits):
        make_patient(consumer, lambda: False)
        consumer.assign([TopicPartition(topic, 0)])
        assert not await consumer.getmany(timeout_ms=500)
        assert set(waits) == {5}
