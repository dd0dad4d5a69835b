"""A worker that hurts itself: `python -m tests.support.faulty_worker`. No OTB_FAULT, no fault; else it is one of

SIGNAL:STEP:COUNT   ends or freezes at a numbered step of a commit, for example KILL:commit:200 (the 200th time it
                    comes to that step, and not again when it was woken); the signal goes to this process alone
HANG:STEP:COUNT     stands still there for ever, and its event loop with it
HANG:STEP:COUNT:S   the same for S seconds, and again whenever it comes there
STANDSTILL:COUNT    the agent waits for ever at its COUNT-th slice; everything else goes on
DAMAGED:WRITER      the first write to its store finds that damaged, by the main thread (a restore) or that of the rows
BROKEN              writing to its store while it is restored raises what nobody expects
STALE:COUNT         its group's coordinator tells offsets of COUNT records before those that were committed
SLOW_RECOVERY:S     its tables are not restored before S seconds have passed
DEAF                the task that asks for metadata on behalf of its consumer fails once input flows
EARLY               the seek that Faust makes between resuming input and emptying the streams' queues takes until a
                    slice is in a queue (at most 2 s), and the agent is slow to take it out

With OTB_NEXT_ROW it is a worker of a later release, which knows one more version of the row
(tests/support/next_row.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from mode.utils.queues import FlowControlQueue

from agents.app import run
from agents.decider import Decider
from agents.settings import Settings
from tables.store import RowStore
from tests.support import next_row
from topics.transport.consumer import SliceConsumer
from topics.transport.recovery import MarkerAwareRecovery
from topics.transport.thread import SliceThread


class Fault:
    """Counts the visits to one step and hurts at the last."""

    def __init__(self, plan: str) -> None:
        name, self._step, count, *seconds = plan.split(":")
        self._signal = None if name == "HANG" else getattr(signal, f"SIG{name}")
        self._left = int(count)
        self._seconds = int(seconds[0]) if seconds else 3600

    def _hurt(self) -> None:
        if self._signal is None:
            time.sleep(self._seconds)
        else:
            os.kill(os.getpid(), self._signal)

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0 or (self._left < 0 and self._signal is None):
                self._hurt()


def let_input_come_early() -> None:
    """What a slow broker and a busy event loop make of a start now and then, every time."""
    seek, get = SliceConsumer.perform_seek, FlowControlQueue.get

    async def slow_seek(consumer: SliceConsumer) -> None:
        await seek(consumer)
        for _ in range(2000):
            if not consumer._idle.is_set():
                return
            await asyncio.sleep(0.001)

    async def slow_get(queue: FlowControlQueue[Any]) -> Any:
        while True:
            await asyncio.sleep(0.5)
            if not queue.empty():
                return await get(queue)

    SliceConsumer.perform_seek = slow_seek  # type: ignore[method-assign]
    FlowControlQueue.get = slow_get  # type: ignore[method-assign]


def let_the_agent_stand_still(count: int) -> None:
    handle = Decider.handle
    left = iter(range(count - 1))

    async def stand_still(decider: Decider, slice_: Any, consumer: SliceConsumer) -> None:
        if next(left, None) is None:
            await asyncio.Event().wait()
        await handle(decider, slice_, consumer)

    Decider.handle = stand_still  # type: ignore[method-assign]


def let_the_store_be_damaged(writer: str) -> None:
    write = RowStore.write

    def find_damage(store: RowStore, partition: int, *rest: Any, **named: Any) -> None:
        if threading.current_thread().name.lower().startswith(writer):
            store._note_damage(partition, Exception("Corruption: block checksum mismatch"))
        write(store, partition, *rest, **named)

    RowStore.write = find_damage  # type: ignore[method-assign]


def let_offsets_be_stale(count: int) -> None:
    fetch = GroupCoordinator.fetch_committed_offsets

    async def stale(coordinator: GroupCoordinator, partitions: Any) -> Any:
        told = await fetch(coordinator, partitions)
        return {tp: each._replace(offset=max(0, each.offset - count)) for tp, each in told.items()}

    GroupCoordinator.fetch_committed_offsets = stale


def let_a_restore_be_broken() -> None:
    def fail(*_args: Any, **_named: Any) -> None:
        raise LookupError("nobody expects this")

    RowStore.write = fail  # type: ignore[method-assign]


def let_recovery_take(seconds: int) -> None:
    need_recovery, done_at = MarkerAwareRecovery.need_recovery, time.monotonic() + seconds

    def need_it_longer(recovery: MarkerAwareRecovery) -> bool:
        return time.monotonic() < done_at or need_recovery(recovery)

    MarkerAwareRecovery.need_recovery = need_it_longer  # type: ignore[method-assign]


def let_metadata_fail() -> None:
    fetch_records = SliceThread._fetch_records

    async def fail(*_cluster_and_topics: Any) -> None:
        raise LookupError("nobody expects this")

    async def fail_and_fetch(thread: SliceThread, consumer: Any, *rest: Any, **named: Any) -> Any:
        if thread._takes_input:
            consumer._client._metadata_update = fail
            consumer._client.force_metadata_update()
        return await fetch_records(thread, consumer, *rest, **named)

    SliceThread._fetch_records = fail_and_fetch  # type: ignore[method-assign]


def main() -> None:
    plan = os.environ.get("OTB_FAULT", "")
    if os.environ.get("OTB_NEXT_ROW"):
        next_row.install()
        print(f"row version {next_row.NUMBER}", flush=True)
    kind, _, rest = plan.partition(":")
    of_the_code = {
        "EARLY": let_input_come_early,
        "STANDSTILL": lambda: let_the_agent_stand_still(int(rest)),
        "BROKEN": let_a_restore_be_broken,
        "DEAF": let_metadata_fail,
        "DAMAGED": lambda: let_the_store_be_damaged(rest),
        "STALE": lambda: let_offsets_be_stale(int(rest)),
        "SLOW_RECOVERY": lambda: let_recovery_take(int(rest)),
    }
    if kind in of_the_code:
        of_the_code[kind]()
        run(Settings())
    else:
        run(Settings(), Fault(plan) if plan else lambda _step: None)


if __name__ == "__main__":
    main()
