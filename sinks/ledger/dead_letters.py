"""Records that cannot be posted, kept on the dead letter topic before the offsets move past them: whole, but for the
digits of card numbers.

Delivery is at least once: a batch that is tried again after a crash sends the same dead letters again, equal byte for
byte.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from models import card_numbers
from models.messages import DeadLetter
from sinks.ledger.errors import Unpostable

MAX_KEPT_BYTES: Final = 600_000
"""Longest value kept in the letter: base64 makes it a third longer, and the broker refuses records above 1 MB."""


class SourceRecord(Protocol):
    """What the sink needs of a consumed Kafka record (aiokafka's ConsumerRecord has it)."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record and why it cannot be posted."""

    record: SourceRecord
    cause: Unpostable


class DeadLetters(Protocol):
    """Where rejections go. `send` returns when every one of them is durable."""

    async def send(self, topic: str, rejections: list[Rejection]) -> None: ...


def letter(topic: str, rejection: Rejection) -> DeadLetter:
    """The dead letter of a record of `topic`; depends on nothing but the record and the cause."""
    record, cause = rejection.record, rejection.cause
    key, value = _masked(record.key), _masked(record.value)
    masked = (key, value) != (record.key, record.value)
    detail = card_numbers.masked(cause.detail.encode(errors="replace")).decode(errors="replace")
    if value is not None and len(value) > MAX_KEPT_BYTES:
        detail = f"{detail} (value of {len(value)} bytes left out: it stays at its offset)"
        value = None
    return DeadLetter(
        "dead-letter", 1, topic, record.partition, record.offset, cause.reason.value, cause.field, detail,
        _base64(key), _base64(value), record.timestamp, masked,
    )  # fmt: skip


class KafkaDeadLetters:
    """Dead letters on a Kafka topic. The producer must use acks=all and idempotence, and is started by its owner."""

    def __init__(self, producer: Any, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, topic: str, rejections: list[Rejection]) -> None:
        """Each goes to the partition number it came from, where everything else about the account is too."""
        if not rejections:
            return
        partitions = len(await self._producer.partitions_for(self._topic))
        sent = [
            await self._producer.send(
                self._topic,
                key=_masked(rejection.record.key),
                value=orjson.dumps(letter(topic, rejection)),
                partition=rejection.record.partition % partitions,
            )
            for rejection in rejections
        ]
        await asyncio.gather(*sent)


def _masked(content: bytes | None) -> bytes | None:
    return None if content is None else card_numbers.masked(content)


def _base64(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()
