"""A row that cannot be read, met by a real worker: everyone else's cards work, and every reader names the row."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import orjson

from tests.support import messages as say
from tests.support.story import just_now
from tests.support.traffic import bodies, producer, read, send, wait_committed, wait_for
from tests.support.workers import WorkerProcess, otb, worker
from topics.admin import changelog
from topics.keys import partition_for

ROOT = Path(__file__).parents[2]
LINE = "the row of account acct-2 in partition {} cannot be swept (docs/runbook.md, RowsDamaged)"
PATIENCE_S = 60


def command(settings: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTB_")} | settings
    told = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(told, env=environment, cwd=ROOT, check=False, capture_output=True, timeout=PATIENCE_S)


def names(process: WorkerProcess, line: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while line not in process.output():
        assert process.process.poll() is None, process.output()
        assert time.monotonic() < deadline, process.output()
        time.sleep(0.1)


def test_one_damaged_row_ends_nothing_and_is_named_everywhere(empty_kafka: str, tmp_path: Path, database: str) -> None:
    kafka, at = empty_kafka, just_now()
    accounts = [f"acct-{number}" for number in (1, 2, 3)]
    with worker(kafka, tmp_path / "a") as first:
        first.wait_ready()
        send(producer(kafka), [say.opened(each, transmitted_at=at) for each in accounts])
        wait_for(kafka, "account-updates", 3)
        send(producer(kafka), [say.request(f"before-{each}", account=each, transmitted_at=at) for each in accounts])
        wait_for(kafka, "authorization-decisions", 3)
        wait_committed(kafka)  # or the next worker writes the row that is damaged here once more
    home = partition_for(b"acct-2", 4)
    planter = producer(kafka)
    planter.produce(changelog("opentobuy").name, b"\x02" + bytes(8) + b"no row", b"acct-2", home)
    assert planter.flush(10) == 0

    settings = {"OTB_KAFKA": kafka, "OTB_POSTGRES_DSN": database, "OTB_HOME": str(tmp_path / "b")}
    with otb("sink", tmp_path, settings), worker(kafka, tmp_path / "b") as next_:
        names(next_, LINE.format(home))
        send(producer(kafka), [say.request(f"after-{each}", account=each, transmitted_at=at) for each in accounts])
        decisions = {each["network_reference"]: each for each in bodies(wait_for(kafka, "authorization-decisions", 6))}
        assert [decisions[f"after-{each}"]["reason"] for each in accounts] == [None, "system-malfunction", None]
        [letter] = bodies(read(kafka, "dead-letters"))
        assert (letter["reason"], letter["topic"]) == ("unreadable-row", "authorizations")
        page = next_.metrics()
        assert 'otb_dead_letters_total{reason="unreadable-row"} 1.0' in page
        assert "otb_unswept_rows_total 0.0" not in page
        assert next_.output().count("cannot be swept") == 1

        account = command(settings, "account", "acct-2")
        assert account.returncode == 1
        assert account.stderr.startswith(b"otb: the row of account acct-2 cannot be read: ")
        assert account.stderr.count(b"\n") == 1
        compared = command(settings, "reconcile", "--json")
        assert compared.returncode == 1, compared.stderr
        result = orjson.loads(compared.stdout)
        assert (result["accounts"], result["differences"]) == (
            3, [{"account_id": "acct-2", "kind": "unreadable-row", "table": 0, "ledger": 1}],
        )  # fmt: skip
