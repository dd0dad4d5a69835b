"""What the topics say about one partition number, or about a share of its accounts.

Everything about an account is in one partition number of every topic, so a run is checked partition by partition, and a
long one share by share: it never has to be in memory whole.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from zlib import crc32

import orjson

from models.messages import JournalEntry
from tables.source_offsets import is_account
from tests.support.checker import entry_of
from tests.support.traffic import read_partition
from topics import codec
from topics.admin import changelog
from topics.declarations import (
    ACCOUNT_EVENTS,
    ACCOUNT_UPDATES,
    AUTHORIZATION_DECISIONS,
    AUTHORIZATIONS,
    CLEARINGS,
    DEAD_LETTERS,
    JOURNAL_ENTRIES,
    PAYMENTS,
)

APP_ID: Final = "opentobuy"
PATIENCE_S: Final = 120
SHED_AFTER_MS: Final = 1500
"""What comes back from an outage finds requests that have waited for longer."""
MAX_FUTURE_MS: Final = 300_000
"""A message dated further ahead of its record is refused."""
UPDATES: Final = ACCOUNT_UPDATES.name
DECISIONS: Final = AUTHORIZATION_DECISIONS.name
REPLIES: Final = (UPDATES, DECISIONS)
INPUTS: Final = {  # input topic -> where its replies go
    ACCOUNT_EVENTS.name: UPDATES,
    PAYMENTS.name: UPDATES,
    CLEARINGS.name: UPDATES,
    AUTHORIZATIONS.name: DECISIONS,
}


class Record(NamedTuple):
    """A record as it was read; `at`: its timestamp in milliseconds."""

    offset: int
    at: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Share:
    """The accounts of a partition that are number `part` of `of` shares; what is about no account is in one of them."""

    part: int = 0
    of: int = 1

    def has(self, key: bytes | None) -> bool:
        """Whether a record with this key is in it."""
        return self.of == 1 or crc32(key or b"") % self.of == self.part


ALL: Final = Share()


@dataclass
class History:
    """One partition of everything, or a share of it, in topic order. `rows`: the changelog's last row of an account."""

    partition: int
    inputs: dict[str, list[Record]]
    replies: dict[str, list[Record]]
    entries: list[JournalEntry]
    rows: dict[str, bytes]
    dead_letters: list[dict[str, Any]]
    by_account: dict[str, list[JournalEntry]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_account = defaultdict(list)
        for entry in self.entries:
            self.by_account[entry.account_id].append(entry)

    def account(self, account_id: str) -> list[str]:
        """All that is known of one account, a line each, in topic order."""
        return [
            *(line for topic in self.inputs for line in _lines(topic, self.inputs[topic], account_id)),
            *(line for topic in self.replies for line in _lines(topic, self.replies[topic], account_id)),
            *(
                f"{JOURNAL_ENTRIES.name}: {orjson.dumps(entry).decode()}"
                for entry in self.by_account.get(account_id, [])
            ),
        ]


def read(bootstrap: str, partition: int, share: Share = ALL) -> History:
    """The history of a finished run; raises AssertionError when a topic cannot be read to its end."""

    def mine(topic: str) -> Iterator[Record]:
        return (record for record in topic_records(bootstrap, topic, partition) if share.has(record.key))

    letters = (orjson.loads(record.value or b"") for record in topic_records(bootstrap, DEAD_LETTERS.name, partition))
    return History(
        partition,
        {topic: list(mine(topic)) for topic in INPUTS},
        {topic: list(mine(topic)) for topic in REPLIES},
        [entry_of(record.value) for record in mine(JOURNAL_ENTRIES.name)],
        {
            (record.key or b"").decode(): record.value or b""
            for record in mine(changelog(APP_ID).name)
            if is_account(record.key)
        },
        [letter for letter in letters if share.has(base64.b64decode(letter["key_base64"] or b""))],
    )


def topic_records(bootstrap: str, topic: str, partition: int) -> Iterator[Record]:
    """Every committed record of one partition, in offset order."""
    for record in read_partition(bootstrap, topic, partition, PATIENCE_S):
        yield Record(record.offset(), record.timestamp()[1], record.key(), record.value())


def message(topic: str, record: Record) -> Any:
    """An input record's message; raises codec.Unreadable."""
    return codec.decode(topic, record.key, record.value)


def _lines(topic: str, found: list[Record], account_id: str) -> Iterator[str]:
    wanted = account_id.encode()
    for record in found:
        if record.key == wanted:
            yield f"{topic} {record.offset}: {(record.value or b'').decode(errors='backslashreplace')}"
