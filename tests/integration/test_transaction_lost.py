"""A transaction that is open for longer than the broker allows is aborted by it: the worker ends with one line and the
next one decides what it had in hand, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.ending import EXIT_UNKNOWN_OUTCOME
from deploy.embedded.kafka import SHORT_LIVED, running_broker
from tests.support.checker import Run
from tests.support.emptying import empty
from tests.support.story import open_accounts, story
from tests.support.traffic import Load, wait_for
from tests.support.workers import worker

IMPATIENT = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "200"}
LINE = "worker ends: the broker has ended the transaction of worker-0"


@pytest.fixture(scope="module")
def impatient_kafka(tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path]) -> Iterator[str]:
    """A broker that looks for transactions that took too long five times a second, not every ten seconds."""
    folder = tmp_path_factory.mktemp("impatient") / "kafka"
    with running_broker(folder, kafka_jars, jvm_options=SHORT_LIVED, overrides=IMPATIENT) as broker:
        yield broker.bootstrap


@pytest.mark.parametrize("step", ["write", "commit"])
def test_a_transaction_that_the_broker_ended_ends_the_worker_in_one_line(
    step: str, impatient_kafka: str, tmp_path: Path
) -> None:
    """Heartbeats go on meanwhile, as they do while a broker is paused that has the transaction's coordinator. Before a
    write the transaction may not be open yet, if markers of the one before were still written: it hangs again then."""
    kafka, settings = impatient_kafka, {"transaction_timeout_ms": 1000, "clock_tick_ms": 100}
    empty(kafka)
    with worker(kafka, tmp_path, fault=f"HANG:{step}:150:4", **settings) as slow:
        slow.wait_ready()
        open_accounts(kafka)
        told = Load(kafka, story(1000, seed=51), 100)
        told.start()
        assert slow.wait_ended() == EXIT_UNKNOWN_OUTCOME, slow.output()
    assert slow.output().count(LINE) == 1, slow.output()
    assert "Traceback" not in slow.output()
    with worker(kafka, tmp_path, **settings) as next_:
        next_.wait_ready()
        told.join(60)
        wait_for(kafka, "authorization-decisions", 1000)
        Run(kafka).check()
