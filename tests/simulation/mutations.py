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

from agents.committer import Committer
from agents.decider import Decider
from agents.pending import Backlog
from tables.behind import WriteBehind
from tables.uncommitted import Uncommitted
from tests.simulation.broker import Broker, Log
from tests.simulation.faults import expire, rebalance
from tests.simulation.group import Group
from tests.simulation.history import History
from tests.simulation.producer import Transactions
from tests.simulation.releases import Releases
from tests.simulation.worker import Worker
from topics.transport.consumer import SliceConsumer
from topics.transport.recovery import MarkerAwareRecovery
from topics.transport.thread import SliceThread


def any_kind(_history: History) -> None:
    """As its seed would have it."""


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
    shape: Callable[[History], None] = any_kind

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


def frozen_while_it_fences(history: History) -> None:
    """Little else goes wrong than that workers freeze while they take partitions over, and hear late of their group."""
    history.plan.freezes_at, history.plan.freezes = "fence", 0.5
    history.plan.dies, history.doze_rate = 0.0, 0.0
    history.faults, history.fault_rate = [rebalance], 0.01
    history.eagerness = {"keeper: heartbeat": 0.02, "committer: future": 0.02}


def late_fences(history: History) -> None:
    """Workers freeze with decisions in hand, and the markers that are to fence them come late."""
    history.late_markers = Releases.topic
    history.plan.freezes_at, history.plan.freezes, history.plan.dies = "release", 0.2, 0.0
    history.faults, history.fault_rate = [rebalance, expire], 0.01


def slow_disks(history: History) -> None:
    """Rows are long on their way to the store."""
    history.plan.writes = 0.005


MUTATIONS = [
    # -- the decider
    Mutation(
        "the offset committed is that of the last record", Decider, "_decide",
        "fetched[-1].offset + 1", "fetched[-1].offset",
    ),
    Mutation(
        "records delivered again are decided again", Decider, "_unseen",
        "self._next_offset.get(tp, 0)", "0",
        first=16,
    ),
    Mutation(
        "a slice of another assignment is decided", Decider, "handle",
        "slice_.fetched_under == self._owned_under == consumer.thread.fetched_under", "True",
        first=9,
    ),
    Mutation(
        "a slice in hand is decided when the partitions have left", Decider, "revoked",
        "self._owned_under = None", "pass",
        first=9,
    ),
    Mutation(
        "a slice of a backlog is released before those that wait for their transaction", Decider, "_decide",
        "slice_.full or self._committer.alone", "self._committer.alone",
        first=71,
    ),
    Mutation(
        "deciding goes on when the group has refused this member", Decider, "_decide",
        "if not records or self._committer.fenced:", "if not records:",
        first=60,
    ),
    Mutation(
        "a slice is released though what it was decided over was refused meanwhile", Decider, "_decide",
        "if self._committer.fenced:  #", "if False:  #",
        first=1759,
    ),
    Mutation(
        "decisions are released before earlier ones that wait for their transaction", Decider, "_decide",
        "await self._committer.turn()", "pass",
    ),
    Mutation(
        "what follows from decisions may be committed before they are released", Decider, "_decide",
        "released = await self._releases.send(batches) if batches else {}",
        "self._committer.add(works, {}, slice_.fetched_under, decided)\n"
        "        released, works = await self._releases.send(batches) if batches else {}, {}",
        first=24,
    ),
    Mutation(
        "what was decided before and is not committed is not said with the next decisions", Decider, "_pack",
        "*self._committer.unrecorded(partition), ", "",
        first=68,
    ),
    # -- the committer
    Mutation(
        "rows are applied before the commit", Committer, "_commit",
        'self._step("commit")', "self._apply(rows, ends)",
        first=50,
    ),
    Mutation(
        "rows are not applied", Committer, "_commit",
        'self._step("apply")\n    self._apply(rows, ends)', "pass",
    ),
    Mutation(
        "how far the inputs are decided is not written beside the rows", Committer, "_rows",
        "self._sources.rows({**offsets, **positions})", "self._sources.rows(positions)",
        first=28,
    ),
    Mutation(
        "a commit claims a decision more than it has", Committer, "_rows",
        "each.position for each", "each.position + 1 for each",
        first=30,
    ),
    Mutation(
        "decisions are released before a commit has said where to look for them", Committer, "may_release",
        "partition not in self._unpositioned", "True",
    ),
    Mutation(
        "what stands beside released decisions is said again with the next", Backlog, "put",
        "if pending.recorded:", "if False:",
        first=24,
    ),
    Mutation(
        "what is decided and not committed is not seen by what is decided next", Uncommitted, "row",
        "self._rows[partition].get(key)", "None",
    ),
    Mutation(
        "a row that has changed since its commit began is forgotten", Uncommitted, "settle",
        "if latest.get(key) is row:", "if key in latest:",
    ),
    Mutation(
        "what was not committed is remembered past a rebalance", Committer, "_forget",
        "self._uncommitted.forget()", "pass",
        first=15,
    ),
    # -- taking partitions over
    Mutation(
        "what was released and not committed is not looked for", Decider, "take_over",
        "self._committer.take_over(found, ends, membership)", "self._committer.take_over({}, ends, membership)",
    ),
    Mutation(
        "what is committed is done again", Committer, "take_over",
        "if not self._is_committed(partition, work):", "if True:",
        first=24,
    ),
    Mutation(
        "input begins before what was found", Committer, "decided_to",
        "self._sources.committed(tp) if pending is None else pending", "self._sources.committed(tp)",
    ),
    Mutation(
        # A worker freezes before it is the only one whose batches a partition takes; another gets the partition. The
        # first goes on, shuts the other out, and has rows from before what that one has committed.
        "the group is not asked after the fence", Decider, "take_over",
        "not await consumer.thread.call_thread(consumer.thread.counts, membership) or ", "",
        first=39, shape=frozen_while_it_fences,
    ),
    # -- rows on their way to the store
    Mutation(
        "rows on their way are not read", WriteBehind, "row",
        "self._recent.row(partition, key)", "None",
    ),
    Mutation(
        "rows are still on their way when a restore begins", WriteBehind, "forget",
        "self.settle()", "pass",
        first=133, shape=slow_disks,
    ),
    Mutation(
        "rows are remembered past a restore", WriteBehind, "forget",
        "self._recent.clear()", "pass",
        first=68,
    ),
    Mutation(
        "rows are forgotten before they are written", WriteBehind, "_let_go_of_old",
        "self._wait_for(self._last_of_old)", "pass",
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
        first=24,
    ),
    Mutation(
        "whatever the group tells is believed", SliceThread, "go_to_committed",
        "offsets |= behind", "pass",
    ),
    # -- recovery
    Mutation(
        "the end of a changelog is asked for while a transaction is open there", SliceThread, "_highwaters",
        "if stable == end:", "if True:",
        first=8,
    ),
    Mutation(
        # A worker freezes between the answer to its offsets and its first record; another gets the partition, finds no
        # open transaction in the changelog, takes its tables for restored, and waits for stable offsets. The first goes
        # on and commits. The other starts behind that commit with tables from before it.
        "the end of a changelog is asked for before the offsets are stable", SliceThread, "_highwaters",
        "await consumer._coordinator.fetch_committed_offsets(sorted(consumer.assignment()))", "",
        first=17, shape=frozen_before_the_first_record,
    ),
    Mutation(
        "recovery stops one record early", MarkerAwareRecovery, "_finish_partitions",
        "position > end", "position >= end - 1",
    ),
    # -- what is asked of Kafka
    Mutation(
        "a second producer does not fence the first", Broker, "_current",
        "producer.epoch != epoch", "False",
        first=10,
    ),
    Mutation(
        "a batch of an older epoch is taken", Log, "append_batch",
        "if epoch < self.epochs.get(producer, -1):", "if False:",
        first=46,
    ),
    Mutation(
        "a fence is an epoch that the partition does not hear of", Releases, "_fence",
        "await self._mark(partition, await self._become(partition))", "pass",
        first=86,
    ),
    Mutation(
        "the marker of a fence is not waited for", Releases, "_fence",
        "await self._become(partition)\n", "self._broker.init_producer(_name(partition))\n",
        first=844, shape=late_fences,
    ),
    Mutation(
        "offsets of a stale member are taken", Broker, "add_offsets",
        "if refusal is not None:", "if False:",
        first=90,
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
        first=8,
    ),
    Mutation(
        "committed offsets are fetched while a transaction may move them", Group, "stable",
        "return not any(self._pending[tp] for tp in tps)", "return True",
        first=1049,
    ),
    Mutation(
        "a slice is lost on its way to the decider", Worker, "_fetch",
        "self._queue.append(message.value)",
        "self._queue.append(message.value) if self._schedule.between(0, 9) else self.consumer.release()",
    ),
]  # fmt: skip
