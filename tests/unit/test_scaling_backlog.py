"""What looks at workers tell: from commit to commit, while everybody has work."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from loadtest.scaling.backlog import Cores, Look, Worked, summary
from loadtest.scaling.errors import ScalingError
from loadtest.scaling.process import Spent, pin, spent, waited_share

OWNED = {"worker-0": {0, 1}, "worker-1": {2}}
ENDS = {0: 100, 1: 100, 2: 300}


def used(at: float, cpu: float, waited: float | None = 0.0) -> Spent:
    return Spent(round(at * 1e9), cpu, waited, 1)


def look(at: float, committed: tuple[int, int, int], cpu: tuple[float, float], waited: float | None = 0.0) -> Look:
    """Broker and generator use a tenth of a core and a hundredth."""
    workers = [used(at, each, waited) for each in cpu]
    return Look(dict(enumerate(committed)), workers, used(at, at / 10), used(at, at / 100))


LOOKS = [
    look(0.0, (0, 0, 0), (1.0, 5.0)),
    look(0.5, (0, 0, 0), (1.2, 5.2)),
    look(1.0, (20, 10, 0), (1.4, 5.4), 0.25),  # the first commit of worker-0, in the midst of a slice of worker-1
    look(1.5, (20, 10, 50), (1.6, 5.6), 0.50),  # of worker-1
    look(2.0, (60, 40, 50), (1.9, 5.8), 0.75),
    look(3.0, (80, 90, 250), (2.4, 6.6), 1.0),
    look(3.5, (80, 90, 250), (2.6, 6.8), 1.25),  # nothing new: not the end of anything
    look(4.0, (100, 100, 250), (2.8, 7.0), 2.0),  # worker-0 has nothing left
    look(9.0, (100, 100, 300), (2.9, 7.2), 2.0),
]


def test_a_worker_counts_from_its_first_commit_to_its_last_one_while_all_had_work() -> None:
    found = summary(2, 3.0, LOOKS, OWNED, ENDS, pinned=False)
    assert found.workers == (
        Worked("worker-0", 2, decided=140, seconds=2.0, cpu_seconds=1.0, waited=0.375),
        Worked("worker-1", 1, decided=200, seconds=1.5, cpu_seconds=1.0, waited=0.3333),
    )
    assert found.rate == pytest.approx(140 / 2 + 200 / 1.5)
    assert found.rate_of_cores == pytest.approx(340)
    assert (found.number, found.busy_percent, found.pinned) == (2, 3.0, False)


def test_broker_and_generator_are_counted_over_the_same_time() -> None:
    found = summary(1, 3.0, LOOKS, OWNED, ENDS, pinned=False)
    assert found.broker_cpu_seconds == pytest.approx(0.35)
    assert found.generator_cpu_seconds == pytest.approx(0.035)
    assert found.decided == 80 + 90 + 250


@pytest.mark.parametrize("upto", [3, 4, 5])
def test_less_than_two_commits_are_too_few(upto: int) -> None:
    """worker-0 has committed once, and then worker-1 has."""
    with pytest.raises(ScalingError, match=r"worker-[01] had work for less than two transactions: give a longer"):
        summary(1, 3.0, LOOKS[:upto], OWNED, ENDS, pinned=False)


def test_a_kernel_that_does_not_tell_who_waited_is_believed() -> None:
    assert waited_share(used(1, 0, None), used(2, 0, 1.0)) is None
    assert waited_share(used(1, 0, 1.0), used(1, 0, 1.0)) is None
    assert waited_share(used(1, 0, 1.0), used(3, 0, 1.5)) == 0.25


def test_cores_are_given_away_where_there_are_enough() -> None:
    assert Cores.shared_out({0, 1}, 2) is None
    assert Cores.shared_out({0, 1, 2}, 2) is None
    assert Cores.shared_out({7, 3, 5, 1}, 2) == Cores((1, 3), (5, 7))
    assert Cores.shared_out(range(8), 2) == Cores((0, 1), (2, 3, 4, 5, 6, 7))


def test_what_a_process_has_used_is_read_until_it_is_gone() -> None:
    before = spent(os.getpid())
    burned_until = time.process_time() + 0.2
    while time.process_time() < burned_until:
        pass
    after = spent(os.getpid())
    assert after.cpu_seconds - before.cpu_seconds >= 0.1
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(ScalingError, match=f"process {process.pid} has ended"):
        spent(process.pid)


def test_all_threads_of_a_process_are_kept_on_its_cores() -> None:
    code = (
        "import threading,time; threading.Thread(target=time.sleep,args=(60,)).start(); print('up',flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        core = min(os.sched_getaffinity(0))
        pin(process.pid, {core})
        tasks = [int(name) for name in os.listdir(f"/proc/{process.pid}/task")]
        assert len(tasks) == 2
        assert [os.sched_getaffinity(task) for task in tasks] == [{core}] * 2
    finally:
        process.kill()
        process.communicate()
