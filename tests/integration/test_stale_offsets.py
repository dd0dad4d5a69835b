"""A group's coordinator that tells older offsets than were committed: nothing is answered a second time for that."""

from __future__ import annotations

import time
from pathlib import Path

from aiokafka import TopicPartition

from tests.support.checker import Run
from tests.support.story import open_accounts, story
from tests.support.traffic import Load, wait_for
from tests.support.workers import worker
from topics.transport.consumer import _raised

TP = TopicPartition("authorizations", 0)


def test_a_worker_goes_on_where_it_has_committed_whatever_it_is_told(empty_kafka: str, tmp_path: Path) -> None:
    """It keeps some partitions when a second worker joins, and asks for their offsets again."""
    kafka, told = empty_kafka, story(1500, seed=12)
    with worker(kafka, tmp_path / "a", "worker-a", fault="STALE:100") as first:
        first.wait_ready()
        open_accounts(kafka)
        load = Load(kafka, told, rate=300)
        load.start()
        time.sleep(2)
        with worker(kafka, tmp_path / "b", "worker-b") as second:
            second.wait_ready()
            load.join(60)
            wait_for(kafka, "authorization-decisions", len(told))
            Run(kafka).check()
            assert "was committed: going on there" in first.output()


def test_a_topic_that_was_made_anew_is_read_from_where_the_group_says() -> None:
    assert _raised({TP: 40}, {TP: 100}, {TP: 100}) == {TP: 100}
    assert _raised({}, {TP: 100}, {TP: 99}) == {}, "its 100 records are not these"
