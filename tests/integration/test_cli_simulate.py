"""The load generator on a real broker, against an echo that stands in for the engine's decisions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.app import build
from loadtest.opening import NotOpened, open_accounts
from loadtest.openloop import Run, run
from loadtest.result import LoadResult
from loadtest.schedule import Schedule
from loadtest.spool import Spool, grouped
from loadtest.traffic import Traffic
from tests.integration.echo_engine import is_skipped
from tests.support.emptying import empty
from topics.admin import ensure_topics
from topics.cluster import Cluster

PARTITIONS = 3


@pytest.fixture(scope="module")
def broker(broker_of_many: str) -> str:
    """A broker with the real topics, for all of this module."""
    empty(broker_of_many)
    asyncio.run(ensure_topics(Cluster(broker_of_many), "opentobuy", PARTITIONS, 1))
    return broker_of_many


@pytest.fixture(autouse=True)
def at_broker(broker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTB_KAFKA", broker)
    monkeypatch.setenv("OTB_PARTITIONS", str(PARTITIONS))
    monkeypatch.setenv("OTB_HOME", str(tmp_path))


@contextmanager
def echo(broker: str, per_second: float = 0, skip: int = 0) -> Iterator[int]:
    """An echoing engine; yields its process id."""
    command = [sys.executable, "-m", "tests.integration.echo_engine", broker, str(per_second), str(skip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.kill()


def simulate(*arguments: str) -> tuple[Result, dict[str, Any]]:
    options = ("simulate", "--accounts", "40", "--seconds", "2", "--warmup", "1", "--json", *arguments)
    result = CliRunner().invoke(build(), options)
    return result, orjson.loads(result.stdout) if result.stdout else {}


def loaded(broker: str, schedule: Schedule, **limits: Any) -> LoadResult:
    """A run without opening accounts, which the echo does not ask for."""
    spool = Spool()
    try:
        spool.extend(islice(grouped(Traffic(1, 20, "direct").stream(), PARTITIONS), schedule.total))
        return run(Run(Cluster(broker), schedule, accounts=20, **limits), spool, lambda _what, _done, _total: None)
    finally:
        spool.close()


def test_every_request_is_sent_timed_and_counted_once(broker: str) -> None:
    with echo(broker):
        result, report = simulate("--rate", "300")
    assert (result.exit_code == 0) == (report["failures"] == []), result.output
    assert all("requests per second" in failure for failure in report["failures"]), "a small machine may be too slow"
    assert (report["sent"], report["unsent"], report["decided"], report["missing"]) == (600, 0, 600, 0)
    assert sum(report["outcomes"].values()) == 600, "an answer given twice counts once"
    assert set(report["outcomes"]) == {"approved", "declined:insufficient-open-to-buy"}
    assert (report["offered_rate"], report["accounts"]) == (300, 40)
    latencies = list(report["latency_ms"].values())
    assert list(report["latency_ms"]) == ["p50", "p90", "p99", "p99_9", "max"]
    assert 0 < latencies[0] <= latencies[-1]
    assert latencies == sorted(latencies)


def test_json_is_alone_on_stdout_and_progress_on_stderr(broker: str) -> None:
    with echo(broker):
        result, _ = simulate("--rate", "100")
    orjson.loads(result.stdout)
    assert "messages prepared" in result.stderr


def test_people_get_a_verdict(broker: str) -> None:
    with echo(broker):
        options = ("simulate", "--accounts", "40", "--seconds", "1", "--rate", "100", "--warmup", "0.5")
        result = CliRunner().invoke(build(), options)
    for words in ("insufficient-open-to-buy", "p99.9", "100 offered"):
        assert words in result.stdout
    assert ("passed" in result.stdout) == (result.exit_code == 0), result.output


def test_h3_an_engine_that_cannot_keep_up_is_no_pass_and_its_backlog_is_in_the_latency(broker: str) -> None:
    with echo(broker, per_second=100):
        result, report = simulate("--rate", "300")
    assert result.exit_code == 1
    assert report["decided"] == 600, "it gets there while the generator waits"
    assert report["rate"] < 200
    assert any("of 300 requests per second" in failure for failure in report["failures"])
    assert report["latency_ms"]["p50"] > 1000, "counted from when each request was due"


def test_requests_never_decided_are_missing_and_no_pass(broker: str) -> None:
    schedule = Schedule(rate=300, requests=300, warmup=70)
    groups = islice(grouped(Traffic(1, 20, "direct").stream(), PARTITIONS), schedule.total)
    skipped = [is_skipped(str(group[0].reference), 7) for group in groups]
    with echo(broker, skip=7):
        result = loaded(broker, schedule, drain_seconds=1)
    assert (result.warmup_missing, result.missing) == (sum(skipped[:70]), sum(skipped[70:]))
    assert (result.sent, result.decided) == (300, 300 - result.missing)
    assert result.missing > 0
    assert f"{sum(skipped)} requests were never decided" in result.failures()


def test_h3_nobody_answers_memory_stays_bounded_and_the_rest_is_unsent(broker: str) -> None:
    schedule = Schedule(rate=1000, requests=1000)
    result = loaded(broker, schedule, max_outstanding=100, drain_seconds=0.2, grace_seconds=0.2)
    assert (result.sent, result.unsent, result.decided, result.missing) == (100, 900, 0, 100)
    assert result.failures()[0] == "900 of 1,000 requests were not sent"


def test_opening_accounts_without_an_engine_says_so(broker: str) -> None:
    openings = Traffic(1, 5, "silent").openings()
    with pytest.raises(NotOpened, match="0 accounts opened, then no answer for 1 s: is a worker running"):
        open_accounts(Cluster(broker), openings, patience=1, on_progress=lambda _opened: None)


def test_more_requests_than_accounts_can_make_is_one_line() -> None:
    result, _ = simulate("--rate", "5000", "--seconds", "60", "--accounts", "1")
    assert result.exit_code == 1
    assert "need at least" in result.stderr.splitlines()[-1]


def test_tail_shows_what_is_committed(broker: str) -> None:
    with echo(broker):
        loaded(broker, Schedule(rate=100, requests=20))
    cli = CliRunner()
    lines = cli.invoke(build(), ["tail", "authorizations", "--no-follow", "--limit", "3", "--json"]).stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        record = orjson.loads(line)
        assert record["value"]["account_id"] == record["key"]
    oldest = cli.invoke(build(), ["tail", "authorizations", "--from-beginning", "--limit", "1"])
    assert '"network_reference"' in oldest.stdout


def test_tail_of_an_unknown_topic_is_one_line(broker: str) -> None:
    result = CliRunner().invoke(build(), ["tail", "nonsense", "--no-follow"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"otb: there is no topic 'nonsense' on {broker}\n"
