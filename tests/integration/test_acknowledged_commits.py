"""What the broker owes us: a transaction whose commit it has acknowledged is committed, whatever becomes of the broker.

Kafka 4.3.0, 4.3.1 and 4.4.0 fail this (KAFKA-20734): the markers that end a transaction follow the acknowledgement, and
a coordinator that finds a partition without a leader, as all are for a moment after such a broker has started again,
takes the partition for deleted and writes it none. What was acknowledged is then open, and the producer's next abort
takes it back (docs/decisions/0024).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from aiokafka.admin import NewTopic
from confluent_kafka import Producer

from deploy.embedded.kafka import SHORT_LIVED, Broker, running_broker
from deploy.embedded.process import kill
from loadtest import clients
from tests.support.topics import make_topics
from tests.support.traffic import read
from topics.cluster import Cluster

PARTITIONS: Final = 20
ROUNDS: Final = 3
"""Most of them kill the broker before its markers are written: one that has just started takes its time."""
PATIENCE_S: Final = 30
TOPIC: Final = "acknowledged"
_QUICK: Final = {"broker.session.timeout.ms": "1500", "broker.heartbeat.interval.ms": "300"}
"""A broker that comes back waits until it has been given up."""


@pytest.fixture
def broker(tmp_path: Path, kafka_jars: list[Path]) -> Iterator[Broker]:
    with running_broker(tmp_path / "kafka", kafka_jars, jvm_options=SHORT_LIVED, overrides=_QUICK) as running:
        yield running


async def test_a_broker_killed_behind_an_acknowledgement_commits_all_the_same(broker: Broker) -> None:
    await make_topics(broker.bootstrap, NewTopic(TOPIC, PARTITIONS, 1))
    for before in range(ROUNDS):
        commit(broker)
        assert broker.process is not None
        kill(broker.process)
        broker.start()
        broker.wait_ready()
        assert visible(broker) == PARTITIONS * (before + 1)


def commit(broker: Broker) -> None:
    """One record in each partition, in a transaction of a producer of its own: nothing later ends what it has open."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": f"killed-{time.monotonic_ns()}", "log_level": 0}
    )
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce(TOPIC, b"acknowledged", partition=partition)
    producer.commit_transaction(PATIENCE_S)


def visible(broker: Broker) -> int:
    """Committed records, once no transaction is open, or `PATIENCE_S` are over."""
    deadline = time.monotonic() + PATIENCE_S
    while _ends(broker, "read_committed") != _ends(broker, "read_uncommitted") and time.monotonic() < deadline:
        time.sleep(0.2)
    return sum(map(len, read(broker.bootstrap, TOPIC)))


def _ends(broker: Broker, isolation: str) -> dict[int, int]:
    with closing(clients.reader(Cluster(broker.bootstrap), **{"isolation.level": isolation})) as reader:
        return clients.end_offsets(reader, TOPIC, PARTITIONS)
