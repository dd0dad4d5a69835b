"""Recovery, as `python -m tests.chaos.recovery` measures it: here only that nothing is lost, no times."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.chaos.recovery import page
from tests.chaos.recovery.failover import ALLOWED_S, Failover, failover
from tests.chaos.recovery.restore import APP_ID, Restore, fill, restore, rows_under
from tests.support.traffic import PARTITIONS
from tests.support.workers import worker
from topics.admin import ensure_topics
from topics.cluster import Cluster
from topics.transport.recovery import FAR

MANY = 4 * PARTITIONS * FAR
"""Rows of a changelog that is far from restored for most of the time."""


@pytest.mark.parametrize("standby_replicas", [0, 1])
def test_another_worker_takes_over_what_one_killed_inside_a_transaction_had(
    standby_replicas: int, empty_kafka: str, tmp_path: Path
) -> None:
    """With standbys the other has read the changelog of these partitions before (`failover` waits for it)."""
    assert failover(empty_kafka, tmp_path, standby_replicas).partitions_moved > 0


def test_every_row_comes_back_from_the_changelog(empty_kafka: str, tmp_path: Path) -> None:
    found = restore(empty_kafka, tmp_path, 3000)
    assert found.rows == 3000
    assert 500 < found.bytes_a_row < 1000, "rows of the usual size"


def test_a_restore_that_is_killed_half_way_goes_on_where_its_store_ends(empty_kafka: str, tmp_path: Path) -> None:
    kafka = empty_kafka
    asyncio.run(ensure_topics(Cluster(kafka), APP_ID, PARTITIONS, 1))
    fill(kafka, MANY)
    with worker(kafka, tmp_path) as killed:
        while not any(tmp_path.rglob("*.sst")):
            assert killed.process.poll() is None, killed.output()
        killed.end()
    assert rows_under(tmp_path) < MANY, "it was half way"
    with worker(kafka, tmp_path) as again:
        again.wait_ready()
        again.end()
    assert rows_under(tmp_path) == MANY


def test_a_figure_over_what_is_allowed_fails_the_run() -> None:
    good = page.Figures(1e-3, [Failover(0, 99.0, 2), Failover(1, ALLOWED_S, 2)], Restore(10, 740.0, 60.0, 5.0, 9.0))
    assert good.passed
    assert "**all within what is allowed**" in page.markdown(good)
    slow = page.Figures(1e-3, [Failover(1, ALLOWED_S + 0.1, 2)], good.restore)
    late = page.Figures(1e-3, [], Restore(10, 740.0, 60.1, 5.0, 9.0))
    assert not slow.passed
    assert not late.passed
    assert "NOT all within what is allowed" in page.markdown(late)
