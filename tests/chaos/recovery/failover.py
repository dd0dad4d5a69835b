"""Failover: two workers under load, one kills itself inside a transaction, the other takes its partitions over."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from confluent_kafka.admin import AdminClient

from tests.chaos.campaign.history import APP_ID
from tests.chaos.campaign.load import Load
from tests.chaos.campaign.story import record
from tests.chaos.campaign.watch import Watch
from tests.support.checker import Run
from tests.support.story import open_accounts, story
from tests.support.traffic import wait_for
from tests.support.workers import WorkerProcess, worker

SESSION_TIMEOUT_S: Final = 6
ALLOWED_S: Final = SESSION_TIMEOUT_S + 3
"""What a failover to a warm standby may take."""
RATE: Final = 200
MESSAGES: Final = 100_000
"""More than is sent: the load goes on until all is over."""
STEP: Final = "commit"
"""The worst moment to die: the transaction has offsets and records, and stays open until somebody ends it."""
AFTER_COMMITS: Final = 100
WARM: Final = 200
"""Records a standby may be behind and still be called warm; half a second of rows, commit markers included."""
PATIENCE_S: Final = 120
POLL_S: Final = 0.02

Known = TypeVar("Known")


@dataclass(frozen=True, slots=True)
class Failover:
    """Seconds from the death of the worker until every partition has decided again; the books were checked after."""

    standby_replicas: int
    seconds: float
    partitions_moved: int


def failover(kafka: str, folder: Path, standby_replicas: int) -> Failover:
    """Once, on an empty broker; raises AssertionError or Disagreement when anything is lost on the way."""
    told = story(MESSAGES, seed=31)
    with ExitStack() as stack:
        survivor = stack.enter_context(worker(kafka, folder / "b", "worker-b", standby_replicas=standby_replicas))
        survivor.wait_ready()
        open_accounts(kafka)
        fault = f"KILL:{STEP}:{AFTER_COMMITS}"
        doomed = stack.enter_context(
            worker(kafka, folder / "a", "worker-a", fault=fault, standby_replicas=standby_replicas)
        )
        doomed.wait_ready()
        watch = Watch(kafka)
        stack.callback(watch.close)
        watch.start()
        moved = _until(lambda: _owned(kafka).get("worker-a"))
        load = Load(kafka, map(record, told), RATE)
        load.start()
        if standby_replicas:
            _until(lambda: _is_warm(survivor, moved))
        assert doomed.wait_ended() == -signal.SIGKILL, doomed.output()
        died = time.time()
        again = _until(lambda: watch.decided_again(died))
        load.finish()
        wait_for(kafka, "authorization-decisions", load.delivered)
        Run(kafka).check()
    return Failover(standby_replicas, again - died, len(moved))


def _owned(kafka: str) -> dict[str, set[int]]:
    """worker -> partitions of the authorisations that it decides, as the group's coordinator knows it."""
    client = AdminClient({"bootstrap.servers": kafka, "log_level": 0})  # held: a future does not outlive it
    members = client.describe_consumer_groups([APP_ID])[APP_ID].result(30).members
    return {
        member.group_instance_id: {
            tp.partition for tp in member.assignment.topic_partitions if tp.topic == "authorizations"
        }
        for member in members
    }


def _is_warm(standby: WorkerProcess, partitions: set[int]) -> bool:
    lags = standby_lags(standby)
    return partitions <= lags.keys() and all(lags[partition] <= WARM for partition in partitions)


def standby_lags(process: WorkerProcess) -> dict[int, int]:
    """partition -> records that the worker has yet to read as its standby, as its metrics say."""
    lines = process.metrics().splitlines()
    prefix = 'otb_standby_lag_records{partition="'
    found = [line.removeprefix(prefix).split('"} ') for line in lines if line.startswith(prefix)]
    return {int(partition): int(float(lag)) for partition, lag in found}


def _until(known: Callable[[], Known | None]) -> Known:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := known()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(POLL_S)
    return found
