"""How much of a slice what comes by the file may be.

Networks send clearings and payments by the file, and issuers change accounts by the campaign: tens of thousands within
a second. A request that came behind them would wait until all are decided. So a slice takes every request there is, and
of each partition of the other topics a ration; what is left stays in the fetcher, where it is dropped and fetched again
when the partition is sought or leaves.

A worker asks for requests some hundred times a second, and both it and the broker look at each partition that is asked
for. So what comes by the file is asked for every `FILES_APART_S` only, or when some has been handed out to its end, or
where nothing else comes.

A ration grows with the requests beside it, so that files are never starved, not even by a backlog of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import FetchResult

from topics.declarations import ACCOUNT_EVENTS, CLEARINGS, PAYMENTS
from topics.transport.fetching import HeldFetcher
from topics.transport.survey import Positions

RATIONED: Final = frozenset(spec.name for spec in (CLEARINGS, PAYMENTS, ACCOUNT_EVENTS))
"""Topics whose records may wait for some slices more than a request may."""
BESIDE_REQUESTS: Final = 8
"""Records of one partition in a slice with few requests: over 4 partitions 2 to 3 ms of deciding."""
ALONE: Final = 32
"""In a slice without requests. One that comes meanwhile waits for it."""
A_RECORD_FOR: Final = 4
"""With a backlog of requests: one record of each rationed topic for so many of them."""
FILES_APART_S: Final = 0.02

Records = dict[TopicPartition, list[ConsumerRecord]]


def ration(requests: int, partitions: int) -> int:
    """Records that a slice takes of one rationed partition, beside so many requests of so many partitions."""
    if not requests:
        return ALONE
    return max(BESIDE_REQUESTS, requests // (A_RECORD_FOR * partitions))


class RationingFetcher(HeldFetcher):
    """Hands out requests first, and rations of the rest, wherever a number of records is asked for (while input is
    taken). What was fetched and not handed out does not keep others from being fetched, unlike aiokafka's own."""

    _files_due: Mapping[int, float] = MappingProxyType({})
    """When a node is to be asked for files again, by the event loop's clock."""

    async def fetched_records(
        self, partitions: Collection[TopicPartition], timeout: float = 0, max_records: int | None = None  # noqa: ASYNC109 - aiokafka's signature
    ) -> Records:  # fmt: skip
        if max_records is None:
            return await super().fetched_records(partitions, timeout)  # type: ignore[no-any-return]
        if self._records and all(tp.topic in RATIONED for tp in self._records):
            await self._something_came(self.shortest_ms / 1000)  # requests, before the rest of a file
        records = await self._take(partitions, max_records)
        if not records and timeout and await self._something_came(timeout):
            records = await self._take(partitions, max_records)
        return records

    def _get_actions_per_node(self, assignment: Any) -> Any:
        for tp, result in self._records.items():
            if tp.topic in RATIONED and isinstance(result, FetchResult):
                result._backoff = 0  # seconds for which no other partition of its broker would be fetched
        return super()._get_actions_per_node(assignment)

    def _asked_now(self, node: int, positions: Positions) -> Positions:
        """Without what comes by the file, where there are others to be asked for and it is not time for files."""
        now = self._loop.time()
        others = [each for each in positions if each[0].topic not in RATIONED]
        if others and now < self._files_due.get(node, 0) and self._fetch_max_wait_ms == self.shortest_ms:
            return others
        self._files_due = {**self._files_due, node: now + FILES_APART_S}
        return positions

    async def _take(self, partitions: Collection[TopicPartition], max_records: int) -> Records:
        """All requests, up to `max_records`, and rations beyond them. Nothing is awaited once they are taken."""
        at_once = [tp for tp in partitions if tp.topic not in RATIONED]
        requests: Records = await super().fetched_records(at_once, 0, max_records) if at_once else {}
        each = min(ration(sum(map(len, requests.values())), len(requests)), max_records)
        return requests | self._rations(partitions, each, may_raise=not requests)

    def _rations(self, partitions: Collection[TopicPartition], each: int, *, may_raise: bool) -> Records:
        """`each` records of every rationed partition that has as many. `may_raise`: nothing would be lost by that."""
        found: Records = {}
        for tp in [tp for tp in self._records if tp.topic in RATIONED and tp in partitions]:
            result = self._records[tp]
            if isinstance(result, FetchResult):
                records = result.getall(each)
                if records:
                    found[tp] = records
                if not result.has_more():
                    del self._records[tp]
                    self._files_due = {}  # there may be more
                self._notify(self._wait_consume_future)
            elif not found and may_raise:  # else the error is for the next call
                del self._records[tp]
                self._notify(self._wait_consume_future)
                result.check_raise()
        return found

    async def _something_came(self, seconds: float) -> bool:
        """Whether a fetch has brought something since this was called."""
        waiter = self._create_fetch_waiter()
        done, _pending = await asyncio.wait([waiter], timeout=seconds)
        if not done:
            waiter.cancel()
        elif not self._closed:
            waiter.result()  # raises what went wrong with fetching
            return True
        return False
