"""A release with a new version of the row is rolled out under load, and taken back; real workers, one broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tables import rows
from tables.source_offsets import is_account
from tests.support import next_row
from tests.support.checker import Run
from tests.support.story import open_accounts, story
from tests.support.traffic import Load, bodies, read, wait_for
from tests.support.workers import WorkerProcess, worker

RATE = 200
QUICK = 1000
"""Messages a second, while workers come and go and while they do not"""
PIECES = [(0, 1500, RATE), (1500, 1000, QUICK), (2500, 1500, RATE)]
"""(first, how many, rate) of the messages during each part of the roll-out"""
KNOWS = f"row version {next_row.NUMBER}"  # what only the later release says
REFUSAL = "worker ends: a row has version 3, this release reads up to 2"


def stopped(process: WorkerProcess) -> None:
    process.process.terminate()
    assert process.wait_ended() in (0, -15)


def versions(kafka: str) -> set[int]:
    """Of all rows in the changelog, superseded ones as well."""
    records = [record for partition in read(kafka, "opentobuy-accounts-changelog") for record in partition]
    return {record.value()[0] for record in records if is_account(record.key())}


def check(kafka: str, messages: int, database: str) -> None:
    """Every message answered once and as the auditor says, every account right, in its row and in the ledger."""
    wait_for(kafka, "authorization-decisions", messages)
    Run(kafka).check()
    assert bodies(read(kafka, "dead-letters")) == [], "nobody's message was blamed for a row"
    asyncio.run(Run(kafka).post(database))


def test_rolled_out_beside_the_old_release_and_back(empty_kafka: str, tmp_path: Path, database: str) -> None:
    """While the new release writes the old version, workers of both take over from each other in any order."""
    kafka, told = empty_kafka, story(4000, seed=31)
    over, alone, back_again = (Load(kafka, told[first : first + count], rate) for first, count, rate in PIECES)
    with worker(kafka, tmp_path / "a", "worker-a") as old:
        old.wait_ready()
        open_accounts(kafka)
        over.start()
        with worker(kafka, tmp_path / "b", "worker-b", next_row=1, row_version=2) as new:
            new.wait_for_line(KNOWS)
            new.wait_ready()
            stopped(old)
            over.join(120)
            alone.start()
            alone.join(60)
            wait_for(kafka, "authorization-decisions", 2500)
            back_again.start()
            with worker(kafka, tmp_path / "a", "worker-a") as back:
                back.wait_ready()
                stopped(new)
                back_again.join(120)
                check(kafka, len(told), database)
    assert versions(kafka) == {2}


@pytest.mark.usefixtures("of_the_later_release")
def test_once_the_new_version_is_written_the_old_release_refuses(
    empty_kafka: str, tmp_path: Path, database: str
) -> None:
    """With a store that has such rows and with one that is restored; the release itself can still step back."""
    kafka, told = empty_kafka, story(3000, seed=32)
    before, after = Load(kafka, told[:1500], QUICK), Load(kafka, told[1500:], RATE)
    with worker(kafka, tmp_path / "a", next_row=1, row_version=2) as careful:
        careful.wait_ready()
        open_accounts(kafka)
        before.start()
        before.join(60)
        wait_for(kafka, "authorization-decisions", 1500)
        stopped(careful)
    after.start()
    with worker(kafka, tmp_path / "a", next_row=1) as new:
        new.wait_ready()
        while versions(kafka) != {2, 3}:
            assert new.process.poll() is None
        stopped(new)
    for folder in ("a", "b"):
        with worker(kafka, tmp_path / folder) as old:
            assert old.wait_ended() == 1, old.output()
            assert REFUSAL in old.output()
            assert "Traceback" not in old.output()
    with worker(kafka, tmp_path / "a", next_row=1, row_version=2) as careful:
        careful.wait_ready()
        after.join(120)
        check(kafka, len(told), database)
    assert versions(kafka) == {2, 3}


@pytest.fixture
def of_the_later_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rows.VERSIONS, next_row.NUMBER, next_row.VERSION)
