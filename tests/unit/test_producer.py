"""What the transactional producer does about each kind of answer. The broker is a script; the real one is in
tests/integration/test_transactions.py. Its batches are in test_batches.py."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import aiokafka.errors as kafka_errors
import pytest
from aiokafka import TopicPartition
from aiokafka.protocol.transaction import InitProducerIdRequest

from tests.unit.scripted import HERE, THERE, Client, become, taken, without_waiting
from topics.cluster import Cluster
from topics.transport import producer as module
from topics.transport import wire
from topics.transport.fencing import MemberFenced, Membership
from topics.transport.producer import FencedProducer
from topics.transport.wire import (
    AddOffsets,
    AddPartitions,
    CommitOffsets,
    EndTransaction,
    Identity,
    OffsetsCommitted,
    OneCode,
    PartitionsAdded,
    Produce,
)

SOURCE = TopicPartition("in", 0)
MEMBER = Membership(3, "member", "worker-0")


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
async def producer(client: Client, monkeypatch: pytest.MonkeyPatch) -> FencedProducer:
    without_waiting(monkeypatch)
    monkeypatch.setattr(module, "AIOKafkaClient", lambda **_named: client)
    producer = FencedProducer(Cluster("127.0.0.1:1"), "worker", 10_000)
    producer.begin()
    return producer


async def join(producer: FencedProducer) -> None:
    await producer.announce({HERE}, "group")
    await producer.send_offsets({SOURCE: 5}, "group", MEMBER)


async def test_an_empty_transaction_sends_nothing(producer: FencedProducer, client: Client) -> None:
    await producer.end(commit=True)
    assert client.sent == []


async def test_registrations_come_first_then_the_offsets(producer: FencedProducer, client: Client) -> None:
    await join(producer)
    await producer.register({HERE})
    await producer.end(commit=True)
    assert client.kinds() == ["AddPartitions", "AddOffsets", "CommitOffsets", "EndTransaction"]
    assert {node for node, _request in client.sent} == {7}


async def test_everything_is_sent_as_the_producer_that_it_has_become(producer: FencedProducer, client: Client) -> None:
    """Which takes a while when a predecessor's transaction has to be aborted first."""
    client.script[InitProducerIdRequest] = [become(-1, -1, code=51), become(12, 3)]
    client.script[Produce] = [taken(here=40)]
    await producer.start()
    await producer.register({HERE})
    await producer.send({HERE: producer.pack([(b"key", b"a")], HERE)})
    assert client.kinds() == ["InitProducerIdRequest", "InitProducerIdRequest", "AddPartitions", "Produce"]
    expected = wire.add_partitions(Identity("worker", 12, 3), frozenset({HERE}))
    assert client.sent[2][1].encode() == expected.encode()
    (batch,) = client.batches()[0]
    assert (batch.producer_id, batch.producer_epoch, batch.is_transactional) == (12, 3, True)
    assert client.sent[3][1].encode().startswith(b"\x00\x06worker")


@pytest.mark.parametrize(("code", "lookups"), [(51, 2), (14, 2), (16, 3), (15, 3), (7, 3)])
async def test_what_may_be_tried_again_is(producer: FencedProducer, client: Client, code: int, lookups: int) -> None:
    """A coordinator that has moved is looked for again: one lookup for each of the two and one more."""
    client.script[AddOffsets] = [OneCode({"": code}), OneCode({"": 0})]
    await join(producer)
    assert client.kinds().count("AddOffsets") == 2
    assert client.lookups == lookups


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        (CommitOffsets, OffsetsCommitted({SOURCE: 22}), MemberFenced),
        (CommitOffsets, OffsetsCommitted({SOURCE: 25}), MemberFenced),
        (CommitOffsets, OffsetsCommitted({SOURCE: 82}), MemberFenced),
        (AddPartitions, PartitionsAdded({HERE: 47}), kafka_errors.ProducerFenced),
        (AddPartitions, PartitionsAdded({HERE: 90, THERE: 55}), kafka_errors.ProducerFenced),
        (AddPartitions, PartitionsAdded({HERE: 29}), kafka_errors.TopicAuthorizationFailedError),
        (AddOffsets, OneCode({"": 48}), kafka_errors.InvalidTxnState),
        (AddOffsets, kafka_errors.IncompatibleBrokerVersion(), kafka_errors.IncompatibleBrokerVersion),
    ],
)
async def test_what_may_not_is_raised(
    producer: FencedProducer, client: Client, kind: type, answer: Any, expected: type[Exception]
) -> None:
    client.script[kind] = [answer]
    with pytest.raises(expected):
        await join(producer)


async def test_after_a_refusal_the_abort_still_reaches_the_broker(producer: FencedProducer, client: Client) -> None:
    client.script[CommitOffsets] = [OffsetsCommitted({SOURCE: 22})]
    with pytest.raises(MemberFenced):
        await join(producer)
    await producer.end(commit=False)
    assert client.kinds()[-1] == "EndTransaction"


async def test_a_coordinator_that_is_away_is_looked_for_until_it_answers(
    producer: FencedProducer, client: Client
) -> None:
    client.script[EndTransaction] = [
        kafka_errors.KafkaConnectionError(),
        kafka_errors.NodeNotReadyError(),
        OneCode({"": 0}),
    ]
    await join(producer)
    before = client.lookups
    await producer.end(commit=True)
    assert client.kinds().count("EndTransaction") == 3
    assert (client.lookups - before, client.metadata_updates) == (2, 2)


def test_an_answer_says_what_is_wrong() -> None:
    assert OneCode.decode(BytesIO(b"\0\0\0\0\0\x33")).wrong == {"": 51}
