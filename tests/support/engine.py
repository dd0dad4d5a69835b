"""The engine without Kafka: slices in, decided records out, rows in a dictionary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from faust.types import TP

from agents.decided import Decided
from agents.engine import Engine
from agents.scoring import Model
from models.authorization import Policy
from models.messages import Inbound
from tables import rows
from tables.sweep import RoundRobin
from topics import codec
from topics.codec import TOPIC_OF_TYPE


@dataclass
class Record:
    """As much of aiokafka's ConsumerRecord as the engine reads."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


@dataclass
class Bench:
    """An engine over a dictionary of rows; every slice it decides is committed at once."""

    model: Model | None = None
    policy: Policy = field(default_factory=Policy)
    max_future_ms: int = 300_000
    partitions: int = 1
    rows: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    offset: int = 0

    def __post_init__(self) -> None:
        self.engine = Engine(
            lambda partition, key: self.rows.get((partition, key)),
            self.model,
            self.policy,
            self.max_future_ms,
            RoundRobin(self._scan),
            self.partitions,
        )

    def run(
        self, *messages: Inbound | tuple[str, bytes | None, bytes | None], at: int | None = None, waited_ms: int = 0
    ) -> list[dict[str, Any]]:
        """Decide all as ONE slice (a message, or (topic, key, value)); returns the records sent, in order."""
        return self.commit(self.decide(messages, at, waited_ms))

    def one_by_one(self, *messages: Inbound) -> list[dict[str, Any]]:
        """Each message as a slice of its own."""
        return [sent for message in messages for sent in self.run(message)]

    def decide(self, messages: Iterable[Any], at: int | None = None, waited_ms: int = 0) -> Decided:
        """Without committing it; `waited_ms`: for how long the last of them has been waiting."""
        slice_: dict[TP, list[Any]] = {}
        for message in messages:
            record = self.record(message, at)
            slice_.setdefault(TP(record.topic, 0), []).append(record)
        last = max(record.timestamp for records in slice_.values() for record in records)
        return self.engine.decide(slice_, last + waited_ms)

    def record(self, message: Any, at: int | None = None) -> Record:
        self.offset += 1
        if isinstance(message, tuple):
            topic, key, value = message
            return Record(topic, 0, self.offset, key, value, at or 2**53)
        key = getattr(message, "account_id", "").encode() or None
        arrived = message.transmitted_at if at is None else at
        return Record(TOPIC_OF_TYPE[message.type], 0, self.offset, key, codec.encode(message), arrived)

    def commit(self, decided: Decided) -> list[dict[str, Any]]:
        for partition, changed in decided.rows.items():
            self.rows.update({(partition, key): row for key, row in changed})
        sent = [
            (topic, orjson.loads(value)) for (topic, _p), records in decided.records.items() for _k, value in records
        ]
        self.sent += sent
        return [body for _topic, body in sent]

    def on(self, topic: str) -> list[dict[str, Any]]:
        """Everything sent to `topic` so far."""
        return [body for name, body in self.sent if name == topic]

    def account(self, account_id: str = "acct-1") -> Any:
        return rows.decode(self.rows[0, account_id.encode()])

    def _scan(self, partition: int, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        mine = sorted((key, row) for (number, key), row in self.rows.items() if number == partition and key > after)
        return mine[:limit]
