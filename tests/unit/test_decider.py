"""The order of a commit: what is done before what, and what is left undone when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from agents.decider import Decider
from agents.metrics import WorkerMetrics
from tables.behind import PartitionRows
from tables.source_offsets import SourceOffsets, is_account
from tests.support import messages as say
from tests.support.engine import Bench
from topics.admin import PartitionMismatch
from topics.transport.consumer import Slice
from topics.transport.fencing import MemberFenced, Membership

CURRENT = Membership(7, "member-1", "worker-0")
INPUT = TP("authorizations", 0)
WRITE = "write authorization-decisions changelog journal-entries"


class Broker:
    """Records what a transaction does; `fail_at` makes one step raise."""

    def __init__(self, did: list[str]) -> None:
        self.did = did
        self.fail_at: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    def step(self, name: str) -> None:
        self.did.append(name)
        if name in self.fail_at:
            raise self.fail_at[name]

    async def begin(self, partitions: set[Any], offsets: dict[Any, int], _fetched_under: Membership) -> None:
        self.offsets, self.partitions = offsets, partitions
        self.step("begin")

    def pack(self, records: dict[Any, Any]) -> dict[Any, Any]:
        self.step("pack")
        return {TopicPartition(*tp): list(each) for tp, each in records.items()}

    async def write(self, packed: dict[Any, Any]) -> dict[Any, int]:
        self.packed = packed
        self.step("write " + " ".join(sorted(tp.topic for tp in packed)))
        return dict.fromkeys(packed, 41)

    async def commit(self) -> None:
        await self.gate.wait()
        self.step("commit")

    async def abort(self) -> None:
        self.step("abort")


class Stage:
    def __init__(self) -> None:
        self.did: list[str] = []
        self.bench = Bench()
        self.bench.run(say.opened())
        self.broker = Broker(self.did)
        self.consumer: Any = SimpleNamespace(
            thread=SimpleNamespace(fetched_under=CURRENT),
            release=lambda: self.did.append("release"),
            fetch_ahead=lambda: self.did.append("fetch ahead"),
        )
        self.sources = SourceOffsets({}, lambda partition, key: self.bench.rows.get((partition, key)))
        self.decider = Decider(
            self.bench.engine,
            self.broker,
            "changelog",
            self.sources,
            self.apply,
            WorkerMetrics(),  # type: ignore[arg-type]
        )

    def apply(self, committed: Sequence[PartitionRows]) -> None:
        for partition, rows, offset in committed:
            self.did.append(f"apply to {partition} up to {offset}")
            self.bench.rows.update({(partition, key): row for key, row in rows})

    async def handle(self, *references: str, first: int = 0, member: Membership = CURRENT, full: bool = False) -> None:
        records = []
        for number, reference in enumerate(references):
            record: Any = self.bench.record(say.request(reference, 1000))
            record.offset = first + number
            records.append(record)
        await self.decider.handle(Slice(member, {INPUT: records}, full), self.consumer)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_rows_reach_the_store_only_after_the_commit(stage: Stage) -> None:
    await stage.handle("ref-1")
    assert stage.did == [
        "begin", "pack", WRITE, "fetch ahead", "commit",
        "apply to 0 up to 41", "release",
    ]  # fmt: skip
    assert set(stage.broker.offsets.values()) == {1}


async def test_with_a_backlog_the_next_slice_is_made_while_the_batches_travel(stage: Stage) -> None:
    await stage.handle("ref-1", full=True)
    assert stage.did[:4] == ["begin", "pack", "fetch ahead", WRITE]


async def test_a_fenced_slice_is_aborted_and_leaves_no_trace(stage: Stage) -> None:
    before = dict(stage.bench.rows)
    stage.broker.fail_at[WRITE] = MemberFenced("illegal generation")
    await stage.handle("ref-1")
    assert stage.did == ["begin", "pack", WRITE, "abort", "release"]
    assert stage.bench.rows == before
    del stage.broker.fail_at[WRITE]
    await stage.handle("ref-1")
    assert stage.bench.account().open_holds() == 1000


@pytest.mark.parametrize("step", ["begin", "pack", WRITE, "commit"])
async def test_any_other_failure_is_passed_on_and_nothing_is_applied(stage: Stage, step: str) -> None:
    before = dict(stage.bench.rows)
    stage.broker.fail_at[step] = ConnectionError("the broker is gone")
    with pytest.raises(ConnectionError):
        await stage.handle("ref-1")
    assert stage.bench.rows == before
    assert not any(done.startswith("apply") for done in stage.did)


async def test_how_far_the_input_is_decided_travels_with_the_rows(stage: Stage) -> None:
    await stage.handle("ref-1", "ref-2", first=10)
    written = stage.broker.packed[TopicPartition("changelog", 0)]
    assert [key for key, _row in written if is_account(key)] == [b"acct-1"]
    assert len(written) == 2
    assert stage.sources.committed(INPUT) == 12
    stage.broker.fail_at[WRITE] = MemberFenced("illegal generation")
    await stage.handle("ref-3", first=12)
    assert stage.sources.committed(INPUT) == 12


async def test_it_is_written_also_when_no_row_changes(stage: Stage) -> None:
    record: Any = stage.bench.record(say.request("ref-1", 1000))
    record.offset, record.value = 4, b"poison"
    await stage.decider.handle(Slice(CURRENT, {INPUT: [record]}), stage.consumer)
    assert stage.sources.committed(INPUT) == 5


async def test_a_slice_fetched_before_a_rebalance_is_dropped(stage: Stage) -> None:
    await stage.handle("ref-1", member=CURRENT._replace(generation=6))
    assert stage.did == ["release"]


async def test_f2_records_delivered_again_within_an_assignment_are_skipped(stage: Stage) -> None:
    """Faust resumes input before it seeks to the committed offsets; 2,402 duplicates in one experiment."""
    await stage.handle("ref-1", "ref-2", first=0)
    await stage.handle("ref-1", "ref-2", "ref-3", first=0)
    await stage.handle("ref-1", "ref-2", "ref-3", first=0)
    decided = [done for done in stage.did if done == WRITE]
    assert len(decided) == 2
    assert list(stage.bench.account().holds) == ["ref-1", "ref-2", "ref-3"]


async def test_after_a_revocation_the_committed_offsets_decide_again(stage: Stage) -> None:
    await stage.handle("ref-1", first=10)
    await stage.decider.revoked(stage.consumer)
    await stage.handle("ref-2", first=3)  # this partition went away, was rewound elsewhere, and came back
    assert list(stage.bench.account().holds) == ["ref-1", "ref-2"]


async def test_the_lag_is_what_lies_between_the_last_commit_and_the_end(stage: Stage) -> None:
    await stage.handle("ref-1", "ref-2", first=10)
    assert stage.decider.lags(lambda _tp: 15) == {INPUT: 3}
    assert stage.decider.lags(lambda _tp: None) == {}


async def test_a_revocation_waits_for_the_commit_in_work(stage: Stage) -> None:
    stage.broker.gate.clear()
    handling = asyncio.create_task(stage.handle("ref-1"))
    revoking = asyncio.create_task(stage.decider.revoked(stage.consumer))
    done, _pending = await asyncio.wait([revoking], timeout=0.1)
    assert not done
    stage.broker.gate.set()
    await asyncio.gather(handling, revoking)
    assert stage.did.index("commit") < stage.did.index("release")


async def test_every_step_is_announced_in_order() -> None:
    stage, steps = Stage(), list[str]()
    note: Callable[[str], None] = steps.append
    stage.decider._step = note
    await stage.handle("ref-1")
    assert steps == ["begin", "decide", "write", "commit", "apply", "done"]


async def test_nothing_is_committed_when_a_message_astray_comes_of_other_partitions(stage: Stage) -> None:
    async def changed() -> None:
        raise PartitionMismatch("authorizations has 6")

    stage.bench.rows.clear()
    stage.bench.engine.means.partitions = 2**31  # no key is at home in partition 0 then
    stage.decider._check_partitions = changed
    with pytest.raises(PartitionMismatch):
        await stage.handle("ref-1")
    assert stage.did == ["begin", "release"]
