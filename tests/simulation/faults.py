"""What goes wrong in a history. Each says whether it could happen."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

from tests.simulation.store import Store
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.history import History


def _to_a_worker(fault: Callable[[History, Worker], bool]) -> Callable[[History], bool]:
    """It happens to one that runs, and not when there is none."""

    @wraps(fault)
    def happen(history: History) -> bool:
        worker = history.some_worker()
        return worker is not None and fault(history, worker)

    return happen


@_to_a_worker
def crash(history: History, worker: Worker) -> bool:
    """A process dies; its store stays."""
    history.schedule.note("CRASH", worker.name)
    worker.end()
    return True


@_to_a_worker
def crash_and_lose(history: History, worker: Worker) -> bool:
    """A process dies with its store."""
    history.schedule.note("CRASH and lose the store of", worker.name)
    worker.end()
    history.stores[worker.name] = Store()
    return True


@_to_a_worker
def replace(history: History, worker: Worker) -> bool:
    """A second process of the same name starts elsewhere; the first may be frozen, and goes on later."""
    worker.frozen = history.schedule.flip()
    history.schedule.note("REPLACE", worker.name)
    history.zombies.append(worker)
    history.stores[worker.name] = worker.store.copy() if history.schedule.flip() else Store()
    history.start(worker.name)
    return True


@_to_a_worker
def freeze(history: History, worker: Worker) -> bool:
    """A process stops for a while."""
    history.schedule.note("FREEZE", worker.name)
    worker.frozen = True
    let_expire(history, worker)
    return True


def let_expire(history: History, worker: Worker) -> None:
    """A frozen one stays so for longer than its session, or not."""
    newest = history.workers[worker.name] is worker
    if newest and worker.name in history.broker.group.members and history.schedule.happens(0.7):
        history.schedule.note("EXPIRE", worker.name)
        history.broker.group.expire(worker.name)


def rebalance(history: History) -> bool:
    """Somebody asks the coordinator for one."""
    history.schedule.note("REBALANCE")
    history.broker.group.begin_rebalance()
    return True


def expire(history: History) -> bool:
    """A session ends, of a frozen or dead member if there is one."""
    members = sorted(history.broker.group.members)
    if not members:
        return False
    late = [name for name in members if history.workers[name].frozen or history.workers[name].ended]
    name = history.schedule.choose(late or members)
    history.schedule.note("EXPIRE", name)
    history.broker.group.expire(name)
    return True


@_to_a_worker
def rewind(history: History, worker: Worker) -> bool:
    """Records of this assignment are delivered again."""
    positions = worker.client.positions
    began = sorted(worker.client.started_at.items())
    passed = [(tp, start) for tp, start in began if (positions.get(tp) or 0) > start]
    if not passed:
        return False
    tp, start = history.schedule.choose(passed)
    to = history.schedule.between(start, (positions[tp] or 0) - 1)
    history.schedule.note("REWIND", worker.name, *tp, "to", to)
    positions[tp] = to
    return True


def time_out(history: History) -> bool:
    """The coordinator aborts a transaction that was open for too long."""
    found = history.broker.open_transactions()
    if not found:
        return False
    transaction = history.schedule.choose(found)
    history.schedule.note("TIMEOUT of a transaction of", transaction.producer)
    history.broker.time_out(transaction)
    return True


KINDS: tuple[Callable[[History], bool], ...] = (
    crash, crash_and_lose, replace, freeze, rebalance, expire, rewind, time_out,
)  # fmt: skip
