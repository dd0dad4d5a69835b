"""Faust's consumer, made to hand out slices: everything one poll fetched, from all owned partitions, as one event.

What differs from Faust's own, and why (its source at 0.15.3):
- records are read committed, and a fetch waits briefly for them (fetching.py; Faust: uncommitted, 1,500 ms);
- the membership is noted in the fetcher's thread the moment records leave it;
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
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from topics.transport.fencing import Membership, membership, require_stable_offsets
from topics.transport.fetching import make_holdable
from topics.transport.inheritance import end_what_the_dead_left_open

log = logging.getLogger(__name__)

BEYOND_ANY_OFFSET: Final = 2**62
"""Faust drops events below its read offset; a slice spans partitions, so it claims an offset that always passes."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one poll fetched. Each partition's records are in offset order."""

    fetched_under: Membership
    records: Mapping[TP, list[ConsumerRecord]]
    full: bool = False  # as many as a poll may bring: there are more


class SliceThread(driver.AIOKafkaConsumerThread):
    """Runs in Faust's consumer thread, where aiokafka's group coordinator lives as well."""

    fetch_wait_ms: int
    fetched_under: Membership | None = None
    full = False

    def __init__(self, *args: Any, fetch_wait_ms: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetch_wait_ms = fetch_wait_ms
        self._last_handed_out: dict[TP, int] = {}

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = self.fetch_wait_ms
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        require_stable_offsets(self._consumer)
        # A restore ends with partitions resumed, which must not wait for a fetch that travels.
        make_holdable(self._consumer, lambda: cast(SliceConsumer, self.consumer).takes_input)

    async def _fetch_records(self, consumer: AIOKafkaConsumer, *args: Any, **kwargs: Any) -> Any:
        takes_input = cast(SliceConsumer, self.consumer).takes_input
        if not takes_input:
            kwargs["max_records"] = None  # all that was fetched, so that the next fetch travels while it is stored
        records = await super()._fetch_records(consumer, *args, **kwargs)
        self.fetched_under = membership(consumer)  # no await since the records left the fetcher
        if takes_input and records:
            consumer._fetcher.hold()
            self.full = sum(map(len, records.values())) >= consumer._max_poll_records
        for tp, fetched in records.items():
            if fetched:
                self._last_handed_out[tp] = fetched[-1].offset
        return records

    def fetch_ahead(self) -> None:
        """The fetch that was held back since records were handed out may travel. To be called from any thread."""
        fetcher = self._ensure_consumer()._fetcher
        if fetcher.held:
            self._soon(fetcher.let_go)

    def _soon(self, call: Callable[[], None]) -> None:
        self.thread_loop.call_soon_threadsafe(call)

    async def _highwaters(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """End offsets, once no transaction of a previous owner is open.

        One that has moved the offsets of this assignment but written no record yet is open as well, and may still
        commit: the committed offsets are waited for first. After that none can begin, a previous owner is fenced; one
        that has written is open until the last stable offset equals the high watermark. A dead one's is ended.
        """
        consumer = self._ensure_consumer()
        await end_what_the_dead_left_open(consumer, {TopicPartition(*tp) for tp in partitions})
        await consumer._coordinator.fetch_committed_offsets(sorted(consumer.assignment()))
        while True:
            stable = await consumer.end_offsets(partitions)
            consumer._fetcher._isolation_level = 0
            try:
                end = await consumer.end_offsets(partitions)
            finally:
                consumer._fetcher._isolation_level = 1
            if stable == end:
                return stable  # type: ignore[no-any-return]
            await asyncio.sleep(0.05)

    async def stable_ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """The last stable offsets as they are now: enough for a standby, whose partitions are being written to."""
        return await self._ensure_consumer().end_offsets(partitions)  # type: ignore[no-any-return]

    async def go_to_committed(self, partitions: Iterable[TP], floors: Mapping[TP, int]) -> None:
        """Position `partitions`, as far as they are still assigned, at the group's committed offsets; at the beginning
        where nothing was committed. `floors`: the offsets that stand among the rows, where some do. A coordinator may
        tell older ones (ADR 21): what lies between would be decided and answered again.
        """
        consumer = self._ensure_consumer()
        wanted = {TopicPartition(*tp) for tp in partitions}
        committed = await consumer._coordinator.fetch_committed_offsets(list(wanted))
        offsets = {tp: committed[tp].offset for tp in wanted & committed.keys()}
        behind = {tp: floors[TP(*tp)] for tp in wanted if offsets.get(tp, 0) < floors.get(TP(*tp), 0)}
        for tp, floor in behind.items():
            log.warning(
                "%s: the group's offset is %s, the rows have what is before %s: going on there",
                tp,
                offsets.get(tp),
                floor,
            )
        offsets |= behind
        wanted &= consumer.assignment()
        for tp in wanted & offsets.keys():
            consumer.seek(tp, offsets[tp])
        uncommitted = wanted - offsets.keys()
        if uncommitted:
            await consumer.seek_to_beginning(*uncommitted)

    async def progress(self, partitions: Iterable[TP]) -> dict[TP, tuple[int | None, int | None]]:
        """{partition: (position, offset of the last record handed out)}, both of one moment."""
        state = self._ensure_consumer()._subscription.subscription.assignment.state_value
        found = {}
        for tp in partitions:
            partition = state(TopicPartition(*tp))
            if partition is not None:
                found[tp] = (partition._position, self._last_handed_out.get(tp))
        return found


def _not_known(_tp: TP) -> None:
    """The rows say nothing."""


class SliceConsumer(driver.Consumer):
    """Yields one event per poll; `release` opens the gate for the next, which `fetch_ahead` may have begun.

    Input is handed out only in a term whose tables are restored, and only after `getmany`, the one place that takes
    records, has gone to the committed offsets. What a poll begun earlier brings is dropped: that seek is still to come.
    """

    fetch_wait_ms: int = 20
    in_rows: Callable[[TP], int | None] = staticmethod(_not_known)  # up to which offset of an input they are complete

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle, self._ahead = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._ahead.set()
        self.term = 0  # counts revocations and assignments
        self._tables_restored = False
        self._positioned = False

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
        floors = {tp: offset for tp in inputs if (offset := self.in_rows(tp)) is not None}
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
                self._restore(tp, fetched)
            elif self._positioned:
                slice_[tp] = fetched
        return slice_

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
