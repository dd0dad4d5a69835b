"""The producer of load beside a broker that does not answer: it must not take the core that the broker needs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiokafka.admin import NewTopic
from confluent_kafka import Producer

from deploy.embedded.kafka import Broker
from loadtest import clients
from tests.support.standing import standing
from tests.support.topics import make_topics
from topics.cluster import Cluster

STANDS_S = 0.5
PER_SECOND = 5000


def broker_threads_ns() -> int:
    """Processor time of librdkafka's threads that speak to brokers, of this process."""
    tasks = [task for task in Path("/proc/self/task").iterdir() if "rdk:broker" in (task / "comm").read_text()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def send(producer: Producer, topic: str, seconds: float) -> None:
    began, sent = time.monotonic(), 0
    while (past := time.monotonic() - began) < seconds:
        while sent < past * PER_SECOND:
            producer.produce(topic, b"request", b"account", 0)
            sent += 1
        producer.poll(0.001)


def spent_while_it_stands(producer: Producer, broker: Broker, topic: str) -> int:
    send(producer, topic, STANDS_S)
    assert producer.flush(30) == 0, "it is connected, and has its id if it needs one"
    with standing(broker):
        before = broker_threads_ns()
        send(producer, topic, STANDS_S)
        spent = broker_threads_ns() - before
    assert producer.flush(30) == 0
    return spent


def test_it_waits_for_a_broker_without_taking_a_core(own_broker: Broker) -> None:
    """librdkafka's idempotent producer looks again and again whether it may send."""
    cluster = Cluster(own_broker.bootstrap)
    asyncio.run(make_topics(own_broker.bootstrap, NewTopic("requests", 1, 1)))
    load = spent_while_it_stands(clients.load_producer(cluster), own_broker, "requests")
    idempotent = spent_while_it_stands(clients.producer(cluster), own_broker, "requests")
    assert load < idempotent / 4, f"{load / 1e6:.0f} ms, and {idempotent / 1e6:.0f} ms"
