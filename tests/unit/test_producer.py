"""What the transactional producer does about each kind of answer. The broker is a script; the real one is in
tests/integration/test_transactions.py."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import aiokafka.errors as kafka_errors
import pytest
from aiokafka import TopicPartition
from aiokafka.record.memory_records import MemoryRecords

from topics.cluster import Cluster
from topics.transport import producer as module
from topics.transport.fencing import MemberFenced, Membership
from topics.transport.producer import FencedProducer
from topics.transport.wire import (
    AddOffsets,
    AddPartitions,
    CommitOffsets,
    EndTransaction,
    OffsetsCommitted,
    OneCode,
    PartitionsAdded,
    Produce,
    Produced,
)

HERE = TopicPartition("out", 0)
THERE = TopicPartition("out", 1)
SOURCE = TopicPartition("in", 0)
MEMBER = Membership(3, "member", "worker-0")


class Client:
    """Answers each kind of request from its script, the last answer for ever; an exception in it is raised."""

    def __init__(self) -> None:
        self.script: dict[type, list[Any]] = {
            AddPartitions: [PartitionsAdded({})], AddOffsets: [OneCode({"": 0})],
            CommitOffsets: [OffsetsCommitted({})], EndTransaction: [OneCode({"": 0})],
        }  # fmt: skip
        self.sent: list[tuple[Any, Any]] = []  # (node, request)
        self.lookups = self.metadata_updates = 0
        self.leaders = {HERE: 1, THERE: 1}
        self.cluster = SimpleNamespace(leader_for_partition=lambda tp: self.leaders[tp])

    async def coordinator_lookup(self, _kind: Any, _key: str) -> int:
        self.lookups += 1
        return 7

    async def send(self, node: int, request: Any, **_group: Any) -> Any:
        self.sent.append((node, request))
        script = self.script[type(request)]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def force_metadata_update(self) -> None:
        self.metadata_updates += 1

    async def _wait_on_metadata(self, _topic: str) -> None:
        pass

    def kinds(self) -> list[str]:
        return [type(request).__name__ for _node, request in self.sent]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
async def producer(client: Client, monkeypatch: pytest.MonkeyPatch) -> FencedProducer:
    for wait in ("BETWEEN_TRANSACTIONS_S", "RETRY_S", "AWAY_S"):
        monkeypatch.setattr(module, wait, 0.0)
    producer = FencedProducer(Cluster("127.0.0.1:1"), "worker", 10_000)
    producer._client = client  # type: ignore[assignment]
    producer.begin()
    return producer


async def join(producer: FencedProducer) -> None:
    await producer.announce({HERE}, "group")
    await producer.send_offsets({SOURCE: 5}, "group", MEMBER)


def records_of(request: Any) -> list[tuple[int, list[bytes]]]:
    """(first sequence number, values) of each batch, read as a broker would."""
    body = request.encode()
    found = []
    at = body.index(b"out") + 3 + 4
    while at < len(body):
        size = int.from_bytes(body[at + 4 : at + 8])
        batch = MemoryRecords(body[at + 8 : at + 8 + size]).next_batch()
        found.append((batch.base_sequence, [record.value for record in batch]))
        at += 8 + size
    return found


async def test_an_empty_transaction_sends_nothing(producer: FencedProducer, client: Client) -> None:
    await producer.end(commit=True)
    assert client.sent == []


async def test_registrations_come_first_then_the_offsets(producer: FencedProducer, client: Client) -> None:
    await join(producer)
    await producer.register({HERE})
    await producer.end(commit=True)
    assert client.kinds() == ["AddPartitions", "AddOffsets", "CommitOffsets", "EndTransaction"]
    assert {node for node, _request in client.sent} == {7}


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


async def send(producer: FencedProducer, **values: list[bytes]) -> dict[TopicPartition, int]:
    places = {"here": HERE, "there": THERE}
    packed = {
        places[name]: producer.pack([(None, value) for value in each], places[name]) for name, each in values.items()
    }
    return await producer.send(packed)


async def test_a_batch_that_was_not_taken_comes_again_with_its_number_and_the_others_do_not(
    producer: FencedProducer, client: Client
) -> None:
    client.script[Produce] = [Produced({HERE: (0, 40), THERE: (6, -1)}), Produced({THERE: (0, 50)})]
    assert await send(producer, here=[b"a", b"b"], there=[b"c"]) == {HERE: 41, THERE: 50}
    first, second = (records_of(request) for _node, request in client.sent)
    assert first == [(0, [b"a", b"b"]), (0, [b"c"])]
    assert second == [(0, [b"c"])]
    assert client.metadata_updates == 1, "the leader has moved"


async def test_sequence_numbers_go_on_where_the_broker_is(producer: FencedProducer, client: Client) -> None:
    """Also behind a request of which a part was refused: what it took has used up its numbers, the rest has not. A
    number used twice is taken for the first batch sent again, and the second is lost without an error."""
    client.script[Produce] = [Produced({HERE: (0, 40), THERE: (10, -1)}), Produced({HERE: (0, 45), THERE: (0, 50)})]
    with pytest.raises(kafka_errors.MessageSizeTooLargeError):
        await send(producer, here=[b"a", b"b"], there=[b"c"])
    await send(producer, here=[b"d"], there=[b"e"])
    assert records_of(client.sent[-1][1]) == [(2, [b"d"]), (0, [b"e"])]


async def test_sequence_numbers_begin_again_after_the_largest(producer: FencedProducer, client: Client) -> None:
    producer._next_sequence[HERE] = 2**31 - 1
    client.script[Produce] = [Produced({HERE: (0, 0)})]
    await send(producer, here=[b"a", b"b"])
    await send(producer, here=[b"c"])
    assert [records_of(request)[0][0] for _node, request in client.sent] == [2**31 - 1, 1]


async def test_each_leader_gets_its_own_and_one_that_is_away_gets_them_again(
    producer: FencedProducer, client: Client
) -> None:
    client.leaders = {HERE: 1, THERE: 2}
    client.script[Produce] = [
        kafka_errors.KafkaConnectionError(), Produced({THERE: (0, 50)}), Produced({HERE: (0, 40)}),
    ]  # fmt: skip
    assert await send(producer, here=[b"a"], there=[b"b"]) == {HERE: 40, THERE: 50}
    assert [node for node, _request in client.sent] == [1, 2, 1]


async def test_many_records_are_several_batches_one_after_the_other(
    producer: FencedProducer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 1000)
    client.script[Produce] = [Produced({HERE: (0, 40)}), Produced({HERE: (0, 42)}), Produced({HERE: (0, 43)})]
    values = [b"a" * 400, b"b" * 400, b"c" * 2000, b"d"]
    assert await send(producer, here=values) == {HERE: 43}
    sent = [records_of(request)[0] for _node, request in client.sent]
    assert sent == [(0, values[:2]), (2, values[2:3]), (3, values[3:])]


def test_an_answer_says_what_is_wrong() -> None:
    assert OneCode.decode(BytesIO(b"\0\0\0\0\0\x33")).wrong == {"": 51}
