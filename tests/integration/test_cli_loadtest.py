"""`otb loadtest` with real Kafka: two generator processes against a real worker, and against an engine too slow."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.app import build
from loadtest.runs import report as reports
from loadtest.runs.gauges import LagReader
from tests.support.traffic import read
from tests.support.workers import WorkerProcess, worker
from topics.admin import ensure_topics
from topics.cluster import Cluster

PARTITIONS = 4


@pytest.fixture
def at_broker(empty_kafka: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("OTB_KAFKA", empty_kafka)
    monkeypatch.setenv("OTB_HOME", str(tmp_path))
    return empty_kafka


@pytest.fixture
def engine(at_broker: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    with worker(at_broker, tmp_path / "engine") as only:
        only.wait_ready()
        yield only


def loadtest(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["loadtest", *arguments])


def undone(failures: list[str]) -> list[str]:
    """Failures that a busy machine does not explain: it may fall behind for a moment, and still does everything."""
    return [failure for failure in failures if "the engine decided" not in failure]


def read_back(path: Path, result: Result) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(path.read_bytes())
    assert result.exit_code == (0 if document["passed"] else 1), result.output
    assert undone(document["failures"]) == []
    return document


def test_two_generators_and_a_real_worker_account_for_every_request(
    engine: WorkerProcess, at_broker: str, tmp_path: Path
) -> None:
    path, page = tmp_path / "report.json", tmp_path / "report.html"
    result = loadtest(
        "step", "--rates", "30,50", "--seconds", "2", "--warmup", "1", "--accounts", "21", "--processes", "2",
        "--json", str(path), "--html", str(page), "--worker-pid", str(engine.pid),
    )  # fmt: skip
    document = read_back(path, result)
    counted = document["result"]
    assert (counted["sent"], counted["unsent"], counted["decided"], counted["missing"]) == (160, 0, 160, 0)
    assert (counted["warmup_missing"], counted["overflow"], document["refused"]) == (0, 0, 0)
    assert sum(counted["outcomes"].values()) == 160
    assert counted["outcomes"]["approved"] > 100

    report = reports.read(path)
    assert [len(row.latencies()) for row in report.intervals] == [30, 30, 50, 50]
    assert [row.offered for row in report.intervals] == [30, 30, 50, 50]
    assert [stage.label for stage in report.stages] == ["30/s", "50/s"]
    assert counted["worker"]["rss_mb"] > 50
    assert all(sample.worker_rss_mb and sample.lag is not None for sample in report.samples)

    decided = [orjson.loads(record.value()) for part in read(at_broker, "authorization-decisions") for record in part]
    decided = [each for each in decided if each["type"] == "authorization-decision"]
    generators = Counter(each["account_id"].split("-g")[1][:3] for each in decided)
    assert set(generators) == {"000", "001"}
    assert min(generators.values()) >= 95, "each sent half of 190 requests, and increments"
    with closing(LagReader(Cluster(at_broker), "opentobuy")) as lag:
        assert lag.read() == 0
    assert "p99.99" in result.stdout
    assert "Load test: step, 30/s, 50/s" in page.read_text(encoding="utf-8")


def test_a_search_proves_its_answer(engine: WorkerProcess, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    result = loadtest(
        "find-max", "--p99", "60000", "--start", "20", "--highest", "40", "--runs", "4", "--seconds", "2",
        "--warmup", "1", "--accounts", "10", "--worker-pid", str(engine.pid), "--json", str(path),
    )  # fmt: skip
    document = orjson.loads(path.read_bytes())
    trials = document["trials"]
    assert trials[0]["rate"] == 20
    assert [undone(trial["failures"]) for trial in trials] == [[]] * len(trials)
    if all(trial["within"] for trial in trials):
        assert [(trial["rate"], trial["repeat"]) for trial in trials] == [(20, False), (40, False), (40, True)]
        assert document["rate"] == 40
    assert result.exit_code == (1 if document["rate"] is None else 0)
    assert (document["proof"] is None) == (document["rate"] is None)


def test_h3_an_engine_that_falls_behind_is_no_pass(at_broker: str, tmp_path: Path) -> None:
    asyncio.run(ensure_topics(Cluster(at_broker), "opentobuy", PARTITIONS, 1))
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.integration.echo_engine", at_broker, "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as echo:
        try:
            assert echo.stdout is not None
            assert echo.stdout.readline() == b"ready\n"
            result = loadtest(
                "steady", "--rate", "300", "--seconds", "3", "--warmup", "0.5", "--accounts", "20", "--processes", "2",
                "--authorizations-only", "--json", str(path), "--worker-pid", str(echo.pid),
            )  # fmt: skip
        finally:
            echo.kill()
    document = orjson.loads(path.read_bytes())
    assert result.exit_code == 1
    assert document["result"]["decided"] == document["result"]["sent"] == 900, "it gets there while they wait"
    assert any("of 300 requests per second" in failure for failure in document["failures"])
    waiting = [row["outstanding"] for row in document["intervals"]]
    assert waiting == sorted(waiting), "the backlog grows"
    assert waiting[-1] > 300
    assert "failed" in result.stdout
