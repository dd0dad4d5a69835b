"""When to fetch, and how long to wait for something to come.

About the time the commit in work is done, so that the next slice is all that has gathered until then: aiokafka fetches
again as soon as records are handed out. That fetch is answered with the first record that arrives, and no other is sent
to the same broker before that record has been taken. Slices were then a record or two, and in turn all that had
gathered behind them: a record waited for two commits before its own. Here the fetch is held back until the slice in
work is about to be committed.

A fetch waits at the broker until a record comes. While it does, no other is sent there, and a partition that is resumed
or sought meanwhile has to wait for it; so it waits briefly, and where nothing comes at all twice as long each time. An
idle consumer then asks four times a second instead of two hundred times, and its first record finds a fetch waiting.

aiokafka's loop of fetches looks at what has changed, and then sleeps until something does, or for 200 ms. One change
wakes nobody: that a broker may be asked again, which is noted a turn of the event loop after its answer is seen. Where
another event wakes the loop in that turn, as `let_go` does, nothing was fetched for those 200 ms.

Fetches that are let go leave `APART_S` after each other, because a slice costs worker and broker something however few
records it has: at 2,000 requests a second there were 400 of them, and with this pause a twentieth of all processor time
is left over, at the same latency (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher

from topics.transport.fetch_wire import Fetch, Limits, fetch
from topics.transport.survey import Positions, Wanted, survey

LONGEST_WAIT_MS: Final = 250
APART_S: Final = 0.002


class PatientFetcher(Fetcher):  # type: ignore[misc]
    """Waits longer and longer where nothing comes, `LONGEST_WAIT_MS` at most, while it is `patient`."""

    shortest_ms: int
    patient: Callable[[], bool]
    _wait_ms = 0  # of the next fetch, if that is more

    async def _proc_fetch_request(self, *args: Any) -> bool:
        found: bool = await super()._proc_fetch_request(*args)
        self._wait_ms = 0 if found else min(2 * max(self._wait_ms, self.shortest_ms), LONGEST_WAIT_MS)
        return found

    def _get_actions_per_node(self, assignment: Any) -> Any:
        if len(self._in_flight) > len(self._pending_tasks):  # one is done, and this is about to be noted
            self._loop.call_soon(self._notify, self._wait_consume_future)
        may_wait = self.patient() and not self._records  # else of what waits here no more is fetched until it is back
        self._fetch_max_wait_ms = max(self.shortest_ms, self._wait_ms if may_wait else 0)
        found = survey(assignment, self._records, self._in_flight, self._client.cluster.leader_for_partition)
        seconds = found.seconds(self._fetcher_timeout)
        return self._fetches(found.wanted), found.lost, seconds, found.leaderless, found.paused

    def _fetches(self, wanted: Wanted) -> list[tuple[int, Fetch]]:
        """(node, fetch) of what may be asked for now."""
        return [(node, self._fetch(self._asked_now(node, positions))) for node, positions in wanted.items()]

    def _asked_now(self, _node: int, positions: Positions) -> Positions:
        """What this fetch asks the node for, of what it may be asked for: all."""
        return positions

    def _fetch(self, positions: Positions) -> Fetch:
        if len(positions) * self._max_partition_fetch_bytes > self._fetch_max_bytes:
            random.shuffle(positions)  # a broker fills an answer in this order, and the last may find no room
        by_topic: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for (topic, partition), position in positions:
            by_topic[topic].append((partition, position, self._max_partition_fetch_bytes))
        limits = Limits(self._fetch_max_wait_ms, self._fetch_min_bytes, self._fetch_max_bytes, self._isolation_level)
        return fetch(limits, list(by_topic.items()))


class HeldFetcher(PatientFetcher):
    """Sends no fetch while it is held. Positions are looked up and reset as ever."""

    held = False
    _not_before_s = 0.0  # by the event loop's clock
    _letting_go: asyncio.TimerHandle | None = None

    def hold(self) -> None:
        self.held = True
        if self._letting_go is not None:
            self._letting_go.cancel()
            self._letting_go = None

    def let_go(self) -> None:
        """Now, or when it is time; from the event loop's thread."""
        if self._letting_go is not None:
            return
        if self._loop.time() >= self._not_before_s:
            self._go()
        else:
            self._letting_go = self._loop.call_at(self._not_before_s, self._go)

    def _go(self) -> None:
        self._letting_go = None
        self._not_before_s = self._loop.time() + APART_S
        self.held = False
        self._notify(self._wait_consume_future)

    def _fetches(self, wanted: Wanted) -> list[tuple[int, Fetch]]:
        return [] if self.held else super()._fetches(wanted)


def make_patient(
    consumer: AIOKafkaConsumer,
    patient: Callable[[], bool] = lambda: True,
    kind: type[PatientFetcher] = PatientFetcher,
) -> None:
    """Call once it is started, of a consumer made with the shortest wait. `patient`: whether it may wait longer now."""
    fetcher = consumer._fetcher
    fetcher.__class__ = kind  # adds methods, and attributes with defaults
    fetcher.shortest_ms, fetcher.patient = fetcher._fetch_max_wait_ms, patient
