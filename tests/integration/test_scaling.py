"""`otb loadtest scaling` as a whole: a broker and workers of its own, few accounts, short rounds."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from agents.settings import Settings
from deploy.cli.app import build
from deploy.embedded.kafka import SHORT_LIVED


@pytest.fixture
def home(tmp_path: Path, kafka_jars: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001  (fetched)
    """A home of its own that shares the downloaded jars. Slices are small: a short backlog fills several."""
    (tmp_path / "cache").symlink_to(Settings().home.expanduser().absolute() / "cache")
    monkeypatch.setenv("OTB_HOME", str(tmp_path))
    monkeypatch.setenv("OTB_MAX_SLICE", "100")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", " ".join(SHORT_LIVED))
    return tmp_path


def test_accounts_and_workers_in_one_short_run(home: Path) -> None:
    result = CliRunner().invoke(
        build(),
        [
            "loadtest", "scaling", "--accounts", "40,400", "--rate", "100", "--seconds", "2", "--warmup", "0",
            "--backlog", "40000", "--worker-accounts", "200", "--openings", "0", "--rounds", "1",
            "--json", str(home / "a.json"), "--html", str(home / "a.html"),
        ],
    )  # fmt: skip
    assert (home / "a.json").exists(), result.output
    document = orjson.loads((home / "a.json").read_bytes())
    assert result.exit_code == (0 if document["passed"] else 1)

    for each in document["accounts"]:
        (played,) = each["rounds"]
        assert (played["sent"], played["unsent"], played["missing"]) == (200, 0, 0)
        assert played["outcomes"]["approved"] > 150, "rows and cards are those of the accounts"
        assert "declined:unknown-account" not in played["outcomes"]
        assert each["restore"]["rows"] == each["accounts"]
        assert played["store_mb"] > 0
    assert document["opening"] is None

    one, two = (each["rounds"][0]["workers"] for each in document["workers"])
    assert [each["partitions"] for each in one] == [4]
    assert [each["partitions"] for each in two] == [2, 2]
    assert all(each["decided"] > 0 and each["cpu_seconds"] > 0 for each in (*one, *two))
    assert "Decisions per second" in (home / "a.html").read_text(encoding="utf-8")
    assert not list((home / "runs").glob("2*")), "its folder is gone"
