"""Workers are killed and frozen under load; afterwards every request has one decision and the books agree."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from deploy.embedded.kafka import Broker
from tests.support.checker import Run
from tests.support.story import open_accounts, story
from tests.support.traffic import Load, wait_for
from tests.support.workers import worker

SESSION_TIMEOUT_S = 6


@pytest.mark.parametrize("step", ["write", "commit", "apply"])
def test_a_worker_killed_inside_a_commit_loses_and_doubles_nothing(
    step: str, own_broker: Broker, tmp_path: Path
) -> None:
    kafka, told = own_broker.bootstrap, story(4000, seed=7)
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


def test_a_worker_killed_twice_from_outside_under_load(own_broker: Broker, tmp_path: Path, database: str) -> None:
    """One decision a request, one set of entries each, table equal to the ledger in PostgreSQL."""
    kafka, told = own_broker.bootstrap, story(8000, seed=8)
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


@pytest.mark.parametrize("step", ["decide", "commit"])
def test_f14_a_worker_frozen_past_its_session_commits_nothing_when_it_wakes(
    step: str, own_broker: Broker, tmp_path: Path
) -> None:
    """Frozen inside a transaction, before and after its offsets; a second worker takes over meanwhile."""
    kafka, told = own_broker.bootstrap, story(9000, seed=9)
    with worker(kafka, tmp_path / "a", "worker-a", fault=f"STOP:{step}:40") as frozen:
        frozen.wait_ready()
        with worker(kafka, tmp_path / "b", "worker-b") as other:
            other.wait_ready()
            open_accounts(kafka)
            load = Load(kafka, told, rate=500)
            load.start()
            frozen.wait_stopped()
            time.sleep(SESSION_TIMEOUT_S + 5)
            frozen.signal(signal.SIGCONT)
            load.join(90)
            wait_for(kafka, "authorization-decisions", len(told))
            Run(kafka).check()
            assert other.process.poll() is None
