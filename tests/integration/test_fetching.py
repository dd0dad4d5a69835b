"""What a fetch brings that was held back, on a real broker."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from topics.transport.fetching import make_holdable


async def second_poll(kafka: str, topic: str, *, held: bool) -> int:
    """Records that the second poll brings, of five that came one by one since the first."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", fetch_max_wait_ms=20)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await consumer.start()
    await producer.start()
    try:
        make_holdable(consumer)
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
