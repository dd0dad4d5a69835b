"""What is decided, on its way into fenced Kafka transactions and then to the local store: one transaction for all that
was decided since the one before.

    1. begin     announce partitions and group, and send the source offsets
    2. write     changelog rows with the source offsets, replies, journal entries, dead letters; a stale worker stops
                 here, and what it has written is aborted
    3. commit    now it happened
    4. apply     rows and their changelog offset on their way to the store (tables/behind.py)

Decisions that were released (topics/transport/release.py) are seen already: what follows from them stands in the log
with them, and whoever gets the partition next does it if this worker cannot. So a transaction that fails takes nothing
back that anybody has seen. `MemberFenced` aborts it and waits for the rejoin; any other failure leaves its outcome
unknown, and the worker ends: a restart restores from the changelog.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from aiokafka import TopicPartition
from faust.types import TP

from agents.decided import Decided
from agents.metrics import WorkerMetrics
from agents.pending import Backlog, Pending, latest_offsets
from tables.behind import PartitionRows
from tables.source_offsets import Rows, SourceOffsets
from tables.uncommitted import Uncommitted
from topics.transport.batches import Record
from topics.transport.fencing import MemberFenced, Membership
from topics.transport.redo import Work
from topics.transport.release import Redo
from topics.transport.transaction import Transactions

MOST_PENDING: Final = 40_000
"""Rows and records decided and not yet committed, beyond which deciding waits: they are in memory, and the next owner
would have to do them again."""

Step = Callable[[str], None]
"""Called at each numbered step with its name; tests end or freeze the process there."""

WriteRows = Callable[[Sequence[PartitionRows]], None]
"""Committed rows to the local store; each partition's in one write with its changelog offset"""


class Committer:
    """Commits in the order of `add`. `fenced`: this worker is no longer counted among its group in the generation that
    its input was fetched in; nothing is to be decided until the partitions come anew."""

    def __init__(  # noqa: PLR0913
        self,
        transactions: Transactions,
        changelog: str,
        decisions: str,
        sources: SourceOffsets,
        uncommitted: Uncommitted,
        *,
        write_rows: WriteRows,
        metrics: WorkerMetrics,
        every_s: float,
        step: Step = lambda _name: None,
    ) -> None:
        """`every_s`: how long what was decided may wait for more; `decisions`: the topic of those that are released."""
        self._transactions = transactions
        self._changelog = changelog
        self._decisions = decisions
        self._sources = sources
        self._uncommitted = uncommitted
        self._write_rows = write_rows
        self._metrics = metrics
        self._every_s = every_s
        self._step = step
        self._lock = asyncio.Lock()  # held for a whole transaction
        self._wanted, self._due = asyncio.Event(), asyncio.Event()
        self._backlog = Backlog()
        self._decided: list[Decided] = []
        self._when_committed: list[Callable[[], object]] = []
        self._fetched_under: Membership | None = None
        self._positions: dict[int, int] = {}
        self._unpositioned: set[int] = set()
        self.fenced = False
        self.finished = 0  # transactions done with

    # -- what is pending

    def add(
        self,
        works: Mapping[int, Work],
        released: Mapping[int, int],
        fetched_under: Membership,
        decided: Decided,
        when_committed: Callable[[], object] | None = None,
    ) -> None:
        """One slice, by partition. `released`: the offsets behind its decisions, where they are in the log."""
        if self.fenced:
            return
        for partition, work in works.items():
            if partition in released:
                self._positions[partition] = released[partition]
            self._put(partition, work, self._positions[partition], recorded=partition in released)
        self._decided.append(decided)
        if when_committed is not None:
            self._when_committed.append(when_committed)
        self._fetched_under = fetched_under
        self._wanted.set()

    def _put(self, partition: int, work: Work, position: int, *, recorded: bool) -> None:
        self._backlog.put(Pending(partition, work, position, recorded, self._decisions in work.records))
        self._uncommitted.add(partition, work.rows)

    def unrecorded(self, partition: int) -> list[Work]:
        """What was decided before and nobody could read if this worker died now: the next release has to say it too."""
        return self._backlog.unrecorded(partition)

    def may_release(self, partition: int) -> bool:
        """Whether the next owner would know where to look for it: not before a first commit has said where."""
        return partition not in self._unpositioned

    @property
    def alone(self) -> bool:
        """Each slice is to be committed before the next is decided, and no decisions are to be released."""
        return not self._every_s

    @property
    def pending(self) -> bool:
        """Something is decided and not committed."""
        return bool(self._backlog)

    # -- partitions come and go

    def take_over(self, found: Mapping[int, Sequence[Redo]], ends: Mapping[int, int], membership: Membership) -> int:
        """Partitions come, with the redo of batches behind the last commit; how many rows and records follow from it.
        `ends`: offsets of the decisions, by partition.

        It is committed when input flows (`input_flows`): the changelog is still read until then, and would bring rows
        older than those that are in the store after a commit.
        """
        self._forget()
        self._positions = dict(ends)
        self._unpositioned = {partition for partition in ends if self.position(partition) is None}
        for partition, redos in found.items():
            for offset, works in redos:
                for work in works:
                    if not self._is_committed(partition, work):
                        self._put(partition, work, offset + 1, recorded=True)
        self._fetched_under = membership
        return self._backlog.size

    def input_flows(self) -> None:
        """What was found may be committed."""
        if self._backlog:
            self._wanted.set()

    def position(self, partition: int) -> int | None:
        """The offset of the decisions up to which everything is committed; None where the rows do not say."""
        return self._sources.committed(TP(self._decisions, partition))

    def _is_committed(self, partition: int, work: Work) -> bool:
        """A transaction has all of a slice's work on a partition, or nothing."""
        return all(
            (self._sources.committed(TP(topic, partition)) or 0) >= offset for topic, offset in work.offsets.items()
        )

    def decided_to(self, tp: TP) -> int | None:
        """The offset behind the last record of an input partition that is decided; None where nothing says so."""
        pending = self._backlog.decided_to(tp)
        return self._sources.committed(tp) if pending is None else pending

    async def finish(self) -> None:
        """Partitions leave: commit what is decided, and forget all about them."""
        await self.flush()
        self._forget()

    async def stop(self) -> None:
        """This worker ends, because others have its partitions: nothing is committed any more, but what travels comes
        to its end. A transaction that is left open now would be ended by nobody but its timeout, and hide from readers
        what those others commit."""
        async with self._lock:
            self.fenced = True
            self._backlog.forget()

    def _forget(self) -> None:
        self._backlog.forget()
        self._decided, self._when_committed = [], []
        self._uncommitted.forget()
        self._positions, self._unpositioned = {}, set()
        self.fenced = False

    # -- transactions

    async def run(self) -> NoReturn:
        """Commit what comes; raises what leaves the outcome of a transaction unknown."""
        while True:
            await self._wanted.wait()
            timer = asyncio.get_running_loop().call_later(self._every_s, self._due.set)
            await self._due.wait()
            timer.cancel()
            self._due.clear()
            await self.flush()

    async def room(self) -> None:
        """Wait until not too much is pending."""
        if self._backlog.size > MOST_PENDING:
            await self.flush()

    async def turn(self) -> None:
        """Wait until no decisions wait for their transaction: those that are released next would come before them."""
        if self._backlog.waited_for:
            await self.flush()

    async def soon(self) -> None:
        """Somebody waits for what was added. Returns while it travels, unless each slice is to be committed alone."""
        if self.alone:
            await self.flush()
        else:
            self._due.set()
            await asyncio.sleep(0)

    async def flush(self) -> None:
        """Until nothing that was added before is pending."""
        async with self._lock:
            self._wanted.clear()
            if self._backlog.waiting and self._fetched_under is not None:
                await self._commit(self._fetched_under)

    async def _commit(self, fetched_under: Membership) -> None:
        travelling = self._backlog.take()
        decided, self._decided = self._decided, []
        when_committed, self._when_committed = self._when_committed, []
        started = time.perf_counter()
        offsets = latest_offsets(travelling)
        rows = self._rows(travelling, offsets)
        destinations = self._destinations(travelling, rows)
        self._step("begin")
        await self._transactions.begin(
            set(destinations), {TopicPartition(*tp): offset for tp, offset in offsets.items()}, fetched_under
        )
        try:
            packed = self._transactions.pack(destinations)
            self._step("write")
            ends = await self._transactions.write(packed)
            self._step("commit")
            await self._transactions.commit()
        except MemberFenced:
            self.fenced = True
            self._metrics.fenced.inc()
            self._backlog.forget()
            await self._transactions.abort()
            return
        self._step("apply")
        self._apply(rows, ends)
        self._backlog.arrived()
        self.finished += 1
        self._metrics.observe_commit(decided, time.perf_counter() - started)
        for tell in when_committed:
            tell()
        self._step("done")

    def _rows(self, travelling: Sequence[Pending], offsets: Mapping[TP, int]) -> dict[int, Rows]:
        """The latest of each account by partition, behind how far inputs and decisions are committed with them."""
        positions = {TP(self._decisions, each.partition): each.position for each in travelling}
        latest: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        for pending in travelling:
            latest[pending.partition].update(pending.work.rows)
        found = self._sources.rows({**offsets, **positions})
        for partition, rows in latest.items():
            found[partition] += rows.items()
        return found

    def _destinations(
        self, travelling: Sequence[Pending], rows: Mapping[int, Rows]
    ) -> dict[TopicPartition, list[Record]]:
        """Everything to be written. The changelog is always among it: it is how the next owner of a partition knows
        that the transaction is about it (topics/transport/inheritance.py)."""
        found: defaultdict[TopicPartition, list[Record]] = defaultdict(list)
        for pending in travelling:
            for topic, records in pending.work.records.items():
                found[TopicPartition(topic, pending.partition)] += records
        for partition, each in rows.items():
            found[TopicPartition(self._changelog, partition)] += each
        return dict(found)

    def _apply(self, rows: Mapping[int, Rows], ends: Mapping[TopicPartition, int]) -> None:
        self._write_rows(
            [
                PartitionRows(partition, each, ends[TopicPartition(self._changelog, partition)])
                for partition, each in rows.items()
            ]
        )
        for partition, each in rows.items():
            self._uncommitted.settle(partition, each)
            self._unpositioned.discard(partition)
