"""A broker in memory: partitioned logs, transactional producers with epochs, and the transaction coordinator.

What the guarantee hangs on is as in Kafka: an ended transaction gets its markers one partition at a time, some time
after the producer was told; they take offsets; readers of committed records stop at the first record of a transaction
whose marker is not there yet; a producer cannot begin again before all its markers are written. Of a batch outside of
transactions a partition knows no more than what was written to it: the coordinator's epochs are news to it until a
marker brings them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from aiokafka.errors import ProducerFenced
from faust.types import TP

from tests.simulation.group import Group
from topics.transport.fencing import MemberFenced, Membership

Record = tuple[bytes | None, bytes]
"""(key, value)"""


@dataclass(eq=False)
class Transaction:
    """`partitions` are those registered and not yet marked; `epoch` is what its markers say."""

    producer: str
    epoch: int
    state: Literal["open", "committed", "aborted"] = "open"
    partitions: set[TP] = field(default_factory=set)
    offsets: dict[TP, int] = field(default_factory=dict)
    has_offsets: bool = False

    def ended(self) -> bool:
        """Whether all its markers are written."""
        return self.state != "open" and not self.partitions and not self.has_offsets


class Entry(NamedTuple):
    """One offset of a log: a record of a transaction or of none, or (value None) a marker."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    transaction: Transaction | None
    header: bytes | None = None

    def readable(self) -> bool:
        """Whether it is a record, and not one that was taken back."""
        return self.value is not None and (self.transaction is None or self.transaction.state == "committed")


class Log:
    """One partition. `open`: transaction without a marker here -> its first offset. `epochs`: the latest of each
    producer that has written here. `owner`: of those to whom the group has assigned it one after the other, the latest
    that has begun to work on it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.open: dict[Transaction, int] = {}
        self.epochs: dict[str, int] = {}
        self.owner = 0

    def end(self) -> int:
        return len(self.entries)

    def stable(self) -> int:
        """The last stable offset: what lies before it will not change any more."""
        return min(self.open.values()) if self.open else len(self.entries)

    def append(self, record: Record, timestamp: int, transaction: Transaction | None = None) -> int:
        """The record's offset."""
        if transaction is not None:
            self.open.setdefault(transaction, len(self.entries))
        self.entries.append(Entry(*record, timestamp, transaction))
        return len(self.entries) - 1

    def append_batch(self, producer: str, epoch: int, records: Iterable[Record], header: bytes) -> int:
        """The offset of the last record of a batch of no transaction; raises ProducerFenced."""
        if epoch < self.epochs.get(producer, -1):
            raise ProducerFenced
        self.epochs[producer] = epoch
        for number, record in enumerate(records):
            self.entries.append(Entry(*record, 0, None, None if number else header))
        return len(self.entries) - 1

    def mark(self, transaction: Transaction) -> None:
        self.epochs[transaction.producer] = max(transaction.epoch, self.epochs.get(transaction.producer, -1))
        self.open.pop(transaction, None)
        self.entries.append(Entry(None, None, 0, transaction))

    def committed(self) -> list[tuple[int, Entry]]:
        """(offset, record) of all that readers of committed records get."""
        return [(offset, entry) for offset, entry in enumerate(self.entries[: self.stable()]) if entry.readable()]


@dataclass
class _Producer:
    epoch: int = -1
    transaction: Transaction | None = None


class Broker:
    """All requests are answered at once: on the way there and back whoever asks awaits a turn."""

    def __init__(self) -> None:
        self.logs: dict[TP, Log] = defaultdict(Log)
        self.group = Group()
        self.decided = self.committed = 0  # slices and transactions so far
        self.released = self.found = 0  # batches of decisions, and those that a next owner has read
        self.lists_transactions = True  # an older one, or one that is asked without the right to, does not
        self._producers: dict[str, _Producer] = defaultdict(_Producer)
        self._ending: list[Transaction] = []

    # -- producers

    def init_producer(self, name: str) -> int:
        """A new epoch: who had the name before is fenced, and what it left open is aborted."""
        producer = self._producers[name]
        self._fence(producer)
        return producer.epoch

    def become(self, name: str) -> int | None:
        """As above, for who asks again: None while the markers of what was left open are not all written."""
        producer = self._producers[name]
        if not self.free(name):
            if producer.transaction is not None and producer.transaction.state == "open":
                self._fence(producer)
            return None
        self._fence(producer)
        return producer.epoch

    def epoch(self, name: str) -> int:
        """Of the producer that has the name now."""
        return self._producers[name].epoch

    def add_partitions(self, name: str, epoch: int, partitions: Iterable[TP]) -> Transaction:
        """The producer's transaction, begun if there is none; raises ProducerFenced."""
        producer = self._current(name, epoch)
        if producer.transaction is None or producer.transaction.state != "open":
            producer.transaction = Transaction(name, epoch)
        producer.transaction.partitions.update(partitions)
        return producer.transaction

    def append(self, epoch: int, transaction: Transaction, tp: TP, records: Iterable[Record]) -> int:
        """The offset of the last one; raises ProducerFenced."""
        self._check_open(epoch, transaction)
        assert tp in transaction.partitions, f"{tp} is not registered"
        return [self.logs[tp].append(record, 0, transaction) for record in records][-1]

    def add_offsets(self, epoch: int, transaction: Transaction, offsets: Mapping[TP, int], member: Membership) -> None:
        """Offsets into the transaction; raises ProducerFenced, or MemberFenced when the group refuses the member."""
        self._check_open(epoch, transaction)
        refusal = self.group.refuses(member)
        if refusal is not None:
            raise MemberFenced(refusal)
        transaction.has_offsets = True
        transaction.offsets.update(offsets)
        self.group.hold(transaction, offsets)

    def end(self, epoch: int, transaction: Transaction, commit: bool) -> None:
        """The decision is made; the markers follow. Raises ProducerFenced."""
        self._check_open(epoch, transaction)
        self._end(transaction, commit)

    def free(self, name: str) -> bool:
        """Whether the producer's last transaction has all its markers."""
        transaction = self._producers[name].transaction
        return transaction is None or transaction.ended()

    def is_ending(self, name: str) -> bool:
        """Whether its last transaction has ended, and not all its markers are written."""
        transaction = self._producers[name].transaction
        return transaction in self._ending

    # -- the coordinator's own work

    def open_transactions(self) -> list[Transaction]:
        return [p.transaction for p in self._producers.values() if p.transaction and p.transaction.state == "open"]

    def time_out(self, transaction: Transaction) -> None:
        """It was open for too long: its producer is fenced."""
        self._fence(self._producers[transaction.producer])

    def markers(self) -> list[tuple[Transaction, TP | None]]:
        """Those still to write, in an order that does not depend on hashes; None is the group's offsets."""
        found: list[tuple[Transaction, TP | None]] = []
        for transaction in self._ending:
            found += [(transaction, tp) for tp in sorted(transaction.partitions)]
            if transaction.has_offsets:
                found.append((transaction, None))
        return found

    def write_marker(self, transaction: Transaction, tp: TP | None) -> None:
        if tp is None:
            self.group.settle(transaction, transaction.offsets, transaction.state == "committed")
            transaction.has_offsets = False
        else:
            self.logs[tp].mark(transaction)
            transaction.partitions.remove(tp)
        if transaction.ended():
            self._ending.remove(transaction)

    def _end(self, transaction: Transaction, commit: bool) -> None:
        transaction.state = "committed" if commit else "aborted"
        self.committed += commit
        if not transaction.ended():
            self._ending.append(transaction)

    def _fence(self, producer: _Producer) -> None:
        producer.epoch += 1
        if producer.transaction is not None and producer.transaction.state == "open":
            producer.transaction.epoch = producer.epoch
            self._end(producer.transaction, commit=False)

    def _current(self, name: str, epoch: int) -> _Producer:
        producer = self._producers[name]
        if producer.epoch != epoch:
            raise ProducerFenced
        return producer

    def _check_open(self, epoch: int, transaction: Transaction) -> None:
        producer = self._current(transaction.producer, epoch)
        assert producer.transaction is transaction, "another transaction has begun"
        assert transaction.state == "open", "the transaction has ended"
