"""The worker's consumer: the real gates of topics.transport over a model of aiokafka's consumer.

Real are `SliceConsumer` (what is handed out, and when) and `SliceThread` (membership of a fetch, committed offsets, the
end of a changelog). Modelled is what lies under them: positions, fetches, the coordinator's view of the membership, and
of Faust the set of partitions that are resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.protocol.group import HeartbeatRequest
from faust.types import TP

from tests.simulation.broker import Broker
from tests.simulation.requests import Requests, RunsOn
from tests.simulation.schedule import Schedule
from tests.simulation.store import Store
from tests.simulation.turns import turn, until
from topics.declarations import INPUTS
from topics.transport.consumer import SliceConsumer
from topics.transport.fencing import Membership
from topics.transport.thread import SliceThread

CHANGELOG = "opentobuy-accounts-changelog"
NO_MEMBER = Membership(-1, "", None)


class Fetched(SimpleNamespace):
    """A record as the engine sees it."""


class Client:
    """As much of aiokafka's consumer, its fetcher and its coordinator as the real classes touch. `membership` is the
    coordinator's own view of its place."""

    _fetch_task = RunsOn()

    def __init__(self, broker: Broker, schedule: Schedule, instance: str, most: int) -> None:
        self.positions: dict[TP, int | None] = {}
        self.active: set[TP] = set()  # those that Faust has resumed
        self.started_at: dict[TP, int] = {}  # input: where this assignment began to read
        self.membership = NO_MEMBER._replace(instance_id=instance)
        self._broker, self._schedule, self._most = broker, schedule, most
        self._closed = self.held = False
        self._max_poll_records = most + (not schedule.happens(0.2))  # who gets as many believes that there are more
        self._isolation_level = 1
        self._fetcher = self._coordinator = self._subscriptions = self
        self._client = Requests(broker)
        self.fetch_context = nullcontext
        states = SimpleNamespace(assignment=SimpleNamespace(state_value=self._state))
        self._subscription = SimpleNamespace(subscription=states)

    # -- coordinator

    group_id = "opentobuy"

    def check_errors(self) -> None:
        """It has nothing to tell."""

    @property
    def generation(self) -> int:
        return self.membership.generation

    @property
    def member_id(self) -> str:
        return self.membership.member_id

    @property
    def _group_instance_id(self) -> str | None:
        return self.membership.instance_id

    async def _send_req(self, request: HeartbeatRequest) -> Any:
        return await self._client.heartbeat(request, self._group_instance_id)

    async def fetch_committed_offsets(self, tps: list[TP]) -> dict[TP, Any]:
        """Stable ones: not while an open transaction may move them."""
        await turn("OffsetFetch")
        await until("stable offsets", lambda: self._broker.group.stable(tps))
        committed = self._told(tps)
        found = {TopicPartition(*tp): SimpleNamespace(offset=offset) for tp, offset in committed.items()}
        await turn("OffsetFetch's answer")
        return found

    def _told(self, tps: list[TP]) -> dict[TP, int]:
        """Now and then what was committed some time ago, or nothing at all, as after a coordinator's crash."""
        group = self._broker.group
        committed = {tp: group.committed[tp] for tp in tps if tp in group.committed}
        if not self._schedule.chance(group.forgets):
            return committed
        self._schedule.note("STALE offsets for", self.membership.instance_id)
        before = {tp: self._schedule.between(-1, offset) for tp, offset in committed.items()}
        return {tp: offset for tp, offset in before.items() if offset >= 0}

    # -- positions

    def assignment(self) -> set[TP]:
        return {TopicPartition(*tp) for tp in self.positions}

    def assign(self, partitions: Iterable[int]) -> None:
        """aiokafka goes to the committed offsets of an assignment itself, sooner or later than Faust expects."""
        self.positions = {TP(CHANGELOG, partition): None for partition in partitions}
        self.started_at = {}
        for spec in INPUTS:
            for partition in partitions:
                tp = TP(spec.name, partition)
                self.positions[tp] = self._broker.group.committed.get(tp, 0)

    def seek(self, tp: TP, offset: int) -> None:
        tp = TP(*tp)
        self.positions[tp] = offset
        if tp.topic != CHANGELOG:
            self.started_at[tp] = offset

    async def seek_to_beginning(self, *tps: TP) -> None:
        for tp in tps:
            self.seek(tp, 0)

    async def end_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        await turn("ListOffsets")
        stable = self._isolation_level == 1
        ends = {tp: self._broker.logs[tp].stable() if stable else self._broker.logs[tp].end() for tp in tps}
        await turn("ListOffsets' answer")
        return ends

    def _state(self, tp: TP) -> Any:
        return SimpleNamespace(_position=self.positions[tp]) if tp in self.positions else None

    # -- fetcher

    async def fetched_records(self, active: set[TP], **_limits: Any) -> dict[TP, list[Any]]:
        """At most `most` records, of partitions in any order; a poll may also come back with nothing."""
        if self.held:
            await turn("a poll while fetches are held back")
            return {}
        await until("records", lambda: any(map(self._behind, active)) or self._schedule.happens(0.05))
        ready = [tp for tp in sorted(active) if self._behind(tp)]
        found: dict[TP, list[Any]] = {}
        room = self._schedule.between(1, self._most)
        while ready and room > 0:
            tp = ready.pop(self._schedule.between(0, len(ready) - 1))
            records = self._take(tp, room)
            room -= len(records)
            if records:
                found[tp] = records
        return found

    def hold(self) -> None:
        self.held = True

    def let_go(self) -> None:
        self.held = False

    def _behind(self, tp: TP) -> bool:
        position = self.positions.get(tp)
        return position is not None and position < self._broker.logs[tp].stable()

    def _take(self, tp: TP, most: int) -> list[Any]:
        """Up to `most` records; the position also passes markers and what was taken back."""
        log = self._broker.logs[tp]
        found: list[Any] = []
        start = self.positions[tp] or 0
        for offset in range(start, log.stable()):
            entry = log.entries[offset]
            if entry.readable():
                if len(found) == most:
                    break
                found.append(
                    Fetched(
                        topic=tp.topic, partition=tp.partition, offset=offset, key=entry.key, value=entry.value,
                        timestamp=entry.timestamp,
                    )
                )  # fmt: skip
            self.positions[tp] = offset + 1
        return found


class Thread(SliceThread):
    """Faust's consumer thread: what it is asked to do takes a turn on the way there and one on the way back."""

    def __init__(self, client: Client, consumer: Consumer) -> None:
        self.client = client
        self.consumer = consumer
        self._last_handed_out = {}

    def _ensure_consumer(self) -> Any:
        return self.client

    def _soon(self, call: Callable[[], None]) -> None:
        call()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await turn(f"{fun.__name__} called")
        result = await fun(*args, **kwargs)
        await turn(f"{fun.__name__} done")
        return result


class Consumer(SliceConsumer):
    """What Faust does with it at an assignment and at the end of a recovery is `assigned`, `tables_restored` and
    `restored`."""

    should_stop = False

    def __init__(self, client: Client, store: Store) -> None:
        self._make_gates()
        self.flow_active = True
        self.suspend_flow, self.can_resume_flow = asyncio.Event(), asyncio.Event()
        self._thread = Thread(client, self)
        self.client, self.store = client, store
        self.restored_to: dict[TP, int] = {}

    def assigned(self, partitions: list[int], early: bool) -> None:
        """Changelogs flow first; with `early` Faust resumes the input before its time."""
        self._close_input()
        self.client.assign(partitions)
        self.client.active = {tp for tp in self.client.positions if early or self._is_changelog_tp(tp)}
        self.flow_active = True

    def tables_restored(self) -> None:
        """Faust pauses the changelogs; a poll may be under way that brings some of them."""
        self.client.active -= {tp for tp in self.client.active if self._is_changelog_tp(tp)}

    def restored(self, term: int) -> None:
        """Faust resumes the input."""
        self.open_input(term)
        self.client.active = {tp for tp in self.client.positions if not self._is_changelog_tp(tp)}

    def assignment(self) -> set[TP]:
        return {TP(*tp) for tp in self.client.assignment()}

    def _is_changelog_tp(self, tp: TP) -> bool:
        return tp.topic == CHANGELOG

    def _is_own(self, _changelog: TP) -> bool:
        return True

    def _to_message(self, _tp: TP, _record: Any) -> Any:
        return SimpleNamespace()

    def _restore(self, tp: TP, fetched: list[Any]) -> None:
        rows = [(record.key, record.value) for record in fetched]
        self.store.write(tp.partition, rows, fetched[-1].offset)
        self.restored_to[tp] = fetched[-1].offset

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        await until("resumed", lambda: self.flow_active and bool(self.client.active))
        active = set(self.client.active)
        records = await self.thread.call_thread(self.thread._fetch_records, self.client, active, timeout=timeout)
        return records, active
