"""What must hold when a history is over and everything has been decided, checked from the committed logs.

1.  Every input partition's committed offset is its end.
2.  One reply to every input record, in its order, and equal to the auditor's, who gets the messages in the order in
    which they were decided (tests/support/checker.py cannot know that order and has openings first). Decisions stand in
    their log in that order, whether they were released or have their place in a transaction.
3.  Journal entries are dense, balanced, and what the auditor's books say.
4.  The changelog's last row of every account is equal to its entries.
5.  The store of a worker that has a partition is equal to the changelog; any other store would be after a recovery.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson

from models.messages import JournalEntry
from tables.source_offsets import is_account
from tests.simulation.broker import Broker, Entry
from tests.simulation.consumer import CHANGELOG
from tests.simulation.stamps import REPLIES as REPLY_TOPICS
from tests.simulation.stamps import content_of, number_of
from tests.simulation.store import Store
from tests.simulation.story import PARTITIONS
from tests.simulation.worker import SHED_AFTER_MS
from tests.support.auditor import Auditor, Disagreement, same
from tests.support.checker import REPLIES, Run, entry_of
from topics import codec
from topics.codec import TOPIC_OF_TYPE
from topics.declarations import INPUTS, JOURNAL_ENTRIES


class Committed(Run):
    """The broker's committed logs as a finished run; `check` raises Disagreement at the first thing that is wrong."""

    def __init__(self, broker: Broker) -> None:
        super().__init__("")
        self.broker = broker

    def check(self) -> Auditor:
        self._check_offsets()
        auditor = Auditor(shed_after=SHED_AFTER_MS)
        for partition in range(PARTITIONS):
            self._check_replies(auditor, partition)
        entries, last_rows = self.entries(), self.last_rows()
        same("accounts in the table", set(last_rows), set(auditor.books))
        for account_id in auditor.books:
            auditor.check_entries(account_id, entries[account_id])
            self._check_row(last_rows[account_id], entries[account_id])
        return auditor

    def check_store(self, store: Store, owned: Iterable[int]) -> None:
        """`owned` partitions must be complete, the others fit to be restored."""
        owned = set(owned)
        for partition in range(PARTITIONS):
            log = self.log(CHANGELOG, partition)
            end = {entry.key: entry.value for _offset, entry in log}
            offset, rows = store.offsets.get(partition, -1), store.rows.get(partition, {})
            last = log[-1][0] if log else -1
            if partition in owned:
                same(f"store: offset of partition {partition}", offset, last)
            same(f"store: offset of partition {partition} is beyond the changelog", offset > last, False)
            later = {entry.key: entry.value for number, entry in log if number > offset}
            same(f"store: rows of partition {partition}", rows | later, end)

    # -- the committed logs

    def log(self, topic: str, partition: int) -> list[tuple[int, Entry]]:
        return self.broker.logs[_tp(topic, partition)].committed()

    def entries(self) -> dict[str, list[JournalEntry]]:
        found: dict[str, list[JournalEntry]] = defaultdict(list)
        for partition in range(PARTITIONS):
            for _offset, record in self.log(JOURNAL_ENTRIES.name, partition):
                entry = entry_of(record.value)
                found[entry.account_id].append(entry)
        return found

    def last_rows(self) -> dict[str, bytes]:
        logs = [self.log(CHANGELOG, partition) for partition in range(PARTITIONS)]
        entries = [entry for log in logs for _offset, entry in log if is_account(entry.key)]
        return {(entry.key or b"").decode(): entry.value or b"" for entry in entries}

    # -- what must hold

    def _check_offsets(self) -> None:
        for spec in INPUTS:
            for partition in range(PARTITIONS):
                tp = _tp(spec.name, partition)
                committed = self.broker.group.committed.get(tp, 0)
                same(f"{spec.name}-{partition}: committed offset", committed, self.broker.logs[tp].end())

    def _check_replies(self, auditor: Auditor, partition: int) -> None:
        asked = {spec.name: iter(self.log(spec.name, partition)) for spec in INPUTS}
        for entry in self._replies(partition):
            body = orjson.loads(content_of(entry.value))
            topic = TOPIC_OF_TYPE[body["cause"]] if "cause" in body else "authorizations"
            question = next(asked[topic], None)
            if question is None:
                raise Disagreement(f"{topic}-{partition}: a reply too many: {body}")
            message = codec.decode(topic, question[1].key, question[1].value)
            auditor.check(message, REPLIES[body["type"]](**body))
        for topic, left in asked.items():
            same(f"{topic}-{partition}: records without a reply", [offset for offset, _entry in left], [])

    def _replies(self, partition: int) -> list[Entry]:
        """In the order in which they were decided."""
        found: list[Entry] = []
        for topic in REPLY_TOPICS:
            entries = [entry for _offset, entry in self.log(topic, partition)]
            numbers = [number_of(entry.value) for entry in entries]
            same(f"{topic}-{partition}: in the order of deciding", numbers, sorted(numbers))
            found += entries
        return sorted(found, key=lambda entry: number_of(entry.value))


def _tp(topic: str, partition: int) -> Any:
    return (topic, partition)
