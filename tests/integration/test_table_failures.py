"""A worker whose table cannot be had says so and ends, so that it is started again: it never stays and does nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from agents.ending import EXIT_UNKNOWN_OUTCOME
from tests.support.checker import Run
from tests.support.story import ACCOUNTS, open_accounts, story
from tests.support.traffic import producer, send, wait_for
from tests.support.workers import worker


@pytest.mark.parametrize("writer", ["main", "rows"])
def test_a_store_found_damaged_ends_the_worker_and_is_begun_anew(writer: str, empty_kafka: str, tmp_path: Path) -> None:
    """Found by a restore, or when the rows of decisions are written. Faust's fetcher, in which a restore writes, has
    failed of it without a word to the process, which stayed and did nothing."""
    kafka, told = empty_kafka, story(50, seed=11)
    with worker(kafka, tmp_path) as first:
        first.wait_ready()
        open_accounts(kafka)
        wait_for(kafka, "account-updates", ACCOUNTS)
    if writer == "main":
        shutil.rmtree(tmp_path / "tables")
    with worker(kafka, tmp_path, fault=f"DAMAGED:{writer}") as second:
        send(producer(kafka), told)
        assert second.wait_ended() == EXIT_UNKNOWN_OUTCOME
        assert re.search(r"worker ends: the store of partition \d is damaged: Corruption", second.output())
        assert "Traceback" not in second.output()
    with worker(kafka, tmp_path) as third:
        third.wait_ready()
        assert "is begun anew and restored from the changelog" in third.output()
        wait_for(kafka, "authorization-decisions", len(told))
        Run(kafka).check()


def test_a_part_of_faust_that_fails_ends_the_worker(empty_kafka: str, tmp_path: Path) -> None:
    with worker(empty_kafka, tmp_path) as first:
        first.wait_ready()
        open_accounts(empty_kafka)
    with worker(empty_kafka, tmp_path / "elsewhere", fault="BROKEN") as second:
        assert second.wait_ended() == EXIT_UNKNOWN_OUTCOME
        assert "worker ends: a part of it has failed" in second.output()
        assert second.output().rstrip().endswith("LookupError: nobody expects this")


def test_a_restore_that_comes_no_further_ends_the_worker(empty_kafka: str, tmp_path: Path) -> None:
    with worker(empty_kafka, tmp_path, fault="SLOW_RECOVERY:120", recovery_deadline_s=5) as slow:
        assert slow.wait_ended() == EXIT_UNKNOWN_OUTCOME
        assert slow.output().rstrip().endswith("worker ends: tables not restored, and no further than 5 s ago")
