"""One history: workers, a network, a broker's own work and whatever goes wrong, in an order drawn from the seed.

At first things go wrong at rates that the history draws as well. When all is sent it becomes calm: who is frozen goes
on, who is dead is started, who is gone leaves the group; then everything must be decided, and the checker looks.
"""

from __future__ import annotations

from collections.abc import Callable

from faust.types import TP

from tests.simulation.broker import Broker
from tests.simulation.checker import Committed
from tests.simulation.consumer import CHANGELOG
from tests.simulation.schedule import Schedule
from tests.simulation.store import Store
from tests.simulation.story import PARTITIONS, Sent, story
from tests.simulation.turns import Activity, by_hand
from tests.simulation.worker import Plan, Worker
from tests.support.auditor import Disagreement

MOST_TURNS = 30_000
RATES = (0.0, 0.0, 0.002, 0.005, 0.015)
"""How often something may go wrong, per turn"""


class Stuck(AssertionError):
    """All is calm, and still not everything gets decided."""


class History:
    """`crashes`: how many of which faults there were."""

    def __init__(self, seed: int, traced: bool = False, faults: bool = True) -> None:
        self.schedule = schedule = Schedule(seed, traced)
        self.broker = Broker()
        self.broker.group.deal = self._deal
        self.to_send = story(schedule, schedule.between(5, 45))
        self.faults = [(fault, schedule.choose(RATES) if faults else 0.0) for fault in self._faults()]
        self.happened: dict[str, int] = {}
        steps = schedule.choose(RATES) if faults else 0.0
        self.plan = Plan(schedule.choose([1, 4, 40]), steps, schedule.choose(RATES) * faults, 0.3 * faults)
        self._names = [f"worker-{number}" for number in range(schedule.choose([1, 2, 2, 3]))]
        self._stores = {name: Store() for name in self._names}
        self._workers: dict[str, Worker] = {}
        self._zombies: list[Worker] = []
        self._hurry = schedule.choose([0.02, 0.1, 0.4])
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
        while self.to_send or not self._settled():
            self.turns += 1
            if self.turns > MOST_TURNS:
                raise Stuck(f"after {self.turns} turns: {self._standing()}")
            self.schedule.calm = not self.to_send
            self._start_the_dead()
            if self.schedule.calm:
                self._clear_up()
            else:
                self._send()
                self._go_wrong()
            self._go_on()

    # -- what goes on

    def _go_on(self) -> None:
        """One turn: of an activity of some worker, or of the broker."""
        ready = [
            (worker, activity)
            for worker in self._all()
            if not worker.frozen
            for activity in worker.activities
            if activity.waiting.ready()
        ]
        markers = self.broker.markers()
        if markers and (not ready or self.schedule.between(0, 2) == 0):
            transaction, tp = self.schedule.choose(markers)
            self.schedule.note("marker of", transaction.producer, transaction.state, "in", tp or "the offsets")
            self.broker.write_marker(transaction, tp)
        elif ready:
            self._move(*self.schedule.choose(ready))

    def _move(self, worker: Worker, activity: Activity) -> None:
        self.schedule.note(worker.name, activity.name, "after", activity.waiting.what)
        worker.go(activity)
        if worker.ended and worker in self._zombies:
            self._zombies.remove(worker)

    def _send(self) -> None:
        while self.to_send and self.schedule.chance(self._hurry):
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

    # -- what goes wrong

    def _faults(self) -> list[Callable[[], object]]:
        return [
            self.crash, self.crash_and_lose, self.replace, self.freeze, self.thaw, self.rebalance, self.expire,
            self.rewind, self.time_out,
        ]  # fmt: skip

    def _go_wrong(self) -> None:
        for fault, rate in self.faults:
            if rate and self.schedule.chance(rate) and fault():
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
        return True

    def thaw(self) -> bool:
        frozen = [worker for worker in self._all() if worker.frozen]
        if not frozen:
            return False
        worker = self.schedule.choose(frozen)
        self.schedule.note("THAW", worker.name)
        worker.frozen = False
        return True

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
        began = sorted(worker.client.started_at.items()) if worker else []
        if worker is None or not began:
            return False
        tp, start = self.schedule.choose(began)
        to = self.schedule.between(start, worker.client.positions[tp] or start)
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
        for worker in self._all():
            worker.frozen = False

    def _settled(self) -> bool:
        workers = self._workers.values()
        if self._zombies or len(self._workers) < len(self._names) or any(worker.ended for worker in workers):
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


_INPUT_TOPICS = {"authorizations", "clearings", "payments", "account-events", "clock"}
assert CHANGELOG not in _INPUT_TOPICS
__all__ = ["Disagreement", "History", "Stuck"]
