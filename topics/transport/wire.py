"""The five requests of a transaction, as bytes: AddPartitionsToTxn v0, AddOffsetsToTxn v0, TxnOffsetCommit v3, Produce
v7 and EndTxn v0.

They are sent a hundred times a second, and aiokafka's schemas, which walk every field in Python, took half of a
transaction's processor time. Layouts follow the message definitions of the Kafka protocol guide. What is the same in
every transaction (most requests, and the answers in which nothing is wrong) is encoded and decoded once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from struct import Struct
from typing import Any, Final, NamedTuple, Self

from aiokafka import TopicPartition
from aiokafka.protocol.api import Response
from aiokafka.protocol.types import Schema

from topics.transport.layout import INT16, INT32, Ready, string, topics_at
from topics.transport.protocol import TxnOffsetCommitResponseV3

_PRODUCER: Final = Struct(">qh")
_OFFSET: Final = Struct(">iqi")  # partition, offset, leader epoch
_ADDED: Final = Struct(">ih")  # partition, error code
_PRODUCED: Final = Struct(">ihqqq")  # partition, error code, base offset, timestamp, log start offset
_PRODUCE: Final = Struct(">hi")  # acks, timeout
_BATCH: Final = Struct(">ii")  # partition, size
_NO_TAGS: Final = b"\x00"
_NO_STRING: Final = b"\xff\xff"
_NO_LEADER_EPOCH: Final = -1
_ALL_REPLICAS: Final = -1


class Identity(NamedTuple):
    """Who sends: a transactional id and the producer it has become."""

    transactional_id: str
    producer_id: int
    epoch: int


class Answer(Response):  # type: ignore[misc]
    """What a broker said of each part: {what: error code}, 0 for all is well."""

    API_KEY = -1
    API_VERSION = -1
    SCHEMA = Schema()

    def __init__(self, codes: Mapping[Any, int]) -> None:
        self.codes = codes

    @property
    def wrong(self) -> dict[Any, int]:
        return {what: code for what, code in self.codes.items() if code}

    @classmethod
    def decode(cls, data: BytesIO) -> Self:
        return cls(cls.codes_in(data.read()))

    @staticmethod
    def codes_in(body: bytes) -> Mapping[Any, int]:
        raise NotImplementedError


class OneCode(Answer):
    """throttle time, error code"""

    @staticmethod
    def codes_in(body: bytes) -> Mapping[Any, int]:
        return {"": INT16.unpack_from(body, 4)[0]}


class PartitionsAdded(Answer):
    """(topic, partition) -> code"""

    @staticmethod
    @lru_cache(maxsize=64)
    def codes_in(body: bytes) -> Mapping[Any, int]:
        return {tp: code for tp, (_partition, code) in _each_partition(body, 4, _ADDED)}


class OffsetsCommitted(Answer):
    """(topic, partition) -> code"""

    @staticmethod
    @lru_cache(maxsize=64)
    def codes_in(body: bytes) -> Mapping[Any, int]:
        answer = TxnOffsetCommitResponseV3.decode(BytesIO(body))
        return {
            TopicPartition(topic, partition): code
            for topic, partitions, _tags in answer.topics
            for partition, code, _partition_tags in partitions
        }


class Produced(Response):  # type: ignore[misc]
    """(topic, partition) -> (error code, offset of the batch's first record)"""

    API_KEY = 0
    API_VERSION = 7
    SCHEMA = Schema()

    def __init__(self, results: dict[TopicPartition, tuple[int, int]]) -> None:
        self.results = results

    @classmethod
    def decode(cls, data: BytesIO) -> Self:
        found = _each_partition(data.read(), 0, _PRODUCED)
        return cls({tp: (code, offset) for tp, (_partition, code, offset, _timestamp, _start) in found})


class AddPartitions(Ready):
    """Announces where a transaction will write."""

    API_KEY = 24
    API_VERSION = 0
    RESPONSE_TYPE = PartitionsAdded


class AddOffsets(Ready):
    """Announces that a transaction will move offsets of a group."""

    API_KEY = 25
    API_VERSION = 0
    RESPONSE_TYPE = OneCode


class CommitOffsets(Ready):
    """Offsets of a transaction, vouched for by the member id and generation they were fetched under."""

    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetsCommitted


class Produce(Ready):
    """A batch for each of some partitions."""

    API_KEY = 0
    API_VERSION = 7
    RESPONSE_TYPE = Produced


class EndTransaction(Ready):
    """Commits or aborts."""

    API_KEY = 26
    API_VERSION = 0
    RESPONSE_TYPE = OneCode


@lru_cache(maxsize=256)
def add_partitions(sender: Identity, partitions: frozenset[TopicPartition]) -> AddPartitions:
    """`partitions` as a set that can be remembered: a worker announces much the same ones over and over."""
    parts = [_identity(sender), INT32.pack(len(by_topic := _by_topic(partitions)))]
    for topic, numbers in by_topic.items():
        parts += [string(topic), INT32.pack(len(numbers)), *map(INT32.pack, numbers)]
    return AddPartitions(b"".join(parts))


@lru_cache(maxsize=16)
def add_offsets(sender: Identity, group_id: str) -> AddOffsets:
    return AddOffsets(_identity(sender) + string(group_id))


def commit_offsets(
    sender: Identity, group_id: str, membership: tuple[int, str, str | None], offsets: Mapping[TopicPartition, int]
) -> CommitOffsets:
    """`membership`: generation, member id, group instance id."""
    by_topic = _by_topic(offsets)
    parts = [_offsets_head(sender, group_id, *membership), _varint(len(by_topic) + 1)]
    for topic, partitions in by_topic.items():
        parts += [_compact(topic), _varint(len(partitions) + 1)]
        for partition in partitions:
            offset = offsets[TopicPartition(topic, partition)]
            parts += [_OFFSET.pack(partition, offset, _NO_LEADER_EPOCH), _compact(""), _NO_TAGS]
        parts.append(_NO_TAGS)
    parts.append(_NO_TAGS)
    return CommitOffsets(b"".join(parts))


def produce(
    transactional_id: str | None, timeout_ms: int, batches: Mapping[TopicPartition, bytes | bytearray]
) -> Produce:
    """Acknowledged by all replicas in sync. `transactional_id`: None for batches of no transaction."""
    by_topic = _by_topic(batches)
    transaction = _NO_STRING if transactional_id is None else string(transactional_id)
    parts: list[bytes | bytearray] = [
        transaction, _PRODUCE.pack(_ALL_REPLICAS, timeout_ms), INT32.pack(len(by_topic)),
    ]  # fmt: skip
    for topic, partitions in by_topic.items():
        parts += [string(topic), INT32.pack(len(partitions))]
        for partition in partitions:
            batch = batches[TopicPartition(topic, partition)]
            parts += [_BATCH.pack(partition, len(batch)), batch]
    return Produce(b"".join(parts))


@lru_cache(maxsize=16)
def end_transaction(sender: Identity, commit: bool) -> EndTransaction:
    return EndTransaction(_identity(sender) + (b"\x01" if commit else b"\x00"))


def _by_topic(partitions: Iterable[TopicPartition]) -> dict[str, Sequence[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for topic, number in sorted(partitions):
        found[topic].append(number)
    return dict(found)


def _identity(sender: Identity) -> bytes:
    return string(sender.transactional_id) + _PRODUCER.pack(sender.producer_id, sender.epoch)


@lru_cache(maxsize=16)
def _offsets_head(sender: Identity, group_id: str, generation: int, member_id: str, instance_id: str | None) -> bytes:
    return b"".join(
        [
            _compact(sender.transactional_id), _compact(group_id), _PRODUCER.pack(sender.producer_id, sender.epoch),
            INT32.pack(generation), _compact(member_id), _NO_TAGS if instance_id is None else _compact(instance_id),
        ]
    )  # fmt: skip


@lru_cache(maxsize=256)
def _compact(text: str) -> bytes:
    encoded = text.encode()
    return _varint(len(encoded) + 1) + encoded


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _each_partition(body: bytes, at: int, layout: Struct) -> Iterator[tuple[TopicPartition, tuple[int, ...]]]:
    """What the array of topics at `at` says of each partition; `layout` begins with the partition's number."""

    def read(body: bytes, at: int) -> tuple[tuple[int, ...], int]:
        return layout.unpack_from(body, at), at + layout.size

    for topic, found in topics_at(body, at, read):
        for fields in found:
            yield TopicPartition(topic, fields[0]), fields
