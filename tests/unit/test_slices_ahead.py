"""When the next slice is taken out of the fetcher, and when it is handed out."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from topics.transport.consumer import Slice, SliceConsumer
from topics.transport.fencing import Membership

INPUT = TP("authorizations", 0)
OWN, OTHERS = TP("accounts-changelog", 0), TP("accounts-changelog", 1)
MEMBER = Membership(7, "member-1", "worker-0")


class Consumer(SliceConsumer):
    """Over polls that are answered when the test says so."""

    should_stop = False

    def __init__(self) -> None:
        self._make_gates()
        self._tables_restored = self._positioned = self.flow_active = True
        self.let_go = 0
        self._thread: Any = SimpleNamespace(fetched_under=MEMBER, full=False, fetch_ahead=self._count)
        self.polls = 0
        self._fetched: asyncio.Queue[int] = asyncio.Queue()

    def _count(self) -> None:
        self.let_go += 1

    def bring(self, offset: int) -> None:
        self._fetched.put_nowait(offset)

    async def _wait_next_records(self, _timeout: float) -> Any:
        self.polls += 1
        return {INPUT: [SimpleNamespace(offset=await self._fetched.get())]}, {INPUT}

    def _is_changelog_tp(self, tp: TP) -> bool:
        return tp in {OWN, OTHERS}

    def _to_message(self, _tp: TP, _record: Any) -> Any:
        return SimpleNamespace()


class Stage:
    """Faust's loop around `getmany`; what it hands out is in `slices`."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.slices: list[Slice] = []
        self.loop = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        while True:
            async for _tp, message in self.consumer.getmany(1.0):
                self.slices.append(message.value)

    async def offsets(self) -> list[int]:
        """Handed out by now."""
        for _ in range(10):
            await asyncio.sleep(0)
        return [record.offset for slice_ in self.slices for record in slice_.records[INPUT]]


@pytest.fixture
async def stage() -> Any:
    stage = Stage()
    stage.consumer.bring(0)
    assert await stage.offsets() == [0]
    yield stage
    stage.loop.cancel()


async def test_the_next_poll_waits_until_the_slice_in_work_is_about_to_be_committed(stage: Stage) -> None:
    stage.consumer.bring(1)
    assert await stage.offsets() == [0]
    assert stage.consumer.polls == 1


async def test_it_is_made_while_the_commit_travels_and_handed_out_after_it(stage: Stage) -> None:
    stage.consumer.bring(1)
    stage.consumer.fetch_ahead()
    assert await stage.offsets() == [0]
    assert stage.consumer.polls == 2, "its records are here already"
    stage.consumer.release()
    assert await stage.offsets() == [0, 1]
    assert stage.consumer.in_work


async def test_the_fetcher_is_let_go_once_for_each_slice(stage: Stage) -> None:
    """Else the fetch behind the next slice would travel at once, and bring the first record that comes."""
    stage.consumer.bring(1)
    stage.consumer.fetch_ahead()
    stage.consumer.fetch_ahead()
    await stage.offsets()
    stage.consumer.release()
    assert stage.consumer.let_go == 1


async def test_a_slice_that_was_dropped_lets_the_next_poll_begin(stage: Stage) -> None:
    stage.consumer.bring(1)
    stage.consumer.release()
    assert await stage.offsets() == [0, 1]
    assert stage.consumer.let_go == 1


async def test_what_was_taken_before_partitions_left_is_dropped(stage: Stage) -> None:
    stage.consumer.bring(1)
    stage.consumer.fetch_ahead()
    await stage.offsets()
    stage.consumer._close_input()
    stage.consumer.release()
    assert await stage.offsets() == [0]
    assert not stage.consumer.in_work
    assert stage.consumer.let_go == 2, "once more, for the poll behind it"


async def test_positions_are_not_moved_while_a_slice_is_in_work(stage: Stage) -> None:
    moved = []
    stage.consumer._positioned = False
    stage.consumer._go_to_committed = lambda: moved.append(stage.consumer.in_work) or asyncio.sleep(0)  # type: ignore
    stage.consumer.fetch_ahead()
    await stage.offsets()
    assert moved == []
    stage.consumer.release()
    await stage.offsets()
    assert moved == [False]


def test_it_is_told_that_input_flows_when_the_tables_of_this_term_are_restored(stage: Stage) -> None:
    told = []
    stage.consumer.input_flows = lambda: told.append(stage.consumer.takes_input)
    stage.consumer._close_input()
    stage.consumer.open_input(stage.consumer.term - 1)
    assert (told, stage.consumer.takes_input) == ([], False)
    stage.consumer.open_input(stage.consumer.term)
    assert told == [True]


async def test_rows_that_this_worker_has_committed_do_not_come_back_from_the_changelog(stage: Stage) -> None:
    """The store may have later ones by then. A standby's come from there and nowhere else."""
    restored: list[TP] = []
    stage.consumer.app = SimpleNamespace(tables=SimpleNamespace(recovery=SimpleNamespace(active_tps={OWN})))
    stage.consumer._restore = lambda tp, _fetched: restored.append(tp)  # type: ignore[method-assign]
    fetched = {OWN: ["row"], OTHERS: ["row"], INPUT: ["request"]}
    stage.consumer._tables_restored = stage.consumer._positioned = False
    assert stage.consumer._input_of(fetched, {OWN, OTHERS, INPUT}) == {}
    assert restored == [OWN, OTHERS]
    stage.consumer._tables_restored = stage.consumer._positioned = True
    restored.clear()
    assert stage.consumer._input_of(fetched, {OWN, OTHERS, INPUT}) == {INPUT: ["request"]}
    assert restored == [OTHERS]
