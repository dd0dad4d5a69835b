"""One worker process: what runs in it, and how it ends."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from agents.committer import Committer
from agents.decided import WRONG_PARTITION, Decided
from agents.decider import Decider
from agents.engine import Engine
from agents.metrics import WorkerMetrics
from models.authorization import Policy
from tables.behind import WriteBehind
from tables.source_offsets import SourceOffsets
from tables.sweep import RoundRobin
from tables.uncommitted import Uncommitted
from tests.simulation.broker import Broker
from tests.simulation.consumer import CHANGELOG, NO_MEMBER, Client, Consumer
from tests.simulation.group import Place
from tests.simulation.producer import Transactions
from tests.simulation.releases import Releases
from tests.simulation.schedule import Schedule
from tests.simulation.stamps import REPLIES, stamp
from tests.simulation.store import Store, Writer
from tests.simulation.story import PARTITIONS
from tests.simulation.turns import Activity, turn, until
from topics.transport.consumer import Slice
from topics.transport.fencing import Membership
from topics.transport.recovery import MarkerAwareRecovery

METRICS = WorkerMetrics()
"""One for all: a registry takes longer to make than a history to run"""


SHED_AFTER_MS = 1500
KEPT_BYTES = 4000
"""A few rows, so that some are read from the store."""
PARTS = ("keeper", "recovery", "fetcher", "agent", "committer", "writer")
"""The process ends with each of them"""
BUGS = (AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError)
"""What no history may bring about"""


class Bug(AssertionError):
    """Something was raised that tells of no fault but the code's."""


class Killed(BaseException):
    """The process ends inside a step of its decider."""


@dataclass
class Plan:
    """How a history treats its processes: `most` records a fetch, `most_released` in a batch of decisions, steps at
    which they die or freeze, probabilities (`writes`: that the disk comes to the next rows)."""

    most: int
    most_released: int
    commit_every_s: Sequence[float]
    early_input: float
    dies_at: str
    dies: float
    freezes_at: str
    freezes: float
    writes: float


class Worker:
    """A process of this name. It ends by itself when something is raised that leaves the outcome unknown."""

    def __init__(self, name: str, broker: Broker, store: Store, schedule: Schedule, plan: Plan) -> None:
        self.name, self.store = name, store
        self.frozen = self.ended = False
        self.activities: list[Activity] = []
        self._broker, self._schedule, self._plan = broker, schedule, plan
        self._member: str | None = None
        self._queue: list[Slice] = []
        self._recovery: Activity | None = None
        self.client = Client(broker, schedule, name, plan.most)
        self.consumer = Consumer(self.client, store)
        self.transactions = Transactions(broker, f"opentobuy-{name}", schedule, self.spawn, self._step)
        self.writer = Writer(lambda: schedule.happens(plan.writes))
        self.behind = WriteBehind(store.row, store.write, self.writer, KEPT_BYTES, write_bytes=1, gather_s=0)
        policy = Policy(shed_after_ms=SHED_AFTER_MS)
        uncommitted = Uncommitted(self.behind.row)
        engine = _Stamping(
            broker, schedule, Engine(uncommitted.row, None, policy, 300_000, RoundRobin(store.scan), PARTITIONS)
        )
        self.committer = Committer(
            self.transactions, CHANGELOG, Releases.topic, SourceOffsets({}, self.behind.row), uncommitted,  # type: ignore[arg-type]
            write_rows=self.behind.write, metrics=METRICS, step=self._step,
            every_s=schedule.choose(plan.commit_every_s),
        )  # fmt: skip
        self.releases = Releases(broker, schedule, self.spawn, self._step, plan.most_released)
        self.decider = Decider(
            engine, self.releases, self.committer, METRICS, step=self._step, clock=self._clock,  # type: ignore[arg-type]
            check_partitions=self._check_partitions,
        )  # fmt: skip
        self.consumer.decided_to = self.committer.decided_to
        self.consumer.input_flows = self.committer.input_flows
        self.spawn("keeper", self._keep_membership())
        self.spawn("fetcher", self._fetch())
        self.spawn("agent", self._decide())
        self.spawn("committer", self.committer.run())
        self.spawn("writer", self.writer.work())

    # -- life

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> Activity:
        activity = Activity(name, coroutine)
        self.activities.append(activity)
        return activity

    def go(self, activity: Activity) -> None:
        """One turn of one activity; what nobody waits for ends the process."""
        activity.go()
        if activity.done:
            self.activities.remove(activity)
            if activity.error is not None and activity.name in PARTS:
                self._schedule.note(f"{self.name} ends: {activity.error!r}")
                self.end()
                if isinstance(activity.error, BUGS):
                    raise Bug(f"{self.name} {activity.name}: {activity.error!r}") from activity.error

    def end(self) -> None:
        """Nothing in memory goes on."""
        self.ended = True
        for activity in self.activities:
            activity.drop()
        self.activities.clear()

    def _clock(self) -> int:
        """Slices are decided in time or too late, the same one again perhaps otherwise."""
        return self._schedule.choose([0, 2**53])

    async def _check_partitions(self) -> None:
        """They are as they were, it turns out some time later."""
        await until("Metadata's answer", lambda: self._schedule.happens(0.1))

    def _step(self, name: str) -> None:
        if name == self._plan.dies_at and self._schedule.chance(self._plan.dies):
            raise Killed(name)
        if name == self._plan.freezes_at and self._schedule.chance(self._plan.freezes):
            self._schedule.note(f"{self.name} freezes at {name}")
            self.frozen = True

    def settled(self) -> bool:
        """Nothing in work, nothing to restore, nothing to rejoin."""
        membership, group = self.client.membership, self._broker.group
        in_work = bool(self._queue or self.writer.jobs or self.committer.pending) or self.decider.lock.locked()
        return not in_work and self.consumer._tables_restored and not group.must_rejoin(membership)

    # -- input

    async def _fetch(self) -> None:
        while True:
            async for _tp, message in self.consumer.getmany(1.0):
                self._queue.append(message.value)
            await turn("poll")

    async def _decide(self) -> None:
        while True:
            await until("a slice", lambda: bool(self._queue))
            slice_ = self._queue.pop(0)
            await turn("slice in hand")
            await self.decider.handle(slice_, self.consumer)

    # -- membership

    async def _keep_membership(self) -> None:
        await self.transactions.start()
        while True:
            await self._join()
            await turn("on_rebalance")
            self._recover()
            await until("heartbeat", self._must_rejoin)
            await self._give_up()

    def _recover(self) -> None:
        """Instead of what is still recovered for the assignment before."""
        if self._recovery is not None and not self._recovery.done:
            self._recovery.cancel()
            self.activities.remove(self._recovery)
        self._recovery = self.spawn("recovery", self._restore(self.consumer.term))

    def _must_rejoin(self) -> bool:
        return self._broker.group.must_rejoin(self.client.membership)

    async def _join(self) -> None:
        """Raises InstanceFenced when a newer process has this name."""
        place = None
        while place is None:
            await turn("JoinGroup")
            self._member = self._broker.group.join(self.name, self._member)
            await until("the new generation", lambda: bool(self._place()) or not self._known())
            place = self._place()
        number = self._broker.group.next_assignment()
        self.client.membership = Membership(place.generation, self._member or "", self.name)
        self._schedule.note(f"{self.name} is in generation {place.generation} with {place.partitions}")
        await turn("SyncGroup")
        self.releases.assignment = number
        self.consumer.assigned(place.partitions, self._schedule.chance(self._plan.early_input))

    def _place(self) -> Place | None:
        return self._broker.group.place(self.name, self._member or "")

    def _known(self) -> bool:
        return self._broker.group.members.get(self.name) == self._member

    async def _give_up(self) -> None:
        """Partitions leave: in Faust's order."""
        if not self._known():
            self.client.membership = NO_MEMBER._replace(instance_id=self.name)
        await turn("revoke")
        self.consumer.stop_flow()
        await turn("empty the queue")
        self._queue.clear()
        await self.decider.revoked(self.consumer)

    # -- recovery

    async def _restore(self, term: int) -> None:
        """From where the store ends to the end of the changelog; then what was released and not committed."""
        self.behind.forget()
        thread, recovery = self.consumer.thread, _Recovery(self.consumer)
        changelogs = sorted(tp for tp in self.consumer.assignment() if tp.topic == CHANGELOG)
        ends = await thread.call_thread(thread._highwaters, changelogs)
        if not self.consumer.assignment().issuperset(changelogs):
            return  # aiokafka raises, and Faust waits for the next recovery
        for tp in changelogs:
            offset = self.store.offsets.get(tp.partition, -1)
            recovery.active_offsets[tp], recovery.active_highwaters[tp] = offset, ends[tp] - 1
            self.client.seek(tp, offset + 1)
        while recovery.behind():
            await turn("restoring")
            await MarkerAwareRecovery._finish_partitions(recovery)  # type: ignore[arg-type]
        if term == self.consumer.term:
            self.consumer.tables_restored()
        await turn("restored")
        owned = {tp.partition for tp in self.consumer.assignment()}
        await self.decider.take_over(owned, self.consumer, lambda: self.consumer.term == term)
        await turn("on_recovery_completed")
        if term == self.consumer.term:
            self.consumer.restored(term)


class _Stamping:
    """The engine, whose replies say in which order they were decided. Now and then it seems that a message has come to
    a wrong partition."""

    def __init__(self, broker: Broker, schedule: Schedule, engine: Engine) -> None:
        self._broker, self._schedule, self._engine = broker, schedule, engine

    def decide(self, records: Mapping[TP, list[Any]], now: int) -> Decided:
        decided = self._engine.decide(records, now)
        decided.dead_letters[WRONG_PARTITION] += self._schedule.happens(0.1)
        self._broker.decided += 1
        for (topic, _partition), sent in decided.records.items():
            if topic in REPLIES:
                sent[:] = [(key, stamp(self._broker.decided, value)) for key, value in sent]
        return decided


class _Recovery(SimpleNamespace):
    """What the real recovery's answer to "is it complete?" is asked of."""

    def __init__(self, consumer: Consumer) -> None:
        super().__init__(_consumer=consumer, active_offsets=consumer.restored_to, active_highwaters={})
        consumer.restored_to.clear()

    def behind(self) -> list[TP]:
        offsets = self.active_offsets
        return [tp for tp, end in self.active_highwaters.items() if end >= 0 and offsets[tp] < end]
