"""What runs in Faust's consumer thread, where aiokafka's consumer and its group coordinator live: polls and positions.

- Records are read committed, and a fetch waits briefly for them (fetching.py; Faust: uncommitted, 1,500 ms).
- The membership is noted the moment records leave the fetcher.
- The end of a changelog is asked for when nothing may be added to it any more by who owned it before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from topics.transport.connections import require_running
from topics.transport.fencing import Membership, counts, membership, require_stable_offsets
from topics.transport.fetching import make_patient
from topics.transport.inheritance import end_what_the_dead_left_open
from topics.transport.rationing import RationingFetcher

log = logging.getLogger(__name__)


class TakesInput(Protocol):
    """The consumer that the thread belongs to."""

    @property
    def takes_input(self) -> bool:
        """The next poll may bring a slice; before, all it brings is the changelog's."""


class SliceThread(driver.AIOKafkaConsumerThread):
    """Everything here is called in that thread, by `call_thread`, except `fetch_ahead`."""

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
        make_patient(self._consumer, lambda: self._takes_input, RationingFetcher)

    @property
    def _takes_input(self) -> bool:
        return cast(TakesInput, self.consumer).takes_input

    async def _fetch_records(self, consumer: AIOKafkaConsumer, *args: Any, **kwargs: Any) -> Any:
        _require_health(consumer)
        takes_input = self._takes_input
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

    async def membership(self) -> Membership:
        """As the coordinator holds it now."""
        return membership(self._ensure_consumer())

    async def counts(self, member: Membership) -> bool:
        """Whether the group counts this member in this generation."""
        return await counts(self._ensure_consumer(), member)

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
        where nothing was committed. `floors`: the offsets behind what is decided, where that is known: among the rows,
        or beside decisions that are not committed yet (decision 23). A coordinator may tell older ones (decision 21):
        what lies between would be decided and answered again.
        """
        consumer = self._ensure_consumer()
        wanted = {TopicPartition(*tp) for tp in partitions}
        committed = await consumer._coordinator.fetch_committed_offsets(list(wanted))
        offsets = {tp: committed[tp].offset for tp in wanted & committed.keys()}
        behind = {tp: floors[TP(*tp)] for tp in wanted if offsets.get(tp, 0) < floors.get(TP(*tp), 0)}
        for tp, floor in behind.items():
            log.warning(
                "%s: the group's offset is %s, what is before %s is decided: going on there",
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


def _require_health(consumer: AIOKafkaConsumer) -> None:
    """Raises what has ended a background task of the consumer, or what its group coordinator waits for somebody to
    hear: aiokafka says so where its consumer is asked for records, and Faust asks the fetcher."""
    if not consumer._closed:
        consumer._coordinator.check_errors()
        require_running(consumer._client._sync_task, consumer._fetcher._fetch_task)
