"""What aiokafka 0.14 lacks: the answer of TxnOffsetCommit v3 (its request is in wire.py) and OffsetFetch v7 (KIP-447),
to find open transactions ListTransactions and DescribeTransactions v0 (KIP-664), to end just the one that was found
InitProducerId v3 (KIP-360), and to tell a topic from one of the same name before it Metadata v12 (KIP-516).

Field order and types follow the message definitions of the Kafka protocol guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_STRING: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)

UNSTABLE_OFFSET_COMMIT: Final = 88
COORDINATOR_LOAD_IN_PROGRESS: Final = 14


class TxnOffsetCommitResponseV3(Response):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _STRING),
                ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class OffsetFetchResponseV7(Response):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics_v7",
            CompactArray(
                ("topic", _STRING),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _STRING),
                        ("error_code", Int16),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("error_code", Int16),
        _TAGS,
    )

    @property
    def is_stable(self) -> bool:
        """Whether no open transaction may still move one of the offsets."""
        return not any(
            code == UNSTABLE_OFFSET_COMMIT
            for _topic, partitions, _t in self.topics_v7
            for *_facts, code, _tags in partitions
        )

    @property
    def topics(self) -> list[tuple[str, list[tuple[int, int, str, int]]]]:
        """In the shape aiokafka expects. An unstable offset becomes "loading", which it retries with backoff."""
        return [
            (
                topic,
                [
                    (
                        partition,
                        offset,
                        metadata,
                        COORDINATOR_LOAD_IN_PROGRESS if code == UNSTABLE_OFFSET_COMMIT else code,
                    )
                    for partition, offset, _epoch, metadata, code, _tags in partitions
                ],
            )
            for topic, partitions, _tags in self.topics_v7
        ]


class OffsetFetchRequestV7(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponseV7
    SCHEMA = Schema(
        ("group_id", _STRING),
        ("topics", CompactArray(("topic", _STRING), ("partitions", CompactArray(Int32)), _TAGS)),
        ("require_stable", Boolean),
        _TAGS,
    )


class StableOffsetFetch(Request[OffsetFetchRequestV7]):  # type: ignore[misc]
    """Committed offsets, but not while a transaction that may still move them is open."""

    API_KEY = 9

    def __init__(self, group_id: str, partitions: Sequence[tuple[str, Sequence[int]]]) -> None:
        by_topic: list[Any] = [(topic, list(numbers), {}) for topic, numbers in partitions]
        self._fields: tuple[Any, ...] = (group_id, by_topic, True, {})

    def build(self, struct: type[OffsetFetchRequestV7]) -> OffsetFetchRequestV7:
        return struct(*self._fields)


class ListTransactionsResponseV0(Response):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(_STRING)),
        (
            "transaction_states",
            CompactArray(("transactional_id", _STRING), ("producer_id", Int64), ("transaction_state", _STRING), _TAGS),
        ),
        _TAGS,
    )


class ListTransactionsRequestV0(RequestStruct):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ListTransactionsResponseV0
    SCHEMA = Schema(
        ("state_filters", CompactArray(_STRING)),
        ("producer_id_filters", CompactArray(Int64)),
        _TAGS,
    )


class ListTransactions(Request[ListTransactionsRequestV0]):  # type: ignore[misc]
    """The transactions that one broker coordinates and that are in one of these states."""

    API_KEY = 66

    def __init__(self, *states: str) -> None:
        self._states = states

    def build(self, struct: type[ListTransactionsRequestV0]) -> ListTransactionsRequestV0:
        return struct(list(self._states), [], {})


class DescribeTransactionsResponseV0(Response):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", _STRING),
                ("transaction_state", _STRING),
                ("transaction_timeout_ms", Int32),
                ("transaction_start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("topics", CompactArray(("topic", _STRING), ("partitions", CompactArray(Int32)), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class DescribeTransactionsRequestV0(RequestStruct):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeTransactionsResponseV0
    SCHEMA = Schema(("transactional_ids", CompactArray(_STRING)), _TAGS)


class DescribeTransaction(Request[DescribeTransactionsRequestV0]):  # type: ignore[misc]
    """What one transactional id has open; its coordinator knows."""

    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(self, struct: type[DescribeTransactionsRequestV0]) -> DescribeTransactionsRequestV0:
        return struct([self._transactional_id], {})


class InitProducerIdResponseV3(Response):  # type: ignore[misc]
    API_KEY = 22
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        _TAGS,
    )


class InitProducerIdRequestV3(RequestStruct):  # type: ignore[misc]
    API_KEY = 22
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = InitProducerIdResponseV3
    SCHEMA = Schema(
        ("transactional_id", _STRING),
        ("transaction_timeout_ms", Int32),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        _TAGS,
    )


class FenceProducer(Request[InitProducerIdRequestV3]):  # type: ignore[misc]
    """A new epoch for a transactional id, which ends what is open, unless it has another producer than this by now."""

    API_KEY = 22

    def __init__(self, transactional_id: str, timeout_ms: int, producer_id: int, epoch: int) -> None:
        self.transactional_id = transactional_id
        self.epoch = epoch
        self._fields: tuple[Any, ...] = (transactional_id, timeout_ms, producer_id, epoch, {})

    def build(self, struct: type[InitProducerIdRequestV3]) -> InitProducerIdRequestV3:
        return struct(*self._fields)


class Uuid(AbstractType[bytes]):  # type: ignore[misc]
    """16 bytes as they are; zeros for none."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class MetadataResponseV12(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", _STRING), ("port", Int32), ("rack", _STRING), _TAGS)),
        ("cluster_id", _STRING),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", _STRING),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class MetadataRequestV12(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponseV12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("topic", _STRING), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        _TAGS,
    )


class DescribeTopicIds(Request[MetadataRequestV12]):  # type: ignore[misc]
    """Topics by name, with their ids."""

    API_KEY = 3

    def __init__(self, names: Sequence[str]) -> None:
        self._topics: list[Any] = [(bytes(16), name, {}) for name in names]

    def build(self, struct: type[MetadataRequestV12]) -> MetadataRequestV12:
        return struct(self._topics, False, False, {})
