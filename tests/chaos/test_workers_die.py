"""Workers are killed and frozen under load; afterwards every request has one decision and the books agree."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.support import messages as say
from tests.support.checker import Run
from tests.support.emptying import open_transactions
from tests.support.story import ACCOUNTS, just_now, open_accounts, story
from tests.support.traffic import Load, bodies, producer, send, wait_for
from tests.support.workers import WorkerProcess, worker


@pytest.mark.parametrize("step", ["write", "commit", "apply"])
def test_f2_a_worker_killed_inside_a_commit_and_replaced_skips_and_doubles_no_offset(
    step: str, empty_kafka: str, tmp_path: Path
) -> None:
    kafka, told = empty_kafka, story(4000, seed=7)
    with worker(kafka, tmp_path, fault=f"KILL:{step}:30") as first:
        first.wait_ready()
        open_accounts(kafka)
        load = Load(kafka, told, rate=800)
        load.start()
        assert first.wait_ended() == -signal.SIGKILL
    with worker(kafka, tmp_path) as second:
        second.wait_ready()
        load.join(60)
        wait_for(kafka, "authorization-decisions", len(told))
        Run(kafka).check()


def test_what_waits_when_a_worker_starts_is_all_decided(empty_kafka: str, tmp_path: Path) -> None:
    """Faust empties its queues between letting input in and saying that it is ready. What came in meanwhile was lost:
    until the next restart where its partition had a committed offset, for good where it had none (the first round)."""
    kafka, at = empty_kafka, just_now()
    requests = [say.request(f"ref-{n}", account=f"acct-{n % ACCOUNTS}", transmitted_at=at) for n in range(1000)]
    payments = [say.payment(1, f"pay-{n}", f"acct-{n % ACCOUNTS}", transmitted_at=at) for n in range(400)]
    with worker(kafka, tmp_path) as first:
        first.wait_ready()
        open_accounts(kafka)
    sender = producer(kafka)
    for rounds in (1, 2):
        send(sender, requests[500 * (rounds - 1) : 500 * rounds])
        send(sender, payments[200 * (rounds - 1) : 200 * rounds])
        with worker(kafka, tmp_path, fault="EARLY") as late:
            late.wait_ready()
            decided = wait_for(kafka, "authorization-decisions", 500 * rounds)
            updated = wait_for(kafka, "account-updates", ACCOUNTS + 200 * rounds)
    assert sorted(body["network_reference"] for body in bodies(decided)) == sorted(
        request.network_reference for request in requests
    )
    assert sorted(body["message_id"] for body in bodies(updated) if body["message_id"].startswith("pay-")) == sorted(
        payment.message_id for payment in payments
    )


def test_a_worker_killed_twice_from_outside_under_load(empty_kafka: str, tmp_path: Path, database: str) -> None:
    """One decision a request, one set of entries each, table equal to the ledger in PostgreSQL."""
    kafka, told = empty_kafka, story(8000, seed=8)
    load = Load(kafka, told, rate=800)
    with worker(kafka, tmp_path) as first:
        first.wait_ready()
        open_accounts(kafka)
        load.start()
        time.sleep(2.5)
        first.signal(signal.SIGKILL)
    with worker(kafka, tmp_path) as second:
        second.wait_ready()
        time.sleep(1.5)
        second.signal(signal.SIGKILL)
    with worker(kafka, tmp_path / "elsewhere") as third:  # no local store: everything comes from the changelog
        third.wait_ready()
        load.join(60)
        wait_for(kafka, "authorization-decisions", len(told))
        Run(kafka).check()
    asyncio.run(Run(kafka).post(database))


@pytest.mark.parametrize("step", ["decide", "write"])
def test_a_worker_told_to_end_finishes_the_slice_in_work(step: str, empty_kafka: str, tmp_path: Path) -> None:
    """Requests of a slice that it leaves open wait until its successor has ended the transaction."""
    kafka, told = empty_kafka, story(500, seed=10)
    with worker(kafka, tmp_path, fault=f"TERM:{step}:20") as leaving:
        leaving.wait_ready()
        open_accounts(kafka)
        load = Load(kafka, told, rate=500)
        load.start()
        leaving.wait_ended()
        assert open_transactions(kafka) == []
        load.join(60)
    assert "Traceback" not in leaving.output(), leaving.output()
    with worker(kafka, tmp_path) as successor:
        successor.wait_ready()
        wait_for(kafka, "authorization-decisions", len(told))
        Run(kafka).check()


def times_ready(process: WorkerProcess) -> int:
    """A worker says so after each rebalance."""
    return process.output().splitlines().count("ready")


@pytest.mark.parametrize("step", ["decide", "commit"])
def test_f14_a_worker_frozen_past_its_session_commits_nothing_when_it_wakes(
    step: str, empty_kafka: str, tmp_path: Path
) -> None:
    """Frozen inside a transaction, before and after its offsets; a second worker takes over meanwhile."""
    kafka, told = empty_kafka, story(7000, seed=9)
    with worker(kafka, tmp_path / "a", "worker-a", fault=f"STOP:{step}:40") as frozen:
        frozen.wait_ready()
        with worker(kafka, tmp_path / "b", "worker-b") as other:
            other.wait_ready()
            open_accounts(kafka)
            load = Load(kafka, told, rate=500)
            load.start()
            frozen.wait_stopped()
            before = times_ready(other)
            while times_ready(other) == before:
                time.sleep(0.1)
            frozen.signal(signal.SIGCONT)
            load.join(90)
            wait_for(kafka, "authorization-decisions", len(told))
            Run(kafka).check()
            assert other.process.poll() is None
