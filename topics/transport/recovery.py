"""Faust's table recovery, made to work on a changelog that is written in transactions.

Faust waits for the record at the end offset minus one. In a transactional changelog that offset is a commit marker,
no record, so it would wait for ever. Here a partition is restored when the consumer's position is past the end and
every record handed out has been applied. A recovery that comes no further ends the worker loudly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic
from typing import Any, Final, cast

from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from mode import Service

from topics.transport.consumer import SliceConsumer

POLL_S = 0.02
FAR = 10_000
"""Records to the end: a restore that has more to go may lose its last batches in a crash, to be quicker. About as many
rows as the store keeps in memory, so that there is little more to gain."""


OVERTAKEN: Final = -1
"""No term of a consumer: partitions have come anew while these were restored."""


class RecoveryOverdue(RuntimeError):
    """The changelog was not read to its end, and no further for too long."""


class Patience:
    """Runs out when a recovery came no nearer to its end for `deadline_s`; with millions of rows it may take longer."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.rest()

    def rest(self) -> None:
        """There is no recovery."""
        self._least = self._until = inf

    def is_over(self, left: float, now: float) -> bool:
        """`left`: what is still to be read, infinity while that is not known; `now`: seconds, of any clock."""
        if left < self._least or self._until == inf:
            self._least, self._until = left, now + self.deadline_s
        return now > self._until


class MarkerAwareRecovery(Recovery):
    """Decides itself when the tables are restored.

    Faust's own answer, `need_recovery`, is False as well while the offsets of a new assignment are still unknown; asked
    at that moment it ends a recovery that has not begun, and input is decided on half-empty tables.
    """

    deadline_s: float = 300.0
    on_progress: Callable[[int], object] = staticmethod(lambda _left: None)  # changelog offsets left; 0: restored
    before_input: Callable[[int], Awaitable[None]] | None = None
    _positioned = False  # the partitions of this assignment have been sought to where the store ends
    _term = 0  # of the consumer, when this assignment came

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        self._positioned = False
        if generation_id == self.app.consumer_generation_id:
            self._term = self._consumer.term
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    async def _build_highwaters(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        if title == "standby":  # somebody else writes there: Faust's way would wait until no transaction is open
            ends = await self._consumer.thread.call_thread(self._consumer.thread.stable_ends, tps)
            destination.clear()
            destination.update({tp: end - 1 for tp, end in ends.items()})
            return
        self._positioned = False
        await super()._build_highwaters(consumer, tps, destination, title)

    async def _seek_offsets(self, consumer: Any, tps: set[TP], offsets: Any, title: str) -> None:
        await super()._seek_offsets(consumer, tps, offsets, title)
        if title == "active":
            self.signal_recovery_end.clear()
            self._positioned = True

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        self._positioned = False
        term = self._term if generation_id == self.app.consumer_generation_id else OVERTAKEN
        if self.before_input is not None:
            await self.before_input(term)
        await super().on_recovery_completed(generation_id)
        self._consumer.open_input(term)

    @property
    def _consumer(self) -> SliceConsumer:
        return cast(SliceConsumer, self.app.consumer)

    def restored(self, tp: TP, offset: int) -> None:
        """Changelog records up to `offset` are in the store. Faust is told when, or it warns of a silent changelog."""
        active = tp in self.active_tps
        (self.active_offsets if active else self.standby_offsets)[tp] = offset
        now = monotonic()
        (self._active_events_received_at if active else self._standby_events_received_at)[tp] = now
        self._last_flush_at = now

    def is_far(self, tp: TP, offset: int) -> bool:
        """Whether `offset` is far from the end to which this worker, as the owner, has to restore a partition."""
        end = self.active_highwaters.get(tp) if tp in self.active_tps else None
        return end is not None and end - offset > FAR

    async def standby_lags(self) -> dict[TP, int]:
        """Records of the changelog that this worker, as a standby, has yet to read; by partition."""
        progress = await self._consumer.thread.call_thread(self._consumer.thread.progress, set(self.standby_tps))
        ends = {tp: self._consumer.highwater(tp) for tp in progress}
        return {tp: max(0, (ends[tp] or 0) - (position or 0)) for tp, (position, _last) in progress.items()}

    def need_recovery(self) -> bool:
        return not self._positioned or super().need_recovery()

    @Service.task
    async def _watch(self) -> None:
        """Signals the end again and again until it is heard: Faust clears the signal in a loop of its own."""
        patience = Patience(self.deadline_s)
        while not self.should_stop:
            await self.sleep(POLL_S)
            if not self.in_recovery:
                patience.rest()
                continue
            left = inf
            if self._positioned:
                await self._finish_partitions()
                left = self.left()
                self.on_progress(left)
                if not self.need_recovery():
                    self.signal_recovery_end.set()
            if patience.is_over(left, monotonic()):
                overdue = f"tables not restored, and no further than {self.deadline_s:.0f} s ago"
                await self.app.crash(RecoveryOverdue(overdue))
                return

    def left(self) -> int:
        """Offsets of the changelog that this worker, as the owner, has yet to read."""
        done = self.active_offsets
        return sum(
            max(0, end - (-1 if done[tp] is None else done[tp]))
            for tp, end in self.active_highwaters.items()
            if end is not None
        )

    async def _finish_partitions(self) -> None:
        behind = {
            tp
            for tp, end in self.active_highwaters.items()
            if end is not None and self.active_offsets[tp] is not None and self.active_offsets[tp] < end
        }
        if not behind:
            return
        thread = self._consumer.thread
        progress: dict[TP, tuple[int | None, int | None]] = await thread.call_thread(thread.progress, behind)
        for tp, (position, last) in progress.items():
            end = self.active_highwaters[tp]
            if position is not None and position > end and (last is None or self.active_offsets[tp] >= last):
                self.active_offsets[tp] = end


class MarkerAwareTables(TableManager):
    """Starts the transactional producer before recovery looks at the changelog, so that a dead predecessor's open
    transaction is aborted by then and the end offsets are final."""

    before_recovery: Callable[[], Awaitable[Any]] | None = None
    before_input: Callable[[int], Awaitable[None]] | None = None  # after every assignment; told the consumer's term
    before_stop: Callable[[], Awaitable[None]] | None = None  # input comes no more, the consumer has not left its group
    recovery_deadline_s: float = 300.0
    on_progress: Callable[[int], object] = staticmethod(lambda _left: None)  # of a restore: changelog offsets left

    @property
    def recovery(self) -> MarkerAwareRecovery:
        if self._recovery is None:
            self._recovery = MarkerAwareRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
            self._recovery.deadline_s = self.recovery_deadline_s
            self._recovery.before_input = self.before_input
            self._recovery.on_progress = self.on_progress
        return cast(MarkerAwareRecovery, self._recovery)

    async def on_start(self) -> None:
        if self.before_recovery is not None:
            await self.before_recovery()
        # Faust's own sleeps a second, for agents that declare tables while they start.
        await self._update_channels()
        await self.recovery.start()

    async def on_stop(self) -> None:
        if self.before_stop is not None:
            await self.before_stop()
        await super().on_stop()
