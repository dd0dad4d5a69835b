"""The front door with everything behind it: `otb up` as a process, the other commands against it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from typer.testing import CliRunner, Result

from agents.settings import Settings
from deploy.cli.app import build
from deploy.embedded.kafka import SHORT_LIVED

# A background job inherits an ignored SIGINT; a user's terminal does not.
AT_A_TERMINAL = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom deploy.cli.main import main; main()"
)


@dataclass
class Up:
    """A running `otb up` and what it said."""

    process: subprocess.Popen[bytes]
    addresses: dict[str, Any]
    home: Path


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path]) -> Iterator[Up]:  # noqa: ARG001  (fetched)
    """`otb up` in a home of its own that shares the downloaded jars."""
    home = tmp_path_factory.mktemp("home")
    (home / "cache").symlink_to(Settings().home.expanduser().absolute() / "cache")
    process = started(home)
    try:
        yield Up(process, addresses(process), home)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def started(home: Path) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTB_")}
    environment["OTB_SHED_AFTER_MS"] = "0"  # a busy machine lets requests wait
    environment |= {"OTB_HOME": str(home), "JAVA_TOOL_OPTIONS": " ".join(SHORT_LIVED)}
    return subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, "up", "--json"],
        stdout=subprocess.PIPE, stderr=(home / "stderr").open("wb"), env=environment,
    )  # fmt: skip


def addresses(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What `up --json` prints once everything is ready."""
    assert process.stdout is not None
    document = b""
    for line in process.stdout:
        document += line
        if line == b"}\n":
            return dict(orjson.loads(document))
    raise AssertionError(f"otb up ended with status {process.wait()}")


@pytest.fixture(autouse=True)
def beside_it(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTB_KAFKA", "OTB_POSTGRES_DSN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTB_HOME", str(up.home))


def otb(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def otb_json(*arguments: str) -> Any:
    result = otb(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return orjson.loads(result.stdout)


def simulate(*arguments: str) -> Any:
    """The report of a run in which everything was decided; whether a small machine keeps up is not asked here."""
    report = orjson.loads(otb("simulate", *arguments, "--json").stdout)
    assert (report["unsent"], report["missing"]) == (0, 0), report
    assert [failure for failure in report["failures"] if "requests per second" not in failure] == []
    return report


def test_load_decisions_ledger_and_table_agree(up: Up) -> None:
    report = simulate("--rate", "100", "--seconds", "5", "--accounts", "50", "--warmup", "1")
    assert (report["sent"], report["unsent"], report["decided"], report["missing"]) == (500, 0, 500, 0)
    assert report["outcomes"]["approved"] > 400
    assert report["worker"]["rss_mb"] > 50, "the worker of `otb up` is found and measured"

    reconciled = otb_json("reconcile")
    assert (reconciled["accounts"], reconciled["differences"]) == (50, [])

    balance = otb_json("trial-balance")
    assert balance["imbalance"] == {"USD": 0}
    assert {row["ledger_account"] for row in balance["accounts"]} >= {"open-holds", "hold-commitments"}
    assert balance["entries"] >= 400
    assert balance["postings"] == 2 * balance["entries"]
    assert sum(row["balance"] for row in balance["accounts"]) == 0

    for address in (up.addresses["worker_metrics"], up.addresses["sink_metrics"]):
        assert address.startswith("127.0.0.1:")


def test_account_shows_the_row_behind_a_decision() -> None:
    simulate("--rate", "50", "--seconds", "1", "--accounts", "5", "--warmup", "0")
    otb_json("reconcile")
    [decision] = [
        orjson.loads(line)["value"]
        for line in otb("tail", "authorization-decisions", "--no-follow", "--limit", "1", "--json").stdout.splitlines()
    ]
    row = otb_json("account", decision["account_id"])
    assert row["account_id"] == decision["account_id"]
    assert row["open_to_buy"] == row["credit_limit"] - row["posted_balance"] - row["open_holds"]
    assert row["open_holds"] == sum(hold["amount"] for hold in row["holds"].values())
    shown = otb("account", decision["account_id"])
    assert "open-to-buy" in shown.stdout


def test_an_unknown_account_is_one_line() -> None:
    result = otb("account", "nobody")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "otb: there is no account nobody\n")


def test_reconcile_finds_what_only_the_ledger_knows(up: Up) -> None:
    simulate("--rate", "20", "--seconds", "1", "--accounts", "2", "--warmup", "0")
    otb_json("reconcile")
    asyncio.run(_post_for_nobody(up.addresses["postgres_dsn"]))
    result = otb("reconcile", "--json")
    assert result.exit_code == 1
    [difference] = orjson.loads(result.stdout)["differences"]
    assert difference == {"account_id": "ghost", "kind": "only-in-ledger", "table": 0, "ledger": 1}
    assert otb("trial-balance").exit_code == 0, "balanced all the same"


def test_people_see_the_trial_balance() -> None:
    simulate("--rate", "20", "--seconds", "1", "--accounts", "2", "--warmup", "0")
    result = otb("trial-balance")
    assert result.exit_code == 0
    for words in ("open-holds", "imbalance", "balanced"):
        assert words in result.stdout


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_quietly_and_leaves_nothing(
    tmp_path: Path, up: Up, number: signal.Signals, status: int
) -> None:
    (tmp_path / "cache").symlink_to((up.home / "cache").resolve())
    process = started(tmp_path)
    try:
        told = addresses(process)
    finally:
        processes = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(60) == status
    assert {child.pid for child in processes} >= {told["worker_pid"], told["sink_pid"]}
    assert not [child for child in processes if child.is_running()]
    assert not list((tmp_path / "runs").glob("*/")), "the run's folder is gone"
    last = (tmp_path / "stderr").read_text().splitlines()[-1]
    assert "Traceback" not in (tmp_path / "stderr").read_text()
    assert "stopping" in last


def test_up_ends_when_its_worker_dies(tmp_path: Path, up: Up) -> None:
    (tmp_path / "cache").symlink_to((up.home / "cache").resolve())
    process = started(tmp_path)
    try:
        os.kill(addresses(process)["worker_pid"], signal.SIGKILL)
        assert process.wait(60) == 1
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert "otb: the worker was ended by SIGKILL" in (tmp_path / "stderr").read_text()


async def _post_for_nobody(dsn: str) -> None:
    """A balanced entry of an account that the engine has never heard of."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            """
            WITH entry AS (
                INSERT INTO journal_entries (account_id, sequence, entry_type, cause, currency, effective_at, digest,
                                             source_partition, source_offset, posting_count)
                VALUES ('ghost', 1, 'payment-posted', 'test', 'USD', now(), '0123456789abcdef', 0, 0, 2))
            INSERT INTO postings (account_id, sequence, line, ledger_account, currency, amount)
            VALUES ('ghost', 1, 1, 'payments-clearing', 'USD', 5),
                   ('ghost', 1, 2, 'cardholder-receivable', 'USD', -5)
            """
        )
    finally:
        await connection.close()
