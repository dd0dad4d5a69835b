"""One history: workers, a network, a broker's own work and whatever goes wrong, in an order drawn from the seed.

At first things go wrong, at rates that the history draws as well. Then it becomes calm: who is frozen goes on some
time, who is dead is started; everything must be decided, and the checker looks.
"""

from __future__ import annotations

from faust.types import TP

from tests.simulation.broker import Broker, Transaction
from tests.simulation.checker import Committed
from tests.simulation.consumer import CHANGELOG
from tests.simulation.faults import KINDS, let_expire
from tests.simulation.releases import Releases
from tests.simulation.schedule import Schedule
from tests.simulation.store import Store
from tests.simulation.story import PARTITIONS, Sent, story
from tests.simulation.turns import Activity, by_hand
from tests.simulation.worker import Plan, Worker
from topics.declarations import INPUTS

MOST_TURNS = 15_000
RATES = (0.001, 0.002, 0.005, 0.01, 0.02)
"""How often something goes wrong, per turn"""
SHARES = (0, 0, 1, 1, 3)
"""Of each kind of fault among the faults of a history"""
STEP_RATES = (0.0, 0.02, 0.2)
"""How often a process dies, or freezes, at a step of its decider or its commits (or when the coordinator has its
offsets) that the history prefers"""
BATCH_SIZES = (2, 8, 20, 1000, 1000)
"""The most that is released at once"""
COMMIT_EVERY_S = ((0.0,), (0.05, 0.0), (0.05,), (0.05,), (0.05,), (0.05,))
"""What each process may be told, of which it is told one"""
EAGERNESS = (1.0, 0.1, 0.02, 0.005)
"""How often a worker thinks of what is to be committed, or hears how its group is, when it could"""
DISK_RATES = (0.005, 0.1, 1.0)
"""How often the disk comes to the next rows, when it is asked"""
STEPS = ("fence", "decide", "release", "begin", "write", "offsets", "commit", "apply", "done")


class Stuck(AssertionError):
    """All is calm, and still not everything gets decided."""


class History:
    """`happened`: how many of which faults there were."""

    def __init__(self, seed: int, traced: bool = False, faults: bool = True) -> None:
        self.schedule = schedule = Schedule(seed, traced)
        self.broker = Broker()
        self.broker.group.deal = self._deal
        self.to_send = story(schedule, schedule.between(5, 60))
        self.faults = [fault for fault in KINDS for _ in range(schedule.choose(SHARES))]
        self.fault_rate = schedule.choose(RATES) * faults
        self.happened: dict[str, int] = {}
        dies, freezes = schedule.choose(STEP_RATES) * faults, schedule.choose(STEP_RATES) * faults
        most, most_released = schedule.choose([1, 4, 40]), schedule.choose(BATCH_SIZES)
        early, every_s = 0.3 * faults, schedule.choose(COMMIT_EVERY_S)
        dies_at, freezes_at = schedule.choose(STEPS), schedule.choose(STEPS)
        self.plan = Plan(
            most, most_released, every_s, early, dies_at, dies, freezes_at, freezes, schedule.choose(DISK_RATES)
        )
        self.eagerness = {
            "committer: future": schedule.choose(EAGERNESS),
            "keeper: heartbeat": schedule.choose(EAGERNESS),
        }
        self._names = [f"worker-{number}" for number in range(schedule.choose([1, 2, 2, 3]))]
        self.stores = {name: Store() for name in self._names}
        self.workers: dict[str, Worker] = {}
        self.zombies: list[Worker] = []
        self._marker_rate = schedule.choose([0.03, 0.1, 0.3])
        self.late_markers = schedule.choose(["", CHANGELOG, "the offsets", Releases.topic])
        self.doze_rate = schedule.choose([0.0, 0.02, 0.1]) * faults
        self._doze = schedule.choose([20, 100, 300])
        self._thaw_rate = schedule.choose([0.003, 0.01])
        self._storm = schedule.choose([400, 1200, 3000])
        self._hurry = schedule.choose([0.4, len(self.to_send) / self._storm, len(self.to_send) / self._storm])
        self.broker.lists_transactions = schedule.happens(0.7)
        self.broker.group.forgets = schedule.choose([0.0, 0.0, 0.3]) * faults
        self.turns = 0

    def run(self) -> None:
        """Raises Disagreement, or Stuck."""
        with by_hand():
            try:
                self._live()
            finally:
                for worker in self.all():
                    worker.end()
        committed = Committed(self.broker)
        committed.check()
        for name, worker in self.workers.items():
            committed.check_store(worker.store, self._owned(name))

    def _live(self) -> None:
        while not self.schedule.calm or not self._settled():
            self.turns += 1
            if self.turns > MOST_TURNS:
                raise Stuck(f"after {self.turns} turns: {self._standing()}")
            self.schedule.calm = self.turns > self._storm and not self.to_send
            self._start_the_dead()
            self._thaw()
            if not self.schedule.calm:
                self._send()
                self._go_wrong()
            elif self.turns % 8 == 0:
                self._time_out_what_is_abandoned()
            self._go_on()

    # -- what goes on

    def _go_on(self) -> None:
        """One turn: of an activity of some worker, or of the broker."""
        markers = self.broker.markers()
        if markers and self.schedule.happens(0.5 if self.schedule.calm else self._marker_rate):
            self._mark(*self.schedule.choose(markers))
            return
        going = [(w, activity) for w in self.all() if not w.frozen for activity in w.activities]
        first, step = self.schedule.between(0, len(going)), self.schedule.choose([1, -1])
        for number in range(len(going)):
            worker, activity = going[(first + step * number) % len(going)]
            if self._is_awake(activity) and activity.waiting.ready():
                self._move(worker, activity)
                return

    def _is_awake(self, activity: Activity) -> bool:
        eagerness = self.eagerness.get(f"{activity.name}: {activity.waiting.what}", 1.0)
        return self.schedule.calm or (activity.asleep <= self.turns and self.schedule.happens(eagerness))

    def _mark(self, transaction: Transaction, tp: TP | None) -> None:
        where = "the offsets" if tp is None else tp.topic
        if where != self.late_markers or self.schedule.happens(0.1):
            self.schedule.note("marker of", transaction.producer, transaction.state, "in", tp or where)
            self.broker.write_marker(transaction, tp)

    def _move(self, worker: Worker, activity: Activity) -> None:
        self.schedule.note(worker.name, activity.name, "after", activity.waiting.what)
        worker.go(activity)
        if worker.ended and worker in self.zombies:
            self.zombies.remove(worker)
        if worker.frozen:
            let_expire(self, worker)
        elif self.schedule.chance(self.doze_rate):
            activity.asleep = self.turns + self.schedule.between(5, self._doze)

    def _send(self) -> None:
        while self.to_send and self.schedule.happens(self._hurry):
            sent: Sent = self.to_send.pop(0)
            tp = TP(sent.topic, sent.partition)
            offset = self.broker.logs[tp].append((sent.key, sent.value), sent.at)
            self.schedule.note("sent to", tp.topic, tp.partition, "at", offset)

    def _start_the_dead(self) -> None:
        for name in self._names:
            if name not in self.workers or self.workers[name].ended:
                if name in self.workers and not self.schedule.calm and not self.schedule.chance(0.05):
                    continue
                self.start(name)

    def _thaw(self) -> None:
        for worker in self.all():
            if worker.frozen and self.schedule.happens(self._thaw_rate):
                self.schedule.note("THAW", worker.name)
                worker.frozen = False

    def _go_wrong(self) -> None:
        if self.faults and self.schedule.chance(self.fault_rate):
            fault = self.schedule.choose(self.faults)
            if fault(self):
                self.happened[fault.__name__] = self.happened.get(fault.__name__, 0) + 1

    # -- the end

    def _time_out_what_is_abandoned(self) -> None:
        """Fences of workers that have ended; other transactions are ended by who has their producer's name next."""
        names = {worker.transactions.name for worker in self.all()}
        fences = [fence for worker in self.all() for fence in worker.releases.fencing.values()]
        for transaction in self.broker.open_transactions():
            if transaction.producer not in names and transaction not in fences:
                self.broker.time_out(transaction)

    def _settled(self) -> bool:
        workers = self.workers.values()
        if self.turns % 8 or self.zombies or len(workers) < len(self._names) or any(w.ended for w in workers):
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
        return [f"{w.name} {a.name}: {a.waiting.what}" for w in self.all() for a in w.activities]

    def done(self) -> dict[str, int]:
        """How much of what."""
        broker = self.broker
        return {
            "turns": self.turns,
            "slices": broker.decided,
            "batches released": broker.released,
            "of them found at a take-over": broker.found,
            "commits": broker.committed,
        }

    # -- who is there

    def all(self) -> list[Worker]:
        return [*self.workers.values(), *self.zombies]

    def some_worker(self) -> Worker | None:
        """One that runs, not frozen and of the newest of its name."""
        alive = [worker for worker in self.workers.values() if not worker.ended and not worker.frozen]
        return self.schedule.choose(alive) if alive else None

    def start(self, name: str) -> None:
        self.schedule.note("start", name)
        self.workers[name] = Worker(name, self.broker, self.stores[name], self.schedule, self.plan)

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
