"""The order of a slice: what is done before what, what can be seen when, and what is left undone when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from faust.types import TP

from agents import committer as committing
from agents.committer import Committer
from agents.decider import Decider
from agents.metrics import WorkerMetrics
from tables.behind import PartitionRows
from tables.source_offsets import SourceOffsets
from tables.uncommitted import Uncommitted
from tests.support import messages as say
from tests.support.engine import Bench
from tests.unit.scripted import Transactions
from topics.admin import PartitionMismatch
from topics.declarations import AUTHORIZATION_DECISIONS, AUTHORIZATIONS, CLOCK, JOURNAL_ENTRIES, PAYMENTS
from topics.transport.batches import Batch, Record
from topics.transport.consumer import Slice
from topics.transport.fencing import MemberFenced, Membership
from topics.transport.redo import Work
from topics.transport.release import Redo

CURRENT = Membership(7, "member-1", "worker-0")
INPUT = TP(AUTHORIZATIONS.name, 0)
PAID = TP(PAYMENTS.name, 0)
DECISIONS = TopicPartition(AUTHORIZATION_DECISIONS.name, 0)
NEVER_S = 3600.0
"""For tests that say themselves when something is committed"""
END = 100
"""Of the decisions, when the partition comes"""
RELEASED = ["keep", "room", "decide", "pack", "fetch ahead", "send", "add", "done with"]


class Releases:
    """With the interface of topics.transport.release: notes what is done, and takes whatever fits."""

    topic = AUTHORIZATION_DECISIONS.name

    def __init__(self, did: list[str]) -> None:
        self.did = did
        self.fits = True
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.packed: list[tuple[int, Sequence[Record], Sequence[Work]]] = []
        self.found: dict[int, list[Redo]] = {}
        self.starts: list[Mapping[int, int | None]] = []
        self.end = END

    async def take_over(self, partitions: Collection[int]) -> None:
        self.did.append(f"fence {sorted(partitions)}")

    async def keep(self) -> None:
        self.did.append("keep")

    async def read(self, starts: Mapping[int, int | None]) -> tuple[dict[int, list[Redo]], dict[int, int]]:
        self.did.append("read")
        self.starts.append(starts)
        await self.gate.wait()
        return self.found, dict.fromkeys(starts, self.end)

    def pack(self, partition: int, decisions: Sequence[Record], works: Sequence[Work]) -> Batch | None:
        self.did.append("pack")
        self.packed.append((partition, decisions, works))
        return Batch(len(decisions), bytearray()) if self.fits else None

    async def send(self, batches: Mapping[int, Batch]) -> dict[int, int]:
        self.did.append("send")
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.end += sum(batch.records for batch in batches.values())
        return dict.fromkeys(batches, self.end)

    @property
    def said(self) -> Sequence[Work]:
        """What follows from the decisions of the last batch."""
        return self.packed[-1][2]


class NotedCommitter(Committer):
    """The real one: says in `did` that it was given something."""

    did: list[str]

    def add(self, *args: Any) -> None:
        self.did.append("add")
        super().add(*args)

    async def room(self) -> None:
        self.did.append("room")
        await super().room()


class Stage:
    """One account and one partition, and a committer that runs."""

    def __init__(self, every_s: float = NEVER_S) -> None:
        self.did: list[str] = []
        self.bench = Bench()
        self.bench.run(say.opened())
        self.transactions, self.releases = Transactions(self.did), Releases(self.did)
        self.counted = CURRENT
        self.consumer: Any = SimpleNamespace(
            thread=SimpleNamespace(
                fetched_under=CURRENT,
                membership=self._membership,
                counts=self._counts,
                call_thread=lambda call, *arguments: call(*arguments),
            ),
            release=lambda: self.did.append("done with"),
            fetch_ahead=lambda: self.did.append("fetch ahead"),
        )
        self.sources = SourceOffsets({}, self._committed_row)
        self.uncommitted = Uncommitted(self._committed_row)
        self.bench.engine.means.read_row = self.uncommitted.row
        self.metrics = WorkerMetrics()
        self.committer = NotedCommitter(
            self.transactions,  # type: ignore[arg-type]
            "changelog",
            AUTHORIZATION_DECISIONS.name,
            self.sources,
            self.uncommitted,
            write_rows=self.write,
            metrics=self.metrics,
            every_s=every_s,
        )
        self.committer.did = self.did
        self.steps: list[str] = []
        self.decider = Decider(
            self.bench.engine,
            self.releases,  # type: ignore[arg-type]
            self.committer,
            self.metrics,
            step=self._step,
            clock=lambda: say.T0 + say.SECOND,
        )
        self.running = asyncio.create_task(self.committer.run())

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == "decide":
            self.did.append(name)

    def _committed_row(self, partition: int, key: bytes) -> bytes | None:
        return self.bench.rows.get((partition, key))

    async def _membership(self) -> Membership:
        self.did.append("membership")
        return self.consumer.thread.fetched_under  # type: ignore[no-any-return]

    async def _counts(self, member: Membership) -> bool:
        self.did.append("ask the group")
        return member == self.counted

    def write(self, committed: Sequence[PartitionRows]) -> None:
        for partition, rows, _offset in committed:
            self.did.append("apply")
            self.bench.rows.update({(partition, key): row for key, row in rows})

    def restore(self, **offsets: int) -> None:
        """The rows say so much of how far inputs and decisions are committed."""
        named = {TP(name.replace("_", "-"), 0): offset for name, offset in offsets.items()}
        self.bench.rows.update({(0, key): row for key, row in self.sources.rows(named)[0]})

    async def take_over(self, *, is_current: Callable[[], bool] = lambda: True) -> None:
        await self.decider.take_over({0}, self.consumer, is_current)

    async def own(self) -> None:
        """The partition comes, of which something was committed before."""
        self.restore(authorization_decisions=END)
        await self.take_over()
        self.did.clear()

    async def handle(self, *references: str, first: int = 0, member: Membership = CURRENT, full: bool = False) -> None:
        """A slice of requests of ten dollars each."""
        records = [self.bench.record(say.request(reference, 1000)) for reference in references]
        await self.decide({INPUT: records}, first, member=member, full=full)

    async def pay(self, offset: int = 0) -> None:
        """A slice without decisions."""
        await self.decide({PAID: [self.bench.record(say.payment(message_id=f"pay-{offset}"))]}, offset)

    async def decide(
        self, records: Mapping[TP, Sequence[Any]], first: int, *, member: Membership = CURRENT, full: bool = False
    ) -> None:
        for each in records.values():
            for number, record in enumerate(each):
                record.offset = first + number
        slice_ = Slice(member, {tp: list(each) for tp, each in records.items()}, full)
        await self.decider.handle(slice_, self.consumer)

    def holds(self) -> list[str]:
        """As committed."""
        return list(self.bench.account().holds)

    async def fence(self) -> None:
        """The group has moved on without this worker, which notices when it commits what it has decided."""
        self.transactions.fail_at["write"] = MemberFenced("illegal generation")
        await self.committer.flush()
        del self.transactions.fail_at["write"]
        assert self.committer.fenced
        self.did.clear()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    await stage.own()
    yield stage
    stage.running.cancel()


@pytest.fixture
async def fresh() -> AsyncIterator[Stage]:
    """Whose partition has not come yet."""
    stage = Stage()
    yield stage
    stage.running.cancel()


async def turns() -> None:
    """Everything that needs no time has happened."""
    for _ in range(20):
        await asyncio.sleep(0)


# -- decisions that are released


async def test_decisions_are_seen_before_anything_is_committed(stage: Stage) -> None:
    await stage.handle("ref-1")
    await turns()
    assert stage.did == RELEASED
    assert stage.committer.pending
    await stage.committer.flush()
    assert stage.did[len(RELEASED) :] == ["begin", "write", "commit", "apply"]
    assert stage.holds() == ["ref-1"]


async def test_a_batch_has_the_decisions_and_says_all_that_follows_from_them(stage: Stage) -> None:
    await stage.handle("ref-1", "ref-2", first=10)
    ((partition, decisions, (work,)),) = stage.releases.packed
    assert partition == 0
    assert [orjson.loads(value)["network_reference"] for _key, value in decisions] == ["ref-1", "ref-2"]
    assert work.offsets == {AUTHORIZATIONS.name: 12}
    assert [key for key, _row in work.rows] == [b"acct-1"]
    assert set(work.records) == {JOURNAL_ENTRIES.name}, "the decisions are there already"
    await stage.committer.flush()
    (written,) = stage.transactions.written
    assert set(written) == {TopicPartition("changelog", 0), TopicPartition(JOURNAL_ENTRIES.name, 0)}
    assert written[TopicPartition(JOURNAL_ENTRIES.name, 0)] == work.records[JOURNAL_ENTRIES.name]


async def test_how_far_input_and_decisions_are_committed_travels_with_the_rows(stage: Stage) -> None:
    await stage.handle("ref-1", "ref-2", first=10)
    await stage.committer.flush()
    assert stage.transactions.offsets == [{INPUT: 12}]
    assert stage.transactions.members == [CURRENT]
    assert stage.sources.committed(INPUT) == 12
    assert stage.sources.committed(TP(*DECISIONS)) == END + 2


async def test_the_next_slice_is_decided_over_rows_that_are_not_committed(stage: Stage) -> None:
    await stage.handle("ref-1", first=0)
    await stage.handle("ref-2", first=1)
    assert stage.holds() == []
    await stage.committer.flush()
    assert stage.holds() == ["ref-1", "ref-2"]
    assert stage.did.count("begin") == 1


async def test_a_slice_without_decisions_sends_nothing(stage: Stage) -> None:
    await stage.pay()
    await turns()
    assert stage.did == ["keep", "room", "decide", "fetch ahead", "add", "done with"]
    await stage.committer.flush()
    assert stage.sources.committed(PAID) == 1


async def test_what_nobody_could_read_yet_is_said_with_the_next_decisions(stage: Stage) -> None:
    """The rows behind them have seen it: whoever does what follows from the decisions has to do it first."""
    await stage.pay(4)
    await stage.handle("ref-1")
    assert [work.offsets for work in stage.releases.said] == [{PAYMENTS.name: 5}, {AUTHORIZATIONS.name: 1}]
    await stage.handle("ref-2", first=1)
    assert [work.offsets for work in stage.releases.said] == [{AUTHORIZATIONS.name: 2}]


async def test_every_step_is_announced_in_order(stage: Stage) -> None:
    await stage.handle("ref-1")
    assert stage.steps == ["decide", "release"]


# -- decisions that their transaction has


@pytest.mark.parametrize(("full", "packs"), [(False, True), (True, False)], ids=["too large", "a backlog"])
async def test_what_is_not_released_is_committed_at_once(stage: Stage, full: bool, packs: bool) -> None:
    stage.releases.fits = False
    await stage.handle("ref-1", full=full)
    await turns()
    before = ["keep", "room", "decide", *["pack"] * packs, "fetch ahead", "add"]
    assert stage.did[: len(before)] == before
    assert stage.did[len(before) :] == ["begin", "done with", "write", "commit", "apply"], "it travels meanwhile"
    (written,) = stage.transactions.written
    assert [key for key, _value in written[DECISIONS]] == [b"acct-1"]
    assert stage.holds() == ["ref-1"]
    assert stage.sources.committed(TP(*DECISIONS)) == END, "where they are in the log is not known"


async def test_nothing_is_released_before_those_that_wait_for_their_transaction(stage: Stage) -> None:
    """Decisions of a partition are in the log in the order of its requests."""
    gate = stage.transactions.hold("commit")
    await stage.handle("ref-1", full=True)
    await turns()
    stage.did.clear()
    handling = asyncio.create_task(stage.handle("ref-2", first=1))
    await turns()
    assert stage.did == ["keep", "room"]
    gate.set()
    await handling
    assert stage.did[2:] == ["commit", "apply", *RELEASED[2:]]
    assert [work.offsets for work in stage.releases.said] == [{AUTHORIZATIONS.name: 2}]


async def test_with_a_backlog_deciding_goes_on_while_they_travel(stage: Stage) -> None:
    gate = stage.transactions.hold("commit")
    await stage.handle("ref-1", full=True)
    await stage.handle("ref-2", first=1, full=True)
    assert stage.did.count("decide") == 2
    assert "commit" not in stage.did
    gate.set()
    await stage.committer.flush()
    assert [len(written[DECISIONS]) for written in stage.transactions.written] == [1, 1]
    assert stage.holds() == ["ref-1", "ref-2"]


async def test_of_what_came_without_decisions_nobody_waits_for_the_transaction(stage: Stage) -> None:
    gate = stage.transactions.hold("commit")
    await stage.pay()
    flushing = asyncio.create_task(stage.committer.flush())
    await turns()
    await stage.handle("ref-1")
    assert "send" in stage.did
    gate.set()
    await flushing


async def test_decisions_are_released_once_a_commit_has_said_where_to_look_for_them(fresh: Stage) -> None:
    await fresh.take_over()
    fresh.did.clear()
    await fresh.handle("ref-1")
    await turns()
    assert fresh.did == [
        "keep", "room", "decide", "fetch ahead", "add", "begin", "done with", "write", "commit", "apply",
    ]  # fmt: skip
    assert [len(written[DECISIONS]) for written in fresh.transactions.written] == [1]
    await fresh.handle("ref-2", first=1)
    assert fresh.did[-len(RELEASED) :] == RELEASED


async def test_without_waiting_for_more_each_slice_is_a_transaction_of_its_own() -> None:
    stage = Stage(every_s=0)
    await stage.own()
    await stage.handle("ref-1")
    assert stage.did == [
        "keep", "room", "decide", "fetch ahead", "add", "begin", "write", "commit", "apply", "done with",
    ]  # fmt: skip
    await stage.handle("ref-2", first=1)
    assert stage.holds() == ["ref-1", "ref-2"]
    assert [len(written[DECISIONS]) for written in stage.transactions.written] == [1, 1]
    stage.running.cancel()


async def test_with_too_much_pending_deciding_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "MOST_PENDING", 0)
    await stage.handle("ref-1")
    stage.did.clear()
    gate = stage.transactions.hold("commit")
    handling = asyncio.create_task(stage.handle("ref-2", first=1))
    await turns()
    assert stage.did == ["keep", "room", "begin", "write"]
    gate.set()
    await handling
    assert stage.did[4:] == ["commit", "apply", *RELEASED[2:]]


async def two_partitions(stage: Stage) -> None:
    """Decide a request in each of them; in one nothing was ever committed."""
    stage.bench.rows[1, b"acct-1"] = stage.bench.rows[0, b"acct-1"]
    requests = {}
    for partition in (0, 1):
        record = stage.bench.record(say.request(f"ref-{partition}", 1000))
        record.partition = partition
        requests[TP(AUTHORIZATIONS.name, partition)] = [record]
    await stage.decide(requests, 0)
    await turns()


async def test_batches_of_all_partitions_are_sent_at_once(stage: Stage) -> None:
    stage.bench.rows.update({(1, key): row for key, row in stage.sources.rows({TP(*DECISIONS): END})[0]})
    await stage.decider.take_over({0, 1}, stage.consumer, lambda: True)
    stage.did.clear()
    await two_partitions(stage)
    assert stage.did == ["keep", "room", "decide", "pack", "pack", "fetch ahead", "send", "add", "done with"]
    assert [(partition, len(works)) for partition, _decisions, works in stage.releases.packed] == [(0, 1), (1, 1)]


async def test_a_slice_is_released_as_a_whole_or_not_at_all(stage: Stage) -> None:
    """It is then committed as a whole, and no partition of it waits for another's batch."""
    await stage.decider.take_over({0, 1}, stage.consumer, lambda: True)
    await two_partitions(stage)
    assert "send" not in stage.did
    (written,) = stage.transactions.written
    assert [len(written[TopicPartition(DECISIONS.topic, partition)]) for partition in (0, 1)] == [1, 1]


# -- what fails


@pytest.mark.parametrize("failure", [ConnectionError("the broker is gone"), ProducerFenced()], ids=repr)
async def test_when_nobody_knows_whether_decisions_can_be_seen_nothing_is_added(
    stage: Stage, failure: Exception
) -> None:
    """The worker ends: who comes next finds them or decides, and this worker must not commit either."""
    stage.releases.failure = failure
    with pytest.raises(type(failure)):
        await stage.handle("ref-1")
    assert stage.did == [*RELEASED[: RELEASED.index("add")], "done with"]
    assert not stage.committer.pending
    assert stage.decider.next_offset(INPUT) == 0


async def test_when_a_transaction_at_once_fails_it_is_who_commits_that_hears_of_it(stage: Stage) -> None:
    stage.transactions.fail_at["write"] = ConnectionError("the broker is gone")
    await stage.handle("ref-1", full=True)
    with pytest.raises(ConnectionError):
        await stage.running
    assert stage.holds() == []


async def test_nothing_is_released_when_a_message_astray_comes_of_other_partitions(stage: Stage) -> None:
    async def changed() -> None:
        raise PartitionMismatch("authorizations has 6")

    stage.bench.rows.clear()
    stage.bench.engine.means.partitions = 2**31  # no key is at home in partition 0 then
    stage.decider._check_partitions = changed
    with pytest.raises(PartitionMismatch):
        await stage.handle("ref-1")
    assert stage.did == ["keep", "room", "decide", "done with"]
    assert not stage.committer.pending


async def test_nothing_is_released_of_a_slice_that_was_decided_over_rows_that_were_refused(stage: Stage) -> None:
    """The next owner would take it for all that was decided until then, and never do what was refused."""
    stage.bench.rows.clear()
    await stage.handle("ref-1")
    stage.bench.engine.means.partitions = 2**31  # a message astray: partitions are asked for
    stage.decider._check_partitions = stage.fence
    await stage.handle("ref-2", first=1)
    assert stage.did == ["done with"], "fencing has cleared the list"
    assert not stage.committer.pending
    assert stage.decider.next_offset(INPUT) == 1


async def test_who_is_no_longer_counted_in_drops_slices_until_partitions_come_anew(stage: Stage) -> None:
    await stage.handle("ref-1")
    await stage.fence()
    await stage.handle("ref-2", first=1)
    assert "decide" not in stage.did
    assert stage.decider.next_offset(INPUT) == 1
    await stage.decider.revoked(stage.consumer)
    assert stage.holds() == []
    stage.consumer.thread.fetched_under = stage.counted = anew = CURRENT._replace(generation=8)
    await stage.own()
    await stage.handle("ref-2", member=anew)
    await stage.committer.flush()
    assert stage.holds() == ["ref-2"]
    assert stage.transactions.members[-1] == anew


async def test_what_was_released_meanwhile_is_left_to_who_comes_next(stage: Stage) -> None:
    """It is in the log with all that follows from it, and this worker may commit nothing any more."""
    await stage.handle("ref-1")
    stage.releases.gate.clear()
    handling = asyncio.create_task(stage.handle("ref-2", first=1))
    await turns()
    await stage.fence()
    stage.releases.gate.set()
    await handling
    assert stage.did == ["add", "done with"]
    assert not stage.committer.pending


# -- what is delivered again, or too late


async def test_who_is_fenced_ends_when_its_transaction_has(stage: Stage) -> None:
    """Nobody would end it before its timeout: who has the partitions now has ended what was open before."""
    await stage.handle("ref-1")
    gate = stage.transactions.hold("commit")
    committing = asyncio.create_task(stage.committer.flush())
    await turns()
    stage.releases.failure = ProducerFenced()
    ending = asyncio.create_task(stage.handle("ref-2", first=1))
    await turns()
    assert not ending.done()
    gate.set()
    await committing
    with pytest.raises(ProducerFenced):
        await ending
    assert stage.did.index("apply") < stage.did.index("done with", stage.did.index("apply"))
    await stage.handle("ref-3", first=1)
    assert stage.did.count("decide") == 2


async def test_a_slice_fetched_before_a_rebalance_is_dropped(stage: Stage) -> None:
    await stage.handle("ref-1", member=CURRENT._replace(generation=6))
    assert stage.did == ["done with"]


async def test_nothing_is_decided_before_the_partitions_are_taken_over_and_after_they_have_left(fresh: Stage) -> None:
    """Who had them may decide still, and who gets them may have done so already."""
    await fresh.handle("ref-1")
    assert fresh.did == ["done with"]
    await fresh.own()
    await fresh.decider.revoked(fresh.consumer)
    fresh.did.clear()
    await fresh.handle("ref-1")
    assert fresh.did == ["done with"]


async def test_f2_records_delivered_again_within_an_assignment_are_skipped(stage: Stage) -> None:
    """Faust resumes input before it seeks to the committed offsets; 2,402 duplicates in one experiment."""
    await stage.handle("ref-1", "ref-2", first=0)
    await stage.handle("ref-1", "ref-2", "ref-3", first=0)
    await stage.handle("ref-1", "ref-2", "ref-3", first=0)
    assert [len(decisions) for _partition, decisions, _works in stage.releases.packed] == [2, 1]
    await stage.committer.flush()
    assert stage.holds() == ["ref-1", "ref-2", "ref-3"]


async def test_after_a_revocation_the_committed_offsets_decide_again(stage: Stage) -> None:
    await stage.handle("ref-1", first=10)
    await stage.decider.revoked(stage.consumer)
    await stage.own()
    await stage.handle("ref-2", first=3)  # this partition went away, was rewound elsewhere, and came back
    await stage.committer.flush()
    assert stage.holds() == ["ref-1", "ref-2"]


async def test_the_lag_is_what_lies_between_the_last_decision_and_the_end(stage: Stage) -> None:
    await stage.handle("ref-1", "ref-2", first=10)
    assert stage.decider.lags(lambda _tp: 15) == {INPUT: 3}
    assert stage.decider.lags(lambda _tp: None) == {}


# -- partitions leave


async def test_a_revocation_commits_what_is_decided(stage: Stage) -> None:
    await stage.handle("ref-1")
    stage.did.clear()
    await stage.decider.revoked(stage.consumer)
    assert stage.did == ["begin", "write", "commit", "apply", "done with"]
    assert stage.holds() == ["ref-1"]
    assert stage.decider.next_offset(INPUT) == 0


async def test_a_revocation_waits_for_the_slice_in_work(stage: Stage) -> None:
    stage.releases.gate.clear()
    handling = asyncio.create_task(stage.handle("ref-1"))
    await turns()
    revoking = asyncio.create_task(stage.decider.revoked(stage.consumer))
    await turns()
    assert not revoking.done()
    stage.releases.gate.set()
    await asyncio.gather(handling, revoking)
    assert stage.did.index("add") < stage.did.index("commit")
    assert stage.holds() == ["ref-1"]


async def test_a_revocation_waits_for_the_commit_in_work(stage: Stage) -> None:
    gate = stage.transactions.hold("commit")
    await stage.handle("ref-1", full=True)
    await turns()
    revoking = asyncio.create_task(stage.decider.revoked(stage.consumer))
    await turns()
    assert not revoking.done()
    gate.set()
    await revoking
    assert stage.holds() == ["ref-1"]


# -- partitions come


async def left_behind(*references: str) -> list[Work]:
    """What follows from decisions of another worker, each a slice."""
    other = Stage()
    await other.own()
    for number, reference in enumerate(references):
        await other.handle(reference, first=number)
    other.running.cancel()
    return [works[0] for _partition, _decisions, works in other.releases.packed]


async def test_who_had_the_partitions_is_fenced_before_it_is_read_what_they_left(fresh: Stage) -> None:
    """What comes after the reading would be found by nobody."""
    fresh.restore(authorization_decisions=40)
    await fresh.take_over()
    assert fresh.did == ["membership", "fence [0]", "read", "ask the group"]
    assert fresh.releases.starts == [{0: 40}]


async def test_of_a_partition_whose_position_was_never_committed_only_the_end_is_asked_for(fresh: Stage) -> None:
    await fresh.take_over()
    assert fresh.releases.starts == [{0: None}]


async def test_what_follows_from_the_decisions_of_a_dead_worker_is_done_by_the_next(
    fresh: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = await left_behind("ref-1", "ref-2", "ref-3")
    fresh.bench.rows.update({(0, key): row for key, row in first.rows})
    fresh.restore(authorization_decisions=40, authorizations=1)
    fresh.releases.found = {0: [(39, [first]), (40, [second]), (41, [third])]}
    await fresh.take_over()
    assert fresh.committer.decided_to(INPUT) == 3
    assert f"{second.size + third.size} rows and records that follow from released decisions" in caplog.text
    await fresh.handle("ref-4", first=3)
    await fresh.committer.flush()
    assert fresh.holds() == ["ref-1", "ref-2", "ref-3", "ref-4"]
    (written,) = fresh.transactions.written
    booked = [orjson.loads(value) for _key, value in written[TopicPartition(JOURNAL_ENTRIES.name, 0)]]
    assert [entry["cause"] for entry in booked] == ["ref-2", "ref-3", "ref-4"]


async def test_what_was_found_by_two_takings_over_is_done_once(fresh: Stage) -> None:
    """A recovery that is overtaken by the next rebalance may still take over before the next one does."""
    (work,) = await left_behind("ref-1")
    fresh.restore(authorization_decisions=40)
    fresh.releases.found = {0: [(40, [work])]}
    await fresh.take_over()
    await fresh.take_over()
    await fresh.committer.flush()
    (written,) = fresh.transactions.written
    assert len(written[TopicPartition(JOURNAL_ENTRIES.name, 0)]) == 1


async def test_nothing_is_done_of_it_when_the_partitions_have_gone_again(fresh: Stage) -> None:
    (work,) = await left_behind("ref-1")
    fresh.restore(authorization_decisions=40)
    fresh.releases.found = {0: [(40, [work])]}
    await fresh.take_over(is_current=lambda: False)
    assert not fresh.committer.pending
    assert fresh.committer.decided_to(INPUT) is None
    await fresh.handle("ref-2", first=1)
    assert "decide" not in fresh.did


async def test_whether_they_are_still_ours_is_asked_when_all_was_read(fresh: Stage) -> None:
    (work,) = await left_behind("ref-1")
    fresh.restore(authorization_decisions=40)
    fresh.releases.found, current = {0: [(40, [work])]}, [True]
    fresh.releases.gate.clear()
    taking = asyncio.create_task(fresh.take_over(is_current=lambda: current[0]))
    await turns()
    current[0] = False
    fresh.releases.gate.set()
    await taking
    assert not fresh.committer.pending


async def test_whom_the_group_does_not_count_any_more_does_nothing_of_it_and_decides_nothing(fresh: Stage) -> None:
    """Its tables may be restored from before what another owner has done; what it released would be done by the next
    one, over the other's."""
    (work,) = await left_behind("ref-1")
    fresh.restore(authorization_decisions=40)
    fresh.releases.found = {0: [(40, [work])]}
    fresh.counted = CURRENT._replace(generation=CURRENT.generation + 1)
    await fresh.take_over()
    assert fresh.did[-1] == "ask the group"
    assert not fresh.committer.pending
    await fresh.handle("ref-2", first=1)
    assert "decide" not in fresh.did


async def test_whose_partitions_have_gone_already_fences_nobody(fresh: Stage) -> None:
    await fresh.take_over(is_current=lambda: False)
    assert fresh.did == []


async def test_a_revocation_waits_for_partitions_that_come(fresh: Stage) -> None:
    (work,) = await left_behind("ref-1")
    fresh.restore(authorization_decisions=40)
    fresh.releases.found = {0: [(40, [work])]}
    fresh.releases.gate.clear()
    taking = asyncio.create_task(fresh.take_over())
    await turns()
    revoking = asyncio.create_task(fresh.decider.revoked(fresh.consumer))
    await turns()
    assert not revoking.done()
    fresh.releases.gate.set()
    await asyncio.gather(taking, revoking)
    assert not fresh.committer.pending
    assert fresh.did[-5:] == ["begin", "write", "commit", "apply", "done with"]


async def test_slices_and_revocations_are_counted_whatever_becomes_of_them(stage: Stage) -> None:
    """The watchdog tells by it whether anything happens."""
    await stage.handle("ref-1")
    await stage.handle("ref-2", member=CURRENT._replace(generation=6))
    stage.releases.failure = ConnectionError("the broker is gone")
    with pytest.raises(ConnectionError):
        await stage.handle("ref-3", first=1)
    await stage.decider.revoked(stage.consumer)
    assert stage.decider.finished == 4


async def test_a_tick_of_the_clock_is_committed_like_anything_else(stage: Stage) -> None:
    await stage.decide({TP(CLOCK.name, 0): [stage.bench.record(say.tick(say.T0))]}, 8)
    await stage.committer.flush()
    assert stage.sources.committed(TP(CLOCK.name, 0)) == 9
