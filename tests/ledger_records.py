"""Journal records as Kafka would deliver them, and a letterbox, for tests of the ledger sink."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from models.journal import EntryType, entry
from models.messages import JournalEntry
from sinks.ledger.dead_letters import Rejection
from sinks.ledger.writer import Batch, Move

TOPIC = "journal-entries"
TIME = 1_764_064_936_123


class Record(NamedTuple):
    """The part of a consumed record that the sink looks at."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def journal(
    account_id: str = "acct-1",
    sequence: int = 1,
    amount: int = 100,
    *,
    entry_type: EntryType = EntryType.PRESENTMENT_POSTED,
    effective_at: int = TIME,
    cause: str = "ref-1",
) -> JournalEntry:
    """A good entry; a presentment unless told otherwise."""
    return entry(
        entry_type,
        amount,
        account_id=account_id,
        sequence=sequence,
        cause=cause,
        currency="USD",
        effective_at=effective_at,
    )


def record(content: JournalEntry, offset: int = 0, partition: int = 0, **changes: object) -> Record:
    """The entry's record, with some of its JSON fields changed."""
    document: dict[str, Any] = orjson.loads(orjson.dumps(content)) | changes
    return Record(partition, offset, TIME, str(content.account_id).encode(), orjson.dumps(document))


def batch(records: list[Record], moves: dict[int, Move] | None = None, topic: str = TOPIC) -> Batch:
    """The records, with a step for each of their partitions from its first offset to behind its last."""
    by_partition: dict[int, list[int]] = {}
    for each in records:
        by_partition.setdefault(each.partition, []).append(each.offset)
    steps = {partition: Move(offsets[0], offsets[-1] + 1) for partition, offsets in by_partition.items()}
    return Batch(topic, records, moves or steps)


@dataclass
class Letterbox:
    """Keeps the rejections it is sent; can be told to fail first."""

    failures: list[Exception] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    async def send(self, topic: str, rejections: list[Rejection]) -> None:
        assert topic
        if self.failures:
            raise self.failures.pop(0)
        self.rejections.extend(rejections)

    @property
    def reasons(self) -> dict[int, str]:
        """Offset -> reason."""
        return {rejection.record.offset: rejection.cause.reason.value for rejection in self.rejections}
