"""What a transaction has of what was decided, and what becomes of the rest: of what came while it travelled, of what a
stale worker had, of what a dead one has left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from agents import committer as module
from agents.committer import Committer
from agents.decided import Decided
from agents.metrics import WorkerMetrics
from tables.behind import PartitionRows
from tables.source_offsets import SourceOffsets, is_account
from tables.uncommitted import Uncommitted
from tests.unit.scripted import Transactions
from topics.transport.batches import Record
from topics.transport.fencing import MemberFenced, Membership
from topics.transport.redo import Work

CURRENT = Membership(7, "member-1", "worker-0")
DECISIONS = "decisions"
NEVER_S = 3600.0
"""For tests that say themselves when something is committed"""
STALE = MemberFenced("illegal generation")


def work(offset: int, row: bytes | None = None, *entries: bytes, topic: str = "in") -> Work:
    """Up to `offset` of an input; `row` is that of account a."""
    records: dict[str, list[Record]] = {"entries": [(None, entry) for entry in entries]} if entries else {}
    return Work({topic: offset}, [] if row is None else [(b"a", row)], records)


def decided(**outcomes: int) -> Decided:
    return Decided({}, {}, Counter({("request", name): count for name, count in outcomes.items()}), Counter(), 0.0)


class Stage:
    """A committer over transactions that are a script, and a table that is a dictionary."""

    def __init__(self, every_s: float = NEVER_S) -> None:
        self.did: list[str] = []
        self.transactions = Transactions(self.did)
        self.table: dict[tuple[int, bytes], bytes] = {}
        self.sources = SourceOffsets({}, self.committed_row)
        self.uncommitted = Uncommitted(self.committed_row)
        self.metrics = WorkerMetrics()
        self.steps: list[str] = []
        self._stepped = asyncio.Event()
        self.committer = Committer(
            self.transactions,  # type: ignore[arg-type]
            "changelog",
            DECISIONS,
            self.sources,
            self.uncommitted,
            write_rows=self.write,
            metrics=self.metrics,
            every_s=every_s,
            step=self._step,
        )

    def _step(self, name: str) -> None:
        self.steps.append(name)
        self._stepped.set()

    async def until(self, step: str, times: int = 1) -> None:
        """Wait for a step, also of a committer that runs."""
        async with asyncio.timeout(10):
            while self.steps.count(step) < times:
                self._stepped.clear()
                await self._stepped.wait()

    def committed_row(self, partition: int, key: bytes) -> bytes | None:
        return self.table.get((partition, key))

    def write(self, committed: Sequence[PartitionRows]) -> None:
        for partition, rows, offset in committed:
            self.did.append(f"apply to {partition} up to {offset}")
            self.table.update({(partition, key): row for key, row in rows})

    def restore(self, partition: int, **offsets: int) -> None:
        """The rows say so much of how far inputs and decisions are committed."""
        rows = self.sources.rows({TP(topic, partition): offset for topic, offset in offsets.items()})
        self.table.update({(partition, key): row for key, row in rows[partition]})

    def own(self, *partitions: int) -> None:
        """They come to a worker that released from them before."""
        for partition in partitions:
            self.restore(partition, decisions=100)
        assert self.committer.take_over({}, dict.fromkeys(partitions, 100), CURRENT) == 0

    def add(self, *works: Work, released: int | None = None, partition: int = 0, slice_: Decided | None = None) -> None:
        """Slices of one partition, `released` up to that offset of the decisions, or not."""
        offsets = {} if released is None else {partition: released}
        for each in works:
            self.committer.add({partition: each}, offsets, CURRENT, slice_ or decided())

    def position(self, partition: int = 0) -> int | None:
        return self.sources.committed(TP(DECISIONS, partition))

    def written(self, topic: str, partition: int = 0, transaction: int = -1) -> list[Record]:
        """What a transaction has for one partition; of the changelog, accounts only."""
        records = self.transactions.written[transaction].get(TopicPartition(topic, partition), [])
        return [record for record in records if topic != "changelog" or is_account(record[0])]

    async def travelling(self, at: str = "commit") -> tuple[asyncio.Task[None], asyncio.Event]:
        """A transaction with what was added so far is on its way; what to set for it to come to its end."""
        gate = self.transactions.hold(at)
        flushing = asyncio.create_task(self.committer.flush())
        await turns()
        return flushing, gate


async def turns() -> None:
    """Everything that needs no time has happened."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    stage.own(0, 1)
    return stage


# -- one transaction


async def test_several_slices_share_a_transaction(stage: Stage) -> None:
    stage.add(work(3, b"row-1", b"entry-1"), released=110)
    stage.add(work(5, b"row-2", b"entry-2", b"entry-3"), work(6, b"row-3"), released=120)
    await stage.committer.flush()
    assert stage.did == ["begin", "write", "commit", "apply to 0 up to 41"]
    assert stage.written("entries") == [(None, b"entry-1"), (None, b"entry-2"), (None, b"entry-3")]
    assert stage.written("changelog") == [(b"a", b"row-3")], "only the latest, readers would pass over the others"
    assert stage.transactions.offsets == [{TP("in", 0): 6}]
    assert stage.transactions.members == [CURRENT]
    assert not stage.committer.pending


async def test_of_each_account_the_latest_row_is_written(stage: Stage) -> None:
    stage.add(
        Work({"in": 1}, [(b"a", b"a-1"), (b"b", b"b-1")], {}), Work({"in": 2}, [(b"c", b"c-2"), (b"a", b"a-2")], {})
    )
    await stage.committer.flush()
    assert stage.written("changelog") == [(b"a", b"a-2"), (b"b", b"b-1"), (b"c", b"c-2")]


async def test_each_partition_has_its_own(stage: Stage) -> None:
    works = {0: work(3, b"row-1", b"entry-1"), 1: work(9, b"row-2", b"entry-2", topic="other")}
    stage.committer.add(works, {0: 110, 1: 120}, CURRENT, decided())
    await stage.committer.flush()
    assert (stage.written("changelog", 0), stage.written("changelog", 1)) == ([(b"a", b"row-1")], [(b"a", b"row-2")])
    assert (stage.written("entries", 0), stage.written("entries", 1)) == ([(None, b"entry-1")], [(None, b"entry-2")])
    assert stage.transactions.offsets == [{TP("in", 0): 3, TP("other", 1): 9}]
    assert (stage.position(0), stage.position(1)) == (110, 120)


async def test_everything_it_writes_to_is_announced_at_its_begin(stage: Stage) -> None:
    stage.add(work(3, b"row-1", b"entry-1"), released=110)
    stage.add(work(4), partition=1)
    await stage.committer.flush()
    assert stage.transactions.announced == [set(stage.transactions.written[0])]
    places = {("changelog", 0), ("entries", 0), ("changelog", 1)}
    assert {tuple(tp) for tp in stage.transactions.announced[0]} == places


async def test_how_far_inputs_and_decisions_are_committed_stands_among_the_rows_also_when_none_changes(
    stage: Stage,
) -> None:
    stage.add(work(3), work(8, topic="other"), released=110)
    await stage.committer.flush()
    assert stage.written("changelog") == []
    assert stage.sources.committed(TP("in", 0)) == 3
    assert stage.sources.committed(TP("other", 0)) == 8
    assert stage.position() == 110


async def test_it_stands_before_the_rows(stage: Stage) -> None:
    stage.add(work(3, b"row-1"), released=110)
    await stage.committer.flush()
    keys = [key for key, _row in stage.transactions.written[0][TopicPartition("changelog", 0)]]
    assert [is_account(key) for key in keys] == [False, False, True]


async def test_decisions_that_the_transaction_has_do_not_move_the_position(stage: Stage) -> None:
    """Where they will be in the log is not known when they are written."""
    stage.add(work(3, b"row-1"), released=110)
    stage.add(Work({"in": 4}, [], {DECISIONS: [(b"a", b"decision")]}))
    await stage.committer.flush()
    assert stage.written(DECISIONS) == [(b"a", b"decision")]
    assert stage.position() == 110


async def test_without_anything_new_nothing_is_committed(stage: Stage) -> None:
    await stage.committer.flush()
    stage.add(work(3))
    await stage.committer.flush()
    await stage.committer.flush()
    assert stage.did.count("begin") == 1


async def test_every_step_is_announced_in_order(stage: Stage) -> None:
    stage.add(work(3, b"row-1"), released=110)
    await stage.committer.flush()
    assert stage.steps == ["begin", "write", "commit", "apply", "done"]
    assert stage.committer.finished == 1


# -- while a transaction travels


async def test_the_position_is_that_of_the_last_slice_in_the_transaction(stage: Stage) -> None:
    """What was released meanwhile is behind it: the next owner would not look for that, and it would be lost."""
    stage.add(work(3, b"row-1"), released=110)
    flushing, gate = await stage.travelling("begin")
    stage.add(work(5, b"row-2"), released=120)
    gate.set()
    await flushing
    assert stage.position() == 110
    assert stage.committer.pending
    await stage.committer.flush()
    assert stage.position() == 120
    assert stage.transactions.offsets == [{TP("in", 0): 3}, {TP("in", 0): 5}]


async def test_rows_reach_the_store_only_after_the_commit_and_are_read_before(stage: Stage) -> None:
    stage.add(work(3, b"row-1"), released=110)
    assert stage.uncommitted.row(0, b"a") == b"row-1"
    flushing, gate = await stage.travelling()
    assert stage.did == ["begin", "write"]
    assert stage.committed_row(0, b"a") is None
    assert stage.uncommitted.row(0, b"a") == b"row-1"
    gate.set()
    await flushing
    assert stage.did[-2:] == ["commit", "apply to 0 up to 41"]
    assert stage.committed_row(0, b"a") == b"row-1"


async def test_a_row_that_changed_again_meanwhile_stays_uncommitted(stage: Stage) -> None:
    stage.add(work(3, b"row-1"), released=110)
    flushing, gate = await stage.travelling()
    stage.add(work(5, b"row-2"), released=120)
    gate.set()
    await flushing
    assert stage.committed_row(0, b"a") == b"row-1"
    assert stage.uncommitted.row(0, b"a") == b"row-2"


async def test_a_committed_row_is_read_from_the_store(stage: Stage) -> None:
    """Uncommitted rows are kept for no longer than they are needed."""
    stage.add(work(3, b"row-1"), work(4, b"row-2"))
    await stage.committer.flush()
    stage.table[0, b"a"] = b"as the store has it"
    assert stage.uncommitted.row(0, b"a") == b"as the store has it"


async def test_transactions_follow_one_another(stage: Stage) -> None:
    stage.add(work(3))
    first, gate = await stage.travelling()
    stage.add(work(4))
    second = asyncio.create_task(stage.committer.flush())
    await turns()
    assert stage.did.count("begin") == 1
    gate.set()
    await asyncio.gather(first, second)
    assert [step for step in stage.did if not step.startswith("apply")] == 2 * ["begin", "write", "commit"]


# -- transactions that fail


@pytest.mark.parametrize("step", ["write", "commit"])
async def test_a_stale_worker_aborts_and_drops_everything(stage: Stage, step: str) -> None:
    stage.add(work(3, b"row-1"), released=110, slice_=decided(approved=1))
    stage.transactions.fail_at[step] = STALE
    flushing, gate = await stage.travelling(step)
    stage.add(work(5, b"row-2"))
    gate.set()
    await flushing
    assert stage.did[-2:] == [step, "abort"]
    assert stage.committer.fenced
    assert not stage.committer.pending
    assert stage.committed_row(0, b"a") is None
    assert stage.position() == 100
    assert (counted(stage, "otb_fenced_slices_total"), outcomes(stage, "approved")) == (1, 0)


async def test_a_stale_worker_does_nothing_more(stage: Stage) -> None:
    stage.add(work(3, b"row-1"))
    stage.transactions.fail_at["write"] = STALE
    await stage.committer.flush()
    del stage.transactions.fail_at["write"]
    stage.add(work(4, b"row-2"), released=120)
    await stage.committer.flush()
    assert not stage.committer.pending
    assert stage.did == ["begin", "write", "abort"]


@pytest.mark.parametrize("step", ["begin", "write", "commit"])
async def test_any_other_failure_is_passed_on_and_nothing_is_applied(stage: Stage, step: str) -> None:
    stage.add(work(3, b"row-1"), released=110, slice_=decided(approved=1))
    stage.transactions.fail_at[step] = ConnectionError("the broker is gone")
    with pytest.raises(ConnectionError):
        await stage.committer.flush()
    assert stage.did[-1] == step
    assert not any(done.startswith("apply") for done in stage.did)
    assert not stage.committer.fenced
    assert stage.committer.finished == 0
    assert outcomes(stage, "approved") == 0


def counted(stage: Stage, name: str, **labels: str) -> float:
    return stage.metrics.registry.get_sample_value(name, labels) or 0.0


def outcomes(stage: Stage, outcome: str) -> float:
    return counted(stage, "otb_outcomes_total", type="request", outcome=outcome)


async def test_outcomes_are_counted_once_they_are_committed(stage: Stage) -> None:
    stage.add(work(3), slice_=decided(approved=2, declined=1))
    stage.add(work(4), slice_=decided(approved=1))
    flushing, gate = await stage.travelling()
    stage.add(work(5), slice_=decided(approved=10))
    assert outcomes(stage, "approved") == 0
    gate.set()
    await flushing
    assert (outcomes(stage, "approved"), outcomes(stage, "declined")) == (3, 1)
    assert counted(stage, "otb_transaction_seconds_count") == 1


# -- what the next release has to say as well


async def test_what_was_not_released_is_said_by_the_next_release(stage: Stage) -> None:
    payment, another, of_another = work(1, topic="payments"), work(2, topic="payments"), work(3, topic="payments")
    stage.add(payment, another)
    stage.add(of_another, partition=1)
    assert stage.committer.unrecorded(0) == [payment, another]
    stage.add(work(5), released=110)
    assert stage.committer.unrecorded(0) == [], "its batch has them"
    assert stage.committer.unrecorded(1) == [of_another]
    later = work(4, topic="payments")
    stage.add(later)
    assert stage.committer.unrecorded(0) == [later]


async def test_also_while_it_travels(stage: Stage) -> None:
    """Nobody knows yet whether its transaction will be committed."""
    payment = work(1, topic="payments")
    stage.add(payment)
    flushing, gate = await stage.travelling()
    assert stage.committer.unrecorded(0) == [payment]
    later = work(2, topic="payments")
    stage.add(later)
    assert stage.committer.unrecorded(0) == [payment, later]
    stage.add(work(5), released=110)
    assert stage.committer.unrecorded(0) == []
    gate.set()
    await flushing
    assert stage.committer.unrecorded(0) == []


async def test_what_is_committed_need_not_be_said(stage: Stage) -> None:
    stage.add(work(1, topic="payments"))
    await stage.committer.flush()
    assert stage.committer.unrecorded(0) == []


async def test_nothing_is_released_before_a_commit_has_said_where_to_look_for_it() -> None:
    stage = Stage()
    stage.restore(1, decisions=0)
    stage.committer.take_over({}, {0: 100, 1: 100, 2: 100}, CURRENT)
    assert [stage.committer.may_release(partition) for partition in (0, 1, 2)] == [False, True, False]
    stage.add(work(3))
    flushing, gate = await stage.travelling()
    assert not stage.committer.may_release(0)
    gate.set()
    await flushing
    assert [stage.committer.may_release(partition) for partition in (0, 1, 2)] == [True, True, False]
    assert stage.position() == 100, "everything before it belongs to nobody"


async def test_a_stale_worker_has_said_nothing() -> None:
    stage = Stage()
    stage.committer.take_over({}, {0: 100}, CURRENT)
    stage.add(work(3))
    stage.transactions.fail_at["write"] = STALE
    await stage.committer.flush()
    assert not stage.committer.may_release(0)


async def test_without_waiting_for_more_each_slice_is_committed_alone() -> None:
    assert Stage(every_s=0).committer.alone
    assert not Stage(every_s=0.05).committer.alone


# -- partitions come


async def test_of_what_a_dead_worker_released_only_what_is_not_committed_is_done_in_order() -> None:
    stage = Stage()
    stage.restore(0, decisions=100, **{"in": 12})
    found = {
        0: [
            (103, [work(10, b"row-1", b"entry-1"), work(12, b"row-2", b"entry-2")]),
            (107, [work(13, b"row-3", b"entry-3"), work(15, b"row-4", b"entry-4")]),
            (110, [work(16, b"row-5", b"entry-5")]),
        ]
    }
    assert stage.committer.take_over(found, {0: 120}, CURRENT) == 6, "three rows and three entries"
    assert stage.uncommitted.row(0, b"a") == b"row-5"
    await stage.committer.flush()
    assert stage.written("entries") == [(None, b"entry-3"), (None, b"entry-4"), (None, b"entry-5")]
    assert stage.written("changelog") == [(b"a", b"row-5")]
    assert stage.transactions.offsets == [{TP("in", 0): 16}]
    assert stage.transactions.members == [CURRENT]
    assert stage.position() == 111


async def test_what_was_said_twice_is_done_once() -> None:
    """By a release, and by the release behind it, which could not know yet that it would be committed."""
    stage = Stage()
    stage.restore(0, decisions=100, payments=2)
    payment = work(2, b"row-1", b"paid", topic="payments")
    found = {0: [(103, [payment, work(5, b"row-2", b"entry")])]}
    stage.committer.take_over(found, {0: 104}, CURRENT)
    await stage.committer.flush()
    assert stage.written("entries") == [(None, b"entry")]


async def test_work_on_several_inputs_is_committed_when_all_of_it_is() -> None:
    stage = Stage()
    stage.restore(0, decisions=100, **{"in": 9, "payments": 4})
    both = [Work({"in": 9, "payments": 4}, [], {}), Work({"in": 9, "payments": 5}, [], {"entries": [(None, b"e")]})]
    assert stage.committer.take_over({0: [(103, both)]}, {0: 104}, CURRENT) == 1
    await stage.committer.flush()
    assert stage.transactions.offsets == [{TP("in", 0): 9, TP("payments", 0): 5}]


async def test_what_was_found_is_recorded_already() -> None:
    stage = Stage()
    stage.restore(0, decisions=100)
    stage.committer.take_over({0: [(103, [work(5)])]}, {0: 104}, CURRENT)
    assert stage.committer.unrecorded(0) == []


async def test_what_comes_after_it_knows_the_end_of_the_log() -> None:
    """Behind what was found are markers, and decisions of transactions: nothing that somebody has to look for again."""
    stage = Stage()
    stage.restore(0, decisions=100)
    stage.committer.take_over({0: [(103, [work(5)])]}, {0: 120}, CURRENT)
    stage.add(work(6))
    await stage.committer.flush()
    assert stage.position() == 120


async def test_where_nothing_was_left_nothing_is_committed(stage: Stage) -> None:
    await stage.committer.flush()
    assert stage.did == []
    assert not stage.committer.pending


async def test_input_is_decided_as_far_as_it_is_pending_else_as_far_as_the_rows_say() -> None:
    stage = Stage()
    stage.restore(0, decisions=100, **{"in": 12, "payments": 4})
    stage.committer.take_over({0: [(103, [work(13), work(15)])]}, {0: 104}, CURRENT)
    asked = [TP("in", 0), TP("payments", 0), TP("in", 1), TP("clock", 0)]
    assert [stage.committer.decided_to(tp) for tp in asked] == [15, 4, None, None]
    flushing, gate = await stage.travelling()
    assert stage.committer.decided_to(TP("in", 0)) == 15
    gate.set()
    await flushing
    assert stage.committer.decided_to(TP("in", 0)) == 15


# -- partitions leave


async def test_at_the_end_nothing_is_left(stage: Stage) -> None:
    stage.add(work(3, b"row-1"), released=110)
    await stage.committer.finish()
    assert stage.did[-2:] == ["commit", "apply to 0 up to 41"]
    assert not stage.committer.pending
    stage.table.clear()  # others write there
    assert stage.uncommitted.row(0, b"a") is None
    assert stage.committer.decided_to(TP("in", 0)) is None


async def test_the_end_waits_for_the_transaction_that_travels(stage: Stage) -> None:
    stage.add(work(3))
    flushing, gate = await stage.travelling()
    stage.add(work(4, b"row-1"))
    finishing = asyncio.create_task(stage.committer.finish())
    await turns()
    assert not finishing.done()
    gate.set()
    await asyncio.gather(flushing, finishing)
    assert stage.did.count("commit") == 2
    assert stage.committed_row(0, b"a") == b"row-1"


@pytest.mark.parametrize("when", ["before", "at the end"])
async def test_who_was_stale_begins_anew_when_partitions_come(stage: Stage, when: str) -> None:
    stage.add(work(3, b"row-1"), released=110, slice_=decided(approved=1))
    stage.transactions.fail_at["write"] = STALE
    if when == "before":
        flushing, gate = await stage.travelling("write")
        stage.add(work(4, b"row-2"), slice_=decided(approved=10))
        gate.set()
        await flushing
    await stage.committer.finish()
    del stage.transactions.fail_at["write"]
    assert not stage.committer.fenced
    assert stage.uncommitted.row(0, b"a") is None, "what was dropped is not true, as long as nobody has done it"
    member = CURRENT._replace(generation=8)
    stage.committer.take_over({0: [(109, [work(3, b"row-1")])]}, {0: 112}, member)
    await stage.committer.flush()
    assert stage.committed_row(0, b"a") == b"row-1"
    assert stage.transactions.members[-1] == member
    assert outcomes(stage, "approved") == 0, "nobody counts what another has decided"


# -- when


class Running:
    """A stage whose committer runs."""

    def __init__(self, every_s: float) -> None:
        self.stage = Stage(every_s)
        self.stage.own(0)
        self.task = asyncio.create_task(self.stage.committer.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@pytest.fixture
async def patient() -> AsyncIterator[Running]:
    """Waits for ever, unless it is told not to."""
    running = Running(NEVER_S)
    yield running
    await running.end()


@pytest.fixture
async def quick() -> AsyncIterator[Running]:
    running = Running(0.1)
    yield running
    await running.end()


async def test_what_was_decided_waits_for_a_while_for_more(quick: Running) -> None:
    """Counted from what came first, not from the transaction before."""
    loop = asyncio.get_running_loop()
    for number in (1, 2):
        began = loop.time()
        quick.stage.add(work(10 * number))
        await asyncio.sleep(0)
        quick.stage.add(work(10 * number + 1))
        await quick.stage.until("done", number)
        assert loop.time() - began > 0.09
        await asyncio.sleep(0.06)
    assert quick.stage.transactions.offsets == [{TP("in", 0): 11}, {TP("in", 0): 21}]


async def test_what_came_while_a_transaction_travelled_is_committed_too(quick: Running) -> None:
    gate = quick.stage.transactions.hold("commit")
    quick.stage.add(work(1))
    await quick.stage.until("commit")
    quick.stage.add(work(2))
    gate.set()
    await quick.stage.until("done", 2)
    assert not quick.stage.committer.pending


async def test_what_a_dead_worker_left_is_committed_when_input_flows_without_anything_new(quick: Running) -> None:
    """Until then the changelog is read, which would bring rows that are older than those."""
    quick.stage.committer.take_over({0: [(103, [work(5)])]}, {0: 104}, CURRENT)
    await asyncio.sleep(0.15)
    assert quick.stage.did == []
    quick.stage.committer.input_flows()
    await quick.stage.until("done")
    assert quick.stage.position() == 104


async def test_input_that_flows_where_nothing_was_left_is_no_reason_to_commit(quick: Running) -> None:
    quick.stage.committer.input_flows()
    await asyncio.sleep(0.06)
    began = asyncio.get_running_loop().time()
    quick.stage.add(work(1))
    await quick.stage.until("done")
    assert asyncio.get_running_loop().time() - began > 0.09


async def test_nothing_is_committed_before_its_time(patient: Running) -> None:
    patient.stage.add(work(1))
    await asyncio.sleep(0.05)
    assert patient.stage.did == []


async def test_what_somebody_waits_for_is_committed_at_once_while_the_next_is_decided(patient: Running) -> None:
    gate = patient.stage.transactions.hold("commit")
    patient.stage.add(work(1))
    await patient.stage.committer.soon()
    assert patient.stage.did[:1] == ["begin"], "its requests travel while the caller decides"
    assert patient.stage.committer.pending
    gate.set()
    await patient.stage.until("done", 1)


async def test_also_when_another_transaction_travels_already(patient: Running) -> None:
    gate = patient.stage.transactions.hold("commit")
    patient.stage.add(work(1))
    await patient.stage.committer.soon()
    await turns()
    patient.stage.add(work(2))
    await patient.stage.committer.soon()
    gate.set()
    await patient.stage.until("done", 2)
    assert patient.stage.transactions.offsets == [{TP("in", 0): 1}, {TP("in", 0): 2}]


async def test_being_in_a_hurry_once_hurries_nothing_that_comes_later(quick: Running) -> None:
    loop = asyncio.get_running_loop()
    quick.stage.add(work(1))
    await quick.stage.committer.soon()
    await asyncio.sleep(0.06)
    began = loop.time()
    quick.stage.add(work(2))
    await quick.stage.until("done", 2)
    assert loop.time() - began > 0.09


async def test_without_waiting_for_more_the_caller_waits_for_the_commit() -> None:
    stage = Stage(every_s=0)
    stage.own(0)
    gate = stage.transactions.hold("commit")
    stage.add(work(1))
    waiting = asyncio.create_task(stage.committer.soon())
    await turns()
    assert not waiting.done()
    gate.set()
    await waiting
    assert stage.committer.finished == 1


async def test_a_failure_ends_who_commits(quick: Running) -> None:
    quick.stage.transactions.fail_at["commit"] = ConnectionError("the broker is gone")
    quick.stage.add(work(1))
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(quick.task, 10)


async def test_with_too_much_pending_there_is_no_room(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 4)
    stage.add(work(1, b"row-1", b"entry-1"), work(2, b"row-2", b"entry-2"))
    await stage.committer.room()
    assert stage.did == [], "four are not too much"
    stage.add(work(3, b"row-3"))
    gate = stage.transactions.hold("commit")
    waiting = asyncio.create_task(stage.committer.room())
    await turns()
    assert not waiting.done()
    gate.set()
    await waiting
    assert not stage.committer.pending


async def test_what_travels_takes_room_as_well(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 3)
    stage.add(work(1, b"row-1", b"entry-1"))
    flushing, gate = await stage.travelling()
    stage.add(work(2, b"row-2", b"entry-2"))
    waiting = asyncio.create_task(stage.committer.room())
    await turns()
    assert not waiting.done()
    gate.set()
    await asyncio.gather(flushing, waiting)
    assert not stage.committer.pending


async def test_it_is_nobodys_turn_while_decisions_wait_for_their_transaction(stage: Stage) -> None:
    stage.add(work(1, b"row-1"))
    await stage.committer.turn()
    assert stage.did == [], "nobody waits for a row"
    stage.add(Work({"in": 2}, [], {DECISIONS: [(b"a", b"decision")]}))
    flushing, gate = await stage.travelling()
    waiting = asyncio.create_task(stage.committer.turn())
    await turns()
    assert not waiting.done()
    gate.set()
    await asyncio.gather(flushing, waiting)
    await stage.committer.turn()
    assert stage.did.count("begin") == 1
