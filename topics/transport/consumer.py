"""Faust's consumer, made to hand out slices: all that one poll brings, from all owned partitions, as one event.

What differs from Faust's own, and why (its source at 0.15.3), beside what runs in its thread (thread.py):
- one slice is in work at a time, and records gather into the next meanwhile (Faust instead fills a buffer, takes full
  partitions out of the active set, and sleeps a second). They are fetched when the one in work is about to be
  committed (fetching.py), and taken out of the fetcher, in its thread, while the commit travels;
- paused partitions are paused in aiokafka too: a prefetched changelog partition that nobody reads holds up every
  fetch from its broker;
- input waits until the tables are restored and this consumer has gone to the committed offsets itself, never behind
  those that were restored with the rows (Faust resumes input, seeks, and then empties the streams' queues: a slice
  handed out meanwhile is gone, with the position past it, and a partition nothing was ever committed on is not sought
  at all);
- changelog records go to the store in bulk (Faust: one event each).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aiokafka import ConsumerRecord, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from topics.transport.fencing import Membership
from topics.transport.thread import SliceThread

BEYOND_ANY_OFFSET: Final = 2**62
"""Faust drops events below its read offset; a slice spans partitions, so it claims an offset that always passes."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one poll brings (rationing.py). Each partition's records are in offset order."""

    fetched_under: Membership
    records: Mapping[TP, list[ConsumerRecord]]
    full: bool = False  # as many as a poll may bring: there are more


def _not_known(_tp: TP) -> None:
    """Nothing says so."""


def _nobody() -> None:
    """Is told."""


class SliceConsumer(driver.Consumer):
    """Yields one event per poll; `release` opens the gate for the next, which `fetch_ahead` may have begun.

    Input is handed out only in a term whose tables are restored, and only after `getmany`, the one place that takes
    records, has gone to the committed offsets. What a poll begun earlier brings is dropped: that seek is still to come.
    """

    fetch_wait_ms: int = 20
    decided_to: Callable[[TP], int | None] = staticmethod(_not_known)  # the offset behind what is decided of an input
    input_flows: Callable[[], None] = staticmethod(_nobody)  # is told when it does

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._make_gates()

    def _make_gates(self) -> None:
        """Open for a poll, closed for input."""
        self._idle, self._ahead = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._ahead.set()
        self.term = 0  # counts revocations and assignments
        self._tables_restored = self._positioned = False

    def _new_consumer_thread(self) -> SliceThread:
        return SliceThread(self, fetch_wait_ms=self.fetch_wait_ms, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> SliceThread:
        return cast(SliceThread, self._thread)

    def fetch_ahead(self) -> None:
        """The next slice may be made ready: the one in work is about to be committed, or there is a backlog."""
        if not self._ahead.is_set():
            self._ahead.set()
            self.thread.fetch_ahead()

    def release(self) -> None:
        """The slice in work is done with, committed or dropped."""
        self.fetch_ahead()
        self._idle.set()

    @property
    def in_work(self) -> bool:
        """A slice was handed out and is not done with."""
        return not self._idle.is_set()

    @property
    def takes_input(self) -> bool:
        """The next poll may bring a slice; before, all it brings is the changelog's."""
        return self._tables_restored

    def open_input(self, term: int) -> None:
        """The tables of this term are restored; without effect if another has begun."""
        self._tables_restored = term == self.term
        if self._tables_restored:
            self.input_flows()

    def _close_input(self) -> None:
        self.term += 1
        self._tables_restored = self._positioned = False

    def stop_flow(self) -> None:
        """Faust calls this when partitions leave."""
        self._close_input()
        super().stop_flow()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._close_input()
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Nothing: Faust's moment is too early, see `getmany`."""

    async def _go_to_committed(self) -> None:
        term = self.term
        inputs = [tp for tp in self.assignment() if not self._is_changelog_tp(tp)]
        floors = {tp: offset for tp in inputs if (offset := self.decided_to(tp)) is not None}
        await self.thread.call_thread(self.thread.go_to_committed, inputs, floors)
        self._positioned = term == self.term

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        super().pause_partitions(tps)
        self._in_thread("pause", tps)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(tps)
        self._in_thread("resume", tps)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's signature
        await self._ahead.wait()
        if self._tables_restored and not self._positioned:
            await self._idle.wait()
            await self._go_to_committed()
        records, active = await self._wait_next_records(timeout)
        await self._idle.wait()
        slice_ = self._input_of(records, active)
        if slice_ and self.thread.fetched_under is not None:
            tp = next(iter(slice_))
            message = self._to_message(tp, slice_[tp][-1])
            message.offset = BEYOND_ANY_OFFSET
            message.value = cast(Any, Slice(self.thread.fetched_under, slice_, self.thread.full))
            self._idle.clear()
            self._ahead.clear()
            yield tp, message
        else:
            self.thread.fetch_ahead()

    def _input_of(self, records: Any, active: Any) -> dict[TP, list[ConsumerRecord]]:
        """What may be handed out of what was fetched; changelog records go to the store."""
        if not records or self.should_stop or not self.flow_active:
            return {}
        slice_ = {}
        for tp, fetched in records.items():
            if not fetched or (active is not None and tp not in active):
                continue
            if self._is_changelog_tp(tp):
                if not (self._tables_restored and self._is_own(tp)):  # else it is what this worker itself has written
                    self._restore(tp, fetched)
            elif self._positioned:
                slice_[tp] = fetched
        return slice_

    def _is_own(self, changelog: TP) -> bool:
        """Whether this worker is the owner of a changelog partition, and no standby."""
        return changelog in cast(Any, self.app.tables).recovery.active_tps

    def _restore(self, tp: TP, fetched: list[ConsumerRecord]) -> None:
        """Changelog records during recovery, active or standby: to the store in one write."""
        tables = cast(Any, self.app.tables)
        rows, offset = [(record.key, record.value) for record in fetched], fetched[-1].offset
        logged = not tables.recovery.is_far(tp, offset)
        tables._changelogs[tp.topic].data.write(tp.partition, rows, offset, logged=logged)
        tables.recovery.restored(tp, offset)

    def _in_thread(self, verb: str, tps: Iterable[TP]) -> None:
        consumer = self.thread._ensure_consumer()
        wanted = [TopicPartition(*tp) for tp in tps]

        def call() -> None:
            mine = consumer.assignment().intersection(wanted)
            if mine:
                getattr(consumer, verb)(*mine)

        self.thread._soon(call)


class SliceTransport(driver.Transport):
    """Faust's transport with our consumer, whose fetches wait `fetch_wait_ms` for records, longer where none come."""

    def __init__(self, url: Any, app: Any, fetch_wait_ms: int) -> None:
        super().__init__(url, app)
        vars(self)["Consumer"] = type("Consumer", (SliceConsumer,), {"fetch_wait_ms": fetch_wait_ms})
