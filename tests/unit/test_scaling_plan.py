"""What `otb loadtest scaling` refuses, in one line and before anything is started, and in which order it plays."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.app import build
from loadtest.scaling.comparison import Plan, interleaved


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--accounts", "1000,many"), "--accounts 1000,many: give whole numbers with commas between them"),
        (
            ("--accounts", "2000,1000"),
            "--accounts: give different whole numbers above 0, from the lowest to the highest",
        ),
        (("--workers", "0,1"), "--workers: give different whole numbers above 0, from the lowest to the highest"),
        (("--accounts", "1000"), "one number of accounts, or of workers, has none to be compared with"),
        (("--accounts", "", "--workers", ""), "neither accounts nor workers: nothing to measure"),
        (("--workers", "1,5"), "5 workers for 4 partitions: some would have none"),
        (("--json", "/nowhere/a.json"), "cannot write /nowhere/a.json: there is no folder /nowhere"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTB_HOME", "/nowhere/that/could/be/written")
    result = CliRunner().invoke(build(), ["loadtest", "scaling", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"otb: {line}")
    assert len(result.stderr.splitlines()) == 1


def test_a_secured_cluster_of_the_settings_is_none_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTB_HOME", str(tmp_path))
    monkeypatch.setenv("OTB_KAFKA", "broker.example:9093")
    monkeypatch.setenv("OTB_KAFKA_SECURITY_PROTOCOL", "SSL")
    result = CliRunner().invoke(build(), ["loadtest", "scaling"])
    assert result.exit_code == 1
    assert result.stderr == "otb: its own broker speaks PLAINTEXT, OTB_KAFKA_SECURITY_PROTOCOL is SSL\n"


def test_every_part_is_played_in_every_round_and_each_comes_first_in_turn() -> None:
    played: list[tuple[int, int]] = []
    announced: list[int] = []
    interleaved(4, 3, lambda number, part: played.append((number, part)), announced.append)
    assert announced == [1, 2, 3, 4]
    assert [part for _number, part in played] == [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2]
    assert [number for number, _part in played] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3


def test_enough_requests_are_kept_for_those_who_ask_most() -> None:
    busy = Plan(accounts=(100, 1000), rate=100, seconds=8, warmup=2, workers=(1, 2), worker_accounts=10, backlog=40)
    assert busy.requests_each == 15
    assert Plan(accounts=(), worker_accounts=10, backlog=40).requests_each == 6
