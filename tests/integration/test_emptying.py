"""What one test leaves on the broker that many share, another does not find."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.emptying import empty

TOPIC = "journal-entries"
PATIENCE_S = 60


def test_what_the_dead_left_is_gone(empty_kafka: str) -> None:
    client = AdminClient({"bootstrap.servers": empty_kafka})
    make(client)
    dead = a_producer_inside_a_transaction(empty_kafka)
    a_member_that_went_without_a_word(empty_kafka)
    assert groups(client) == ["opentobuy"]
    empty(empty_kafka)
    assert groups(client) == []
    assert TOPIC not in client.list_topics(timeout=PATIENCE_S).topics
    with pytest.raises(KafkaException, match=r"(?i)fenced|epoch|newer"):
        dead.commit_transaction(PATIENCE_S)
    make(client)
    reader = Consumer({"bootstrap.servers": empty_kafka, "group.id": "none"})
    assert watermarks(reader) == (0, 0)
    reader.close()


def make(client: AdminClient) -> None:
    client.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(PATIENCE_S)


def watermarks(reader: Consumer) -> tuple[int, int]:
    """A topic that was just made is known to the broker's clients a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return reader.get_watermark_offsets(TopicPartition(TOPIC, 0), PATIENCE_S)  # type: ignore[no-any-return]
        except KafkaException as error:
            if error.args[0].code() != KafkaError._UNKNOWN_PARTITION or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def groups(client: AdminClient) -> list[str]:
    return [group.group_id for group in client.list_consumer_groups().result(PATIENCE_S).valid]


def a_producer_inside_a_transaction(kafka: str) -> Producer:
    config: dict[str, Any] = {"bootstrap.servers": kafka, "transactional.id": "opentobuy-worker-0", "log_level": 0}
    producer = Producer(config)
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(TOPIC, b"of the dead")
    assert producer.flush(PATIENCE_S) == 0
    return producer


def a_member_that_went_without_a_word(kafka: str) -> None:
    """A static member does not leave its group when it is closed."""
    member = Consumer({"bootstrap.servers": kafka, "group.id": "opentobuy", "group.instance.id": "worker-0"})
    member.subscribe([TOPIC])
    deadline = time.monotonic() + PATIENCE_S
    while not member.assignment():
        assert time.monotonic() < deadline, "no partition is assigned"
        member.poll(0.1)
    member.close()
