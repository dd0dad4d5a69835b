"""A group's coordinator that tells older offsets than were committed: nothing is answered a second time for that."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from models.messages import Inbound
from tests.support.checker import Run
from tests.support.story import open_accounts, story
from tests.support.traffic import Load, wait_for
from tests.support.workers import worker
from topics.declarations import AUTHORIZATION_DECISIONS, AUTHORIZATIONS

GOES_ON = "what is before"
EVERYTHING = 1_000_000


def test_a_worker_that_keeps_its_partitions_goes_on_where_its_rows_end(empty_kafka: str, tmp_path: Path) -> None:
    """A second worker joins, and the first asks for the offsets of what it keeps again."""
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
            wait_for(kafka, AUTHORIZATION_DECISIONS.name, len(told))
            Run(kafka).check()
            assert GOES_ON in first.output()


def test_a_worker_that_has_only_the_changelog_goes_on_where_its_rows_end(empty_kafka: str, tmp_path: Path) -> None:
    """It starts after the one that decided, without a store, and is told the beginning."""
    kafka, told = empty_kafka, story(600, seed=13)
    with worker(kafka, tmp_path / "a", "worker-a") as first:
        first.wait_ready()
        open_accounts(kafka)
        _decided(kafka, told[:400], 400)
    with worker(kafka, tmp_path / "b", "worker-b", fault=f"STALE:{EVERYTHING}") as second:
        second.wait_ready()
        _decided(kafka, told[400:], len(told))
        Run(kafka).check()
        assert GOES_ON in second.output()


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(empty_kafka: str, tmp_path: Path) -> None:
    """What the rows say is of the topic of that name before."""
    kafka, told = empty_kafka, story(500, seed=14)
    with worker(kafka, tmp_path / "a", "worker-a") as first:
        first.wait_ready()
        open_accounts(kafka)
        _decided(kafka, told[:400], 400)
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([AUTHORIZATIONS.name])[AUTHORIZATIONS.name].result(60)
    with worker(kafka, tmp_path / "a", "worker-a") as again:
        again.wait_ready()
        decided = _decided(kafka, told[400:], len(told))
        assert sum(map(len, decided)) == len(told)
        assert "authorizations was made anew" in again.output()
        assert GOES_ON not in again.output()


def _decided(kafka: str, messages: Sequence[Inbound], in_all: int) -> list[list[Any]]:
    """Sends `messages`; all decisions by partition, once there are `in_all`."""
    load = Load(kafka, messages, rate=400)
    load.start()
    load.join(60)
    return wait_for(kafka, AUTHORIZATION_DECISIONS.name, in_all)
