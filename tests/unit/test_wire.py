"""Requests made as bytes are those that schemas make, and answers are read as schemas write them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol import transaction as stock
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields
from hypothesis import given
from hypothesis import strategies as st

from topics.transport import wire
from topics.transport.fencing import Membership
from topics.transport.protocol import TxnOffsetCommitResponseV3
from topics.transport.wire import Identity

TEXT = CompactString("utf-8")
TAGS = ("tags", TaggedFields)
COMMIT_OFFSETS = Schema(
    ("transactional_id", TEXT), ("group_id", TEXT), ("producer_id", Int64), ("producer_epoch", Int16),
    ("generation_id", Int32), ("member_id", TEXT), ("group_instance_id", TEXT),
    ("topics", CompactArray(
        ("topic", TEXT),
        ("partitions", CompactArray(
            ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", TEXT), TAGS,
        )),
        TAGS,
    )),
    TAGS,
)  # fmt: skip
"""TxnOffsetCommit v3 of the protocol guide"""

names = st.text(min_size=1, max_size=20) | st.just("n" * 200)
senders = st.builds(Identity, names, st.integers(0, 2**63 - 1), st.integers(0, 2**15 - 1))
places = st.builds(TopicPartition, names, st.integers(0, 2**31 - 1))
codes = st.integers(-1, 120)
members = st.builds(Membership, st.integers(-1, 2**31 - 1), names, st.none() | names)


def by_topic(partitions: Iterable[TopicPartition]) -> list[tuple[str, list[int]]]:
    found: dict[str, list[int]] = defaultdict(list)
    for topic, number in sorted(partitions):
        found[topic].append(number)
    return list(found.items())


def made_by(schema: type[RequestStruct], *fields: Any) -> bytes:
    return schema(*fields).encode()


@given(senders, st.frozensets(places, max_size=8))
def test_partitions_are_added(sender: Identity, partitions: frozenset[TopicPartition]) -> None:
    expected = made_by(stock.AddPartitionsToTxnRequest_v0, *sender, by_topic(partitions))
    assert wire.add_partitions(sender, partitions).encode() == expected


@given(senders, names)
def test_offsets_are_announced(sender: Identity, group: str) -> None:
    assert wire.add_offsets(sender, group).encode() == made_by(stock.AddOffsetsToTxnRequest_v0, *sender, group)


@given(senders, st.booleans())
def test_a_transaction_is_ended(sender: Identity, commit: bool) -> None:
    assert wire.end_transaction(sender, commit).encode() == made_by(stock.EndTxnRequest_v0, *sender, commit)


@given(senders, names, members, st.dictionaries(places, st.integers(0, 2**63 - 1), max_size=8))
def test_offsets_are_committed(
    sender: Identity, group: str, member: Membership, offsets: dict[TopicPartition, int]
) -> None:
    topics = [
        (topic, [(number, offsets[TopicPartition(topic, number)], -1, "", {}) for number in numbers], {})
        for topic, numbers in by_topic(offsets)
    ]
    name, producer, epoch = sender
    expected = COMMIT_OFFSETS.encode([name, group, producer, epoch, *member, topics, {}])
    assert wire.commit_offsets(sender, group, member, offsets).encode() == expected


@given(st.none() | names, st.integers(0, 2**31 - 1), st.dictionaries(places, st.binary(max_size=300), max_size=8))
def test_batches_are_produced(name: str | None, timeout: int, batches: dict[TopicPartition, bytes]) -> None:
    """In a transaction, or in none."""
    topics = [
        (topic, [(number, batches[TopicPartition(topic, number)]) for number in numbers])
        for topic, numbers in by_topic(batches)
    ]
    assert wire.produce(name, timeout, batches).encode() == made_by(ProduceRequest_v7, name, -1, timeout, topics)


def answered(request: type[wire.Ready], body: bytes) -> Any:
    return request.RESPONSE_TYPE.decode(BytesIO(body))


@given(st.dictionaries(places, codes, max_size=8))
def test_codes_of_partitions_are_read(expected: dict[TopicPartition, int]) -> None:
    topics = [
        (topic, [(number, expected[TopicPartition(topic, number)]) for number in numbers])
        for topic, numbers in by_topic(expected)
    ]
    body = stock.AddPartitionsToTxnResponse_v0(0, topics).encode()
    for _ in range(2):  # the second time from memory
        assert answered(wire.AddPartitions, body).codes == expected


@given(st.dictionaries(places, codes, max_size=8))
def test_codes_of_offsets_are_read(expected: dict[TopicPartition, int]) -> None:
    topics = [
        (topic, [(number, expected[TopicPartition(topic, number)], {}) for number in numbers], {})
        for topic, numbers in by_topic(expected)
    ]
    answer = answered(wire.CommitOffsets, TxnOffsetCommitResponseV3(0, topics, {}).encode())
    assert answer.codes == expected
    assert answer.wrong == {tp: code for tp, code in expected.items() if code}


@given(st.dictionaries(places, st.tuples(codes, st.integers(-1, 2**63 - 1)), max_size=8))
def test_offsets_of_batches_are_read(expected: dict[TopicPartition, tuple[int, int]]) -> None:
    topics = [
        (topic, [(number, *expected[TopicPartition(topic, number)], -1, 0) for number in numbers])
        for topic, numbers in by_topic(expected)
    ]
    assert answered(wire.Produce, ProduceResponse_v7(topics, 0).encode()).results == expected


@pytest.mark.parametrize("code", [0, 51])
def test_a_single_code_is_read(code: int) -> None:
    assert list(answered(wire.EndTransaction, stock.EndTxnResponse_v0(0, code).encode()).codes.values()) == [code]


@pytest.mark.parametrize("known", [{}, {24: (1, 5)}])
def test_a_broker_without_that_version_is_refused(known: dict[int, tuple[int, int]]) -> None:
    request = wire.add_partitions(Identity("me", 1, 0), frozenset())
    with pytest.raises(IncompatibleBrokerVersion, match="AddPartitions v0"):
        request.prepare(known)
    assert request.prepare({24: (0, 5)}) is request
