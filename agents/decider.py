"""The agent that decides: one slice in, its decisions out, and what follows from them into the next transaction.

    1. skip      what this assignment has already decided, should it ever be delivered again
    2. decide    the engine works the slice out, over rows that may not be committed yet
    3. release   the decisions, each partition's in one batch with what follows from them; now they hold
    4. add       rows, replies, journal entries, dead letters and source offsets to what is committed next
                 (agents/committer.py)

Decisions that cannot be released (their batch would be too large, or nobody would know yet where to look for it) are
added as well, and can be read when they are committed, which is then done at once. None are released before they are:
those of a partition are in the log in the order of its requests.

A message that came to a wrong partition is its producer's mistake, or the topics have other partitions than they had:
then nothing may be decided any more, so that is asked before 3.

A failure before 3 leaves nothing behind; one at 3 leaves the outcome unknown, and the worker ends: the next owner of
the partition finds the decisions, or decides.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

from aiokafka import ConsumerRecord
from aiokafka.errors import ProducerFenced
from faust.types import TP

from agents.clock import wall_clock
from agents.committer import Committer, Step
from agents.decided import WRONG_PARTITION, Decided
from agents.engine import Engine
from agents.metrics import WorkerMetrics
from topics.transport.batches import Batch, Record
from topics.transport.consumer import Slice, SliceConsumer
from topics.transport.fencing import Membership
from topics.transport.redo import Work
from topics.transport.release import Releases

log = logging.getLogger(__name__)

Decisions = dict[int, list[Record]]
"""By partition."""


class Decider:
    """Owns the slice in work. `lock` is held while it is, so that a revocation waits for it, and for the commit: Faust
    delays the rejoin until then and the running transaction keeps a valid generation."""

    def __init__(
        self,
        engine: Engine,
        releases: Releases,
        committer: Committer,
        metrics: WorkerMetrics,
        *,
        step: Step = lambda _name: None,
        clock: Callable[[], int] = wall_clock,
        check_partitions: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`check_partitions` raises when the topics have other partitions than they had."""
        self._check_partitions = check_partitions
        self._engine = engine
        self._releases = releases
        self._committer = committer
        self._metrics = metrics
        self._step = step
        self._clock = clock
        self._owned_under: Membership | None = None  # None: the partitions are not taken over
        self._next_offset: dict[TP, int] = {}
        self.finished = 0  # slices and revocations done with
        self.lock = asyncio.Lock()

    async def handle(self, slice_: Slice, consumer: SliceConsumer) -> None:
        """Decide one slice, or drop it if it was fetched before a rebalance; raises whatever leaves its outcome
        unknown."""
        async with self.lock:
            try:
                if slice_.fetched_under == self._owned_under == consumer.thread.fetched_under:
                    await self._releases.keep()
                    await self._decide(slice_, self._unseen(slice_.records), consumer.fetch_ahead)
            except ProducerFenced:
                await self._committer.stop()
                raise
            finally:
                consumer.release()
                self.finished += 1

    async def take_over(
        self, partitions: Collection[int], consumer: SliceConsumer, is_current: Callable[[], bool]
    ) -> None:
        """Partitions have come and their rows are restored: fence who had them before, and do what follows from the
        decisions whose transaction never came. `is_current`: whether they are still ours."""
        async with self.lock:
            if not is_current():
                return
            membership = await consumer.thread.call_thread(consumer.thread.membership)
            await self._releases.take_over(partitions)
            starts = {partition: self._committer.position(partition) for partition in partitions}
            found, ends = await self._releases.read(starts)
            # Whoever gets them after this answer fences after it as well. Without it, somebody may have done more with
            # them since the rows were restored.
            if not await consumer.thread.call_thread(consumer.thread.counts, membership) or not is_current():
                return
            self._owned_under = membership
            again = self._committer.take_over(found, ends, membership)
            if again:
                log.warning("%d rows and records that follow from released decisions are committed now", again)

    async def revoked(self, consumer: SliceConsumer) -> None:
        """Partitions leave: commit what is decided, forget the offsets of this assignment."""
        async with self.lock:
            self._owned_under = None
            await self._committer.finish()
            consumer.release()  # Faust has emptied the stream's queue
            self._next_offset.clear()
            self.finished += 1

    def next_offset(self, tp: TP) -> int:
        """The first offset of an input partition that this assignment has not decided; 0 before the first slice."""
        return self._next_offset.get(tp, 0)

    def lags(self, end: Callable[[TP], int | None]) -> dict[TP, int]:
        """Records behind the end of each partition decided so far; `end` gives a partition's end offset if known."""
        ends = {tp: end(tp) for tp in self._next_offset}
        return {tp: max(0, last - self._next_offset[tp]) for tp, last in ends.items() if last is not None}

    def _unseen(self, records: Mapping[TP, list[ConsumerRecord]]) -> dict[TP, list[ConsumerRecord]]:
        unseen = {}
        for tp, fetched in records.items():
            start = self._next_offset.get(tp, 0)
            new = fetched if fetched[0].offset >= start else [record for record in fetched if record.offset >= start]
            if new:
                unseen[tp] = new
        return unseen

    async def _decide(
        self, slice_: Slice, records: Mapping[TP, list[ConsumerRecord]], fetch_ahead: Callable[[], None]
    ) -> None:
        await self._committer.room()
        if not slice_.full:
            await self._committer.turn()
        if not records or self._committer.fenced:
            return
        started = time.perf_counter()
        self._step("decide")
        decided = self._engine.decide(records, self._clock())
        deciding_s = time.perf_counter() - started
        if decided.dead_letters[WRONG_PARTITION] and self._check_partitions is not None:
            await self._check_partitions()
            if self._committer.fenced:  # since the slice was decided, over rows that nobody will commit now
                return
        offsets = {tp: fetched[-1].offset + 1 for tp, fetched in records.items()}
        works, decisions = self._works(decided, offsets)
        self._metrics.observe(decided, records, deciding_s)
        seen = partial(self._metrics.observe_latency, records)
        batches = None if slice_.full or self._committer.alone else self._pack(decisions, works)
        fetch_ahead()  # what comes next is fetched while the batches travel
        if batches is None:
            for partition, each in decisions.items():
                works[partition].records[self._releases.topic] = each
            self._committer.add(works, {}, slice_.fetched_under, decided, seen)
            await self._committer.soon()
        else:
            self._step("release")
            released = await self._releases.send(batches) if batches else {}
            seen()
            self._committer.add(works, released, slice_.fetched_under, decided)
        self._next_offset.update(offsets)

    def _pack(self, decisions: Decisions, works: Mapping[int, Work]) -> dict[int, Batch] | None:
        """A batch for each partition with decisions, with what follows from them; None if they have to wait for their
        transaction."""
        batches = {}
        for partition, each in decisions.items():
            if not self._committer.may_release(partition):
                return None
            follows = [*self._committer.unrecorded(partition), works[partition]]
            batch = self._releases.pack(partition, each, follows)
            if batch is None:
                return None
            batches[partition] = batch
        return batches

    def _works(self, decided: Decided, offsets: Mapping[TP, int]) -> tuple[dict[int, Work], Decisions]:
        """(what the slice has made of each partition, the decisions to be released)"""
        works = {tp.partition: Work({}, [], {}) for tp in offsets}
        decisions: Decisions = {}
        for tp, offset in offsets.items():
            works[tp.partition].offsets[tp.topic] = offset
        for partition, rows in decided.rows.items():
            works[partition].rows = rows
        for (topic, partition), records in decided.records.items():
            if topic == self._releases.topic:
                decisions[partition] = records
            elif records:
                works[partition].records[topic] = records
        return works, decisions
