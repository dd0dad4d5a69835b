"""`otb loadtest`: mistakes are one line, files are checked before the run, comparisons are printed and written."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.app import build
from loadtest.runs import profile as profiles
from tests.support.loadruns import MS, played


def otb(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["loadtest", *arguments], env={"COLUMNS": "200"})


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OTB_KAFKA", raising=False)
    monkeypatch.delenv("OTB_POSTGRES_DSN", raising=False)
    monkeypatch.setenv("OTB_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("step", "--rates", "100,fast"), "--rates 100,fast: give numbers with commas between them"),
        (("step", "--rates", ","), "a step profile needs at least one rate"),
        (("step", "--rates", "100,-5"), "rate must be above 0, not -5"),
        (("steady", "--accounts", "2", "--processes", "3"), "3 processes need at least as many accounts, not 2"),
        (("find-max", "--p99", "40", "--lowest", "500", "--highest", "100"), "--lowest 500 is above --highest 100"),
        (("steady", "--json", "/nowhere/a.json"), "cannot write /nowhere/a.json: there is no folder /nowhere"),
        (("compare", "a.json", "b.json"), "a.json: No such file or directory"),
        (("html", "a.json", "b.html"), "a.json: No such file or directory"),
        (("steady",), "no running servers found: start `otb up`"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    result = otb(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"otb: {line}")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTB_KAFKA", "127.0.0.1:9")
    result = otb("steady")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("otb: no Kafka broker answers at 127.0.0.1:9")


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Two reports, the second one half as slow again; both of 2,000 requests."""
    found = []
    for name, scale in (("a", 2), ("b", 3)):
        report = played(
            profiles.steady(100, 20, 0), lambda at_ns, scale=scale: at_ns + scale * (5 + at_ns // MS % 7) * MS
        )
        path = tmp_path / f"{name}.json"
        path.write_bytes(orjson.dumps(report.as_json()))
        found.append(str(path))
    return found[0], found[1]


def test_a_comparison_for_people_and_for_programs(files: tuple[str, str], tmp_path: Path) -> None:
    result = otb("compare", *files)
    assert result.exit_code == 0
    assert "p99 latency" in result.stdout
    assert "worse" in result.stdout
    written = otb("compare", *files, "--json", "-")
    document = orjson.loads(written.stdout)
    p99 = next(line for line in document["lines"] if line["name"] == "p99 latency")
    assert p99["verdict"] == "worse"
    assert 40 < p99["change"]["low"] <= p99["change"]["percent"] <= p99["change"]["high"] < 60
    assert "p99 latency" in written.stderr, "people still see the table"
    to_file = tmp_path / "c.json"
    otb("compare", *files, "--json", str(to_file))
    assert orjson.loads(to_file.read_bytes()) == document, "equal seeds give equal numbers"


def test_a_surely_worse_p99_can_fail_a_build(files: tuple[str, str]) -> None:
    assert otb("compare", *files, "--worse-by", "20").exit_code == 1
    assert otb("compare", *files, "--worse-by", "90").exit_code == 0
    assert otb("compare", *reversed(files), "--worse-by", "0").exit_code == 0


def test_several_runs_of_a_kind(files: tuple[str, str]) -> None:
    document = orjson.loads(otb("compare", *files, "--more-a", files[0], "--more-b", files[1], "--json", "-").stdout)
    assert document["runs"] == [2, 2]
    assert not any("one run each" in note for note in document["notes"])


def test_a_page_is_made_from_a_report(files: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "a.html"
    assert otb("html", files[0], str(target)).exit_code == 0
    assert "Load test: steady, 100/s" in target.read_text(encoding="utf-8")
