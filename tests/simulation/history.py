"""One history: workers, a network, a broker's own work and whatever goes wrong, in an order drawn from the seed.

At first things go wrong, at rates that the history draws as well. Then it becomes calm: who is frozen goes on some
time, who is dead is started; everything must be decided, and the checker looks.
"""

from __future__ import annotations

from collections.abc import Callable

from faust.types import TP

from tests.simulation.broker import Broker
from tests.simulation.checker import Committed
from tests.simulation.schedule import Schedule
from tests.simulation.store import Store
from tests.simulation.story import PARTITIONS, Sent, story
from tests.simulation.turns import Activity, by_hand
from tests.simulation.worker import Plan, Worker
from topics.declarations import INPUTS

MOST_TURNS = 15_000
RATES = (0.002, 0.005, 0.01, 0.02, 0.04)
"""How often something goes wrong, per turn"""
SHARES = (0, 0, 1, 1, 3)
"""Of each kind of fault among the faults of a history"""
STEP_RATES = (0.0, 0.02, 0.2)
"""How often a process dies, or freezes, at a step of its decider that the history prefers"""
STEPS = ("begin", "decide", "write", "commit", "apply", "done")


class Stuck(AssertionError):
    """All is calm, and still not everything gets decided."""


class History:
    """`happened`: how many of which faults there were."""

    def __init__(self, seed: int, traced: bool = False, faults: bool = True) -> None:
        self.schedule = schedule = Schedule(seed, traced)
        self.broker = Broker()
        self.broker.group.deal = self._deal
        self.to_send = story(schedule, schedule.between(5, 45))
        self.faults = [fault for fault in self.kinds() for _ in range(schedule.choose(SHARES))]
        self.fault_rate = schedule.choose(RATES) * faults
        self.happened: dict[str, int] = {}
        dies, freezes = schedule.choose(STEP_RATES) * faults, schedule.choose(STEP_RATES) * faults
        most, early = schedule.choose([1, 4, 40]), 0.3 * faults
        self.plan = Plan(most, early, schedule.choose(STEPS), dies, schedule.choose(STEPS), freezes)
        self._names = [f"worker-{number}" for number in range(schedule.choose([1, 2, 2, 3]))]
        self._stores = {name: Store() for name in self._names}
        self._workers: dict[str, Worker] = {}
        self._zombies: list[Worker] = []
        self._marker_rate = schedule.choose([0.03, 0.1, 0.3])
        self._doze_rate = schedule.choose([0.0, 0.02, 0.1]) * faults
        self._doze = schedule.choose([20, 100, 300])
        self._thaw_rate = schedule.choose([0.003, 0.01])
        self._storm = schedule.choose([200, 500, 1000])
        self._hurry = schedule.choose([0.4, len(self.to_send) / self._storm])
        self.turns = 0

    def run(self) -> None:
        """Raises Disagreement, or Stuck."""
        with by_hand():
            try:
                self._live()
            finally:
                for worker in self._all():
                    worker.end()
        committed = Committed(self.broker)
        committed.check()
        for name, worker in self._workers.items():
            committed.check_store(worker.store, self._owned(name))

    def _live(self) -> None:
        while not self.schedule.calm or not self._settled():
            self.turns += 1
            if self.turns > MOST_TURNS:
                raise Stuck(f"after {self.turns} turns: {self._standing()}")
            self.schedule.calm = self.turns > self._storm and not self.to_send
            self._start_the_dead()
            self._thaw()
            if self.schedule.calm:
                self._clear_up()
            else:
                self._send()
                self._go_wrong()
            self._go_on()

    # -- what goes on

    def _go_on(self) -> None:
        """One turn: of an activity of some worker, or of the broker."""
        markers = self.broker.markers()
        if markers and self.schedule.happens(0.5 if self.schedule.calm else self._marker_rate):
            transaction, tp = self.schedule.choose(markers)
            self.schedule.note("marker of", transaction.producer, transaction.state, "in", tp or "the offsets")
            self.broker.write_marker(transaction, tp)
            return
        going = [(w, activity) for w in self._all() if not w.frozen for activity in w.activities]
        while going:
            worker, activity = going.pop(self.schedule.between(0, len(going) - 1))
            if activity.asleep <= self.turns and activity.waiting.ready():
                self._move(worker, activity)
                return

    def _move(self, worker: Worker, activity: Activity) -> None:
        self.schedule.note(worker.name, activity.name, "after", activity.waiting.what)
        worker.go(activity)
        if worker.ended and worker in self._zombies:
            self._zombies.remove(worker)
        if worker.frozen:
            self._let_expire(worker)
        elif self.schedule.chance(self._doze_rate):
            activity.asleep = self.turns + self.schedule.between(5, self._doze)

    def _send(self) -> None:
        while self.to_send and self.schedule.happens(self._hurry):
            sent: Sent = self.to_send.pop(0)
            tp = TP(sent.topic, sent.partition)
            offset = self.broker.logs[tp].append((sent.key, sent.value), sent.at)
            self.schedule.note("sent to", tp.topic, tp.partition, "at", offset)

    def _start_the_dead(self) -> None:
        for name in self._names:
            if name not in self._workers or self._workers[name].ended:
                if name in self._workers and not self.schedule.calm and not self.schedule.chance(0.05):
                    continue
                self.schedule.note("start", name)
                self._workers[name] = Worker(name, self.broker, self._stores[name], self.schedule, self.plan)

    def _thaw(self) -> None:
        for worker in self._all():
            if worker.frozen and self.schedule.happens(self._thaw_rate):
                self.schedule.note("THAW", worker.name)
                worker.frozen = False

    # -- what goes wrong

    def kinds(self) -> list[Callable[[], bool]]:
        return [
            self.crash, self.crash_and_lose, self.replace, self.freeze, self.rebalance, self.expire,
            self.rewind, self.time_out,
        ]  # fmt: skip

    def _go_wrong(self) -> None:
        if self.faults and self.schedule.chance(self.fault_rate):
            fault = self.schedule.choose(self.faults)
            if fault():
                self.happened[fault.__name__] = self.happened.get(fault.__name__, 0) + 1

    def crash(self) -> bool:
        """A process dies; its store stays."""
        worker = self._some_worker()
        if worker is None:
            return False
        self.schedule.note("CRASH", worker.name)
        worker.end()
        return True

    def crash_and_lose(self) -> bool:
        """A process dies with its store."""
        worker = self._some_worker()
        if worker is None:
            return False
        self.schedule.note("CRASH and lose the store of", worker.name)
        worker.end()
        self._stores[worker.name] = Store()
        return True

    def replace(self) -> bool:
        """A second process of the same name starts elsewhere, while the first may be frozen, and goes on later."""
        worker = self._some_worker()
        if worker is None:
            return False
        worker.frozen = self.schedule.flip()
        self.schedule.note("REPLACE", worker.name)
        self._zombies.append(worker)
        self._stores[worker.name] = worker.store.copy() if self.schedule.flip() else Store()
        self._workers[worker.name] = Worker(
            worker.name, self.broker, self._stores[worker.name], self.schedule, self.plan
        )
        return True

    def freeze(self) -> bool:
        worker = self._some_worker()
        if worker is None:
            return False
        self.schedule.note("FREEZE", worker.name)
        worker.frozen = True
        self._let_expire(worker)
        return True

    def _let_expire(self, worker: Worker) -> None:
        """Frozen for longer than its session, or not."""
        newest = self._workers[worker.name] is worker
        if newest and worker.name in self.broker.group.members and self.schedule.happens(0.7):
            self.schedule.note("EXPIRE", worker.name)
            self.broker.group.expire(worker.name)

    def rebalance(self) -> bool:
        """Somebody asks the coordinator for one."""
        self.schedule.note("REBALANCE")
        self.broker.group.begin_rebalance()
        return True

    def expire(self) -> bool:
        """A session ends, of a frozen or dead member if there is one."""
        members = sorted(self.broker.group.members)
        late = [name for name in members if self._workers[name].frozen or self._workers[name].ended]
        if not members:
            return False
        name = self.schedule.choose(late or members)
        self.schedule.note("EXPIRE", name)
        self.broker.group.expire(name)
        return True

    def rewind(self) -> bool:
        """Records of this assignment are delivered again."""
        worker = self._some_worker()
        positions = worker.client.positions if worker else {}
        began = sorted(worker.client.started_at.items()) if worker else []
        passed = [(tp, start) for tp, start in began if (positions.get(tp) or 0) > start]
        if worker is None or not passed:
            return False
        tp, start = self.schedule.choose(passed)
        to = self.schedule.between(start, (positions[tp] or 0) - 1)
        self.schedule.note("REWIND", worker.name, *tp, "to", to)
        worker.client.positions[tp] = to
        return True

    def time_out(self) -> bool:
        """The coordinator aborts a transaction."""
        found = self.broker.open_transactions()
        if not found:
            return False
        transaction = self.schedule.choose(found)
        self.schedule.note("TIMEOUT of a transaction of", transaction.producer)
        self.broker.time_out(transaction)
        return True

    # -- the end

    def _clear_up(self) -> None:
        """Whoever is late goes on."""
        for worker in self._all():
            for activity in worker.activities:
                activity.asleep = 0

    def _settled(self) -> bool:
        workers = self._workers.values()
        if self.turns % 8 or self._zombies or len(workers) < len(self._names) or any(w.ended for w in workers):
            return False
        busy = self.broker.open_transactions() or self.broker.markers()
        return not busy and all(worker.settled() for worker in workers) and self._all_offsets_committed()

    def _all_offsets_committed(self) -> bool:
        committed = self.broker.group.committed
        inputs = {tp: log for tp, log in self.broker.logs.items() if tp.topic in _INPUT_TOPICS}
        return all(committed.get(tp, 0) >= log.end() for tp, log in inputs.items())

    def _owned(self, name: str) -> list[int]:
        place = self.broker.group.places.get(self.broker.group.members[name])
        return place.partitions if place else []

    def _standing(self) -> list[str]:
        return [f"{w.name} {a.name}: {a.waiting.what}" for w in self._all() for a in w.activities]

    # -- who is there

    def _all(self) -> list[Worker]:
        return [*self._workers.values(), *self._zombies]

    def _some_worker(self) -> Worker | None:
        """One that runs, not frozen and of the newest of its name."""
        alive = [worker for worker in self._workers.values() if not worker.ended and not worker.frozen]
        return self.schedule.choose(alive) if alive else None

    def _deal(self, members: list[str]) -> dict[str, list[int]]:
        """Partitions to members, each time others."""
        hands: dict[str, list[int]] = {member: [] for member in members}
        left = list(range(PARTITIONS))
        offset = self.schedule.between(0, len(members) - 1)
        while left:
            partition = left.pop(self.schedule.between(0, len(left) - 1))
            hands[members[(offset + len(left)) % len(members)]].append(partition)
        return hands


_INPUT_TOPICS = {spec.name for spec in INPUTS}
