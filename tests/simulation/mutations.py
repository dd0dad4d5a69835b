"""Code with one line wrong, put in place for a while: proof that the histories would notice.

Most are of production code. A few are of the broker or of the worker's transactions, where what they take away is what
the production code asks of Kafka.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agents.decider import Decider
from tables.behind import WriteBehind
from tests.simulation.broker import Broker
from tests.simulation.group import Group
from tests.simulation.history import History
from tests.simulation.producer import Transactions
from tests.simulation.worker import Worker
from topics.transport.consumer import SliceConsumer
from topics.transport.recovery import MarkerAwareRecovery
from topics.transport.thread import SliceThread


@dataclass(frozen=True)
class Mutation:
    """`old` stands exactly once in the method.

    `first`: the seed to begin with, because it is known to find it.
    `shape`: the kind of history in which it shows soon.
    """

    name: str
    owner: type
    method: str
    old: str
    new: str
    first: int = 0
    shape: Callable[[History], None] = lambda _history: None

    def __str__(self) -> str:
        return self.name


@contextmanager
def mutated(mutation: Mutation) -> Iterator[None]:
    """Raises ValueError when the code is no longer what the mutation expects."""
    original = mutation.owner.__dict__[mutation.method]
    source = vars(original).get("source") or textwrap.dedent(inspect.getsource(original))
    if source.count(mutation.old) != 1:
        raise ValueError(f"{mutation.name}: {mutation.old!r} does not stand once in {original.__qualname__}")
    made: dict[str, Any] = {}
    wrong = source.replace(mutation.old, mutation.new)
    exec(compile(wrong, f"<{mutation.name}>", "exec"), original.__globals__, made)  # noqa: S102 - our own source
    made[mutation.method].source = wrong  # for a mutation on top of this one
    setattr(mutation.owner, mutation.method, made[mutation.method])
    try:
        yield
    finally:
        setattr(mutation.owner, mutation.method, original)


def frozen_before_the_first_record(history: History) -> None:
    """Nothing else goes wrong than that workers freeze, often for longer than their session; nobody can find out what
    they left open."""
    history.broker.lists_transactions = False
    history.plan.freezes_at, history.plan.freezes = "offsets", 0.3
    history.plan.dies, history.fault_rate, history.doze_rate = 0.0, 0.0, 0.0


def slow_disks(history: History) -> None:
    """Rows are long on their way to the store."""
    history.plan.writes = 0.005


MUTATIONS = [
    # -- the decider
    Mutation(
        "rows are applied before the commit", Decider, "_commit",
        'self._step("commit")',
        "self._write_rows(self._committed_rows(rows, ends))",
        first=74,
    ),
    Mutation(
        "the offset committed is that of the last record", Decider, "_commit",
        "fetched[-1].offset + 1", "fetched[-1].offset",
    ),
    Mutation(
        "records delivered again are decided again", Decider, "_unseen",
        "self._next_offset.get(tp, 0)", "0",
    ),
    Mutation(
        "rows are not applied", Decider, "_commit",
        "self._write_rows(self._committed_rows(rows, ends))", "pass",
    ),
    # -- rows on their way to the store
    Mutation(
        "rows on their way are not read", WriteBehind, "row",
        "self._young[partition].get(key) or self._old[partition].get(key)", "None",
    ),
    Mutation(
        "rows are still on their way when a restore begins", WriteBehind, "forget",
        "self.settle()", "pass",
        first=40, shape=slow_disks,
    ),
    Mutation(
        "rows are remembered past a restore", WriteBehind, "forget",
        "self._clear()", "pass",
    ),
    Mutation(
        "rows are forgotten before they are written", WriteBehind, "_let_go_of_old",
        "self._last_of_old.result()", "pass",
        shape=slow_disks,
    ),
    # -- the gates of the consumer
    Mutation(
        "input is handed out before the seek", SliceConsumer, "_input_of",
        "elif self._positioned:", "else:",
    ),
    Mutation(
        "input does not wait for the tables", SliceConsumer, "getmany",
        "if self._tables_restored and not self._positioned:", "if not self._positioned:",
    ),
    Mutation(
        "a poll that was under way when partitions left is handed out", SliceConsumer, "_close_input",
        "self._tables_restored = self._positioned = False", "self._tables_restored = False",
    ),
    Mutation(
        "whatever the group tells is believed", SliceThread, "go_to_committed",
        "offsets |= behind", "pass",
    ),
    Mutation(
        "how far the inputs are decided is not written beside the rows", Decider, "_rows",
        "self._sources.rows(offsets)", "{partition: [] for partition in decided.rows}",
    ),
    # -- recovery
    Mutation(
        "the end of a changelog is asked for while a transaction is open there", SliceThread, "_highwaters",
        "if stable == end:", "if True:", first=23,
    ),
    Mutation(
        # A worker freezes between the answer to its offsets and its first record; another gets the partition, finds no
        # open transaction in the changelog, takes its tables for restored, and waits for stable offsets. The first goes
        # on and commits. The other starts behind that commit with tables from before it.
        "the end of a changelog is asked for before the offsets are stable", SliceThread, "_highwaters",
        "await consumer._coordinator.fetch_committed_offsets(sorted(consumer.assignment()))", "",
        first=94, shape=frozen_before_the_first_record,
    ),
    Mutation(
        "recovery stops one record early", MarkerAwareRecovery, "_finish_partitions",
        "position > end", "position >= end - 1", first=2,
    ),
    # -- what is asked of Kafka
    Mutation(
        "a second producer does not fence the first", Broker, "_current",
        "producer.epoch != epoch", "False",
    ),
    Mutation(
        "offsets of a stale member are taken", Broker, "add_offsets",
        "if refusal is not None:", "if False:", first=2,
    ),
    Mutation(
        "the refusal of a stale member is ignored", Transactions, "_join",
        "self._broker.add_offsets(self._epoch, self._transaction, offsets, member)",
        "self._broker.group.refuses(member) or "
        "self._broker.add_offsets(self._epoch, self._transaction, offsets, member)",
    ),
    Mutation(
        "offsets are not part of the transaction", Broker, "add_offsets",
        "transaction.has_offsets = True", "return self.group.committed.update(offsets)",
    ),
    Mutation(
        "committed offsets are fetched while a transaction may move them", Group, "stable",
        "return not any(self._pending[tp] for tp in tps)", "return True", first=705,
    ),
    Mutation(
        "a slice is lost on its way to the decider", Worker, "_fetch",
        "self._queue.append(message.value)",
        "self._queue.append(message.value) if self._schedule.between(0, 9) else self.consumer.release()",
    ),
]  # fmt: skip
