"""A worker that stands still ends; one that only has nothing to do, or waits for others, does not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agents.ending import EXIT_UNKNOWN_OUTCOME
from deploy.embedded.kafka import Broker
from tests.support import messages as say
from tests.support.checker import Run
from tests.support.standing import standing
from tests.support.story import ACCOUNTS, just_now, open_accounts
from tests.support.traffic import producer, send, wait_for
from tests.support.workers import WorkerProcess, worker

DEADLINE_S = 8
SHORTEST_S = 5
"""For who is to end in any case; a busy machine may be late for the other."""
LINE = "worker ends: nothing was decided for {} s while input waited"


@pytest.mark.parametrize("fault", ["HANG:decide:5", "HANG:commit:5", "STANDSTILL:5"])
def test_a_worker_that_stands_still_ends_and_the_next_one_goes_on(fault: str, empty_kafka: str, tmp_path: Path) -> None:
    """In HANG the event loop stands as well. Heartbeats go on in both, so that nobody else would get the partitions."""
    kafka = empty_kafka
    at = just_now()
    openings = [say.opened(f"acct-{number}", transmitted_at=at) for number in range(ACCOUNTS)]
    requests = [say.request(f"ref-{number}", account=f"acct-{number}", transmitted_at=at) for number in range(9)]
    with worker(kafka, tmp_path, fault=fault, stall_deadline_s=SHORTEST_S) as hung:
        hung.wait_for_line("ready")
        send(producer(kafka), openings)
        assert hung.wait_ended() == EXIT_UNKNOWN_OUTCOME
        assert LINE.format(SHORTEST_S) in hung.output()
        assert 'File "' in hung.output(), "where it stood"
    with worker(kafka, tmp_path) as next_:
        next_.wait_ready()
        wait_for(kafka, "account-updates", ACCOUNTS)
        send(producer(kafka), requests)
        wait_for(kafka, "authorization-decisions", 9)
        Run(kafka).check()


def test_a_worker_that_would_not_hear_of_new_leaders_ends(empty_kafka: str, tmp_path: Path) -> None:
    """aiokafka's task for it ended unseen, and what the worker did not hear of was decided by nobody."""
    with worker(empty_kafka, tmp_path, fault="DEAF") as deaf:
        assert deaf.wait_ended() == EXIT_UNKNOWN_OUTCOME
        assert "worker ends: a part of it has failed" in deaf.output()
        assert deaf.output().rstrip().endswith("LookupError: nobody expects this")


def decides(kafka: str, only: WorkerProcess, count: int) -> None:
    at = just_now()
    send(producer(kafka), [say.request(f"ref-{count}-{n}", account="acct-1", transmitted_at=at) for n in range(count)])
    wait_for(kafka, "authorization-decisions", count)
    assert only.process.poll() is None
    assert LINE.format(DEADLINE_S) not in only.output()


def test_a_worker_that_waits_is_left_alone(own_broker: Broker, tmp_path: Path) -> None:
    """For its tables, for input (ticks of a minute stand for none), and for a broker that is away."""
    kafka = own_broker.bootstrap
    settings = {"stall_deadline_s": DEADLINE_S, "clock_tick_ms": 60_000}
    with worker(kafka, tmp_path, fault=f"SLOW_RECOVERY:{DEADLINE_S + 3}", **settings) as only:
        only.wait_ready()
        open_accounts(kafka)
        time.sleep(DEADLINE_S + 2)
        decides(kafka, only, 3)
        with standing(own_broker):
            time.sleep(DEADLINE_S - 3)
        decides(kafka, only, 6)


def test_a_broker_that_is_away_for_less_than_the_deadline_under_load(own_broker: Broker, tmp_path: Path) -> None:
    """Ticks come every tenth of a second here, so a slice is in work when it goes."""
    kafka = own_broker.bootstrap
    with worker(kafka, tmp_path, stall_deadline_s=DEADLINE_S, clock_tick_ms=100) as only:
        only.wait_ready()
        open_accounts(kafka)
        for number in (1, 2):
            with standing(own_broker):
                time.sleep(DEADLINE_S - 3)
            decides(kafka, only, number * 5)
