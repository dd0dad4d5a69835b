"""What counts as standing still, and what does not."""

from __future__ import annotations

import pytest

from agents.watchdog import LOOK_S, Watchdog

DEADLINE_S = 10


class Worker:
    """As much of a worker as the watchdog sees."""

    def __init__(self) -> None:
        self.waits, self.finished = True, 0
        self.told: list[str] = []
        self.watchdog = Watchdog(DEADLINE_S, lambda: self.waits, lambda: self.finished, self.told.append)
        self.watchdog.armed = True
        self.watchdog.look(LOOK_S)

    def looks(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            self.watchdog.look(LOOK_S)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_input_that_waits_for_a_deadline_ends_the_worker(worker: Worker) -> None:
    worker.looks(DEADLINE_S - LOOK_S)
    assert worker.told == []
    assert worker.watchdog.stalled_s == DEADLINE_S - LOOK_S
    worker.looks(LOOK_S)
    assert worker.told == ["nothing was decided for 10 s while input waited"]


def test_a_worker_that_finishes_slices_now_and_then_is_left_alone(worker: Worker) -> None:
    for _ in range(5):
        worker.looks(DEADLINE_S - LOOK_S)
        worker.finished += 1
    assert worker.told == []


def test_an_idle_worker_is_left_alone(worker: Worker) -> None:
    worker.waits = False
    worker.looks(10 * DEADLINE_S)
    assert (worker.told, worker.watchdog.stalled_s) == ([], 0)


def test_while_tables_are_restored_nothing_can_be_decided(worker: Worker) -> None:
    worker.watchdog.armed = False
    worker.looks(10 * DEADLINE_S)
    worker.watchdog.armed = True
    worker.looks(DEADLINE_S - LOOK_S)
    assert worker.told == []


def test_time_in_which_the_process_itself_was_frozen_does_not_count(worker: Worker) -> None:
    worker.watchdog.look(100 * DEADLINE_S)
    assert worker.told == []
