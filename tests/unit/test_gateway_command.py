"""`otb gateway`: a user's mistake is one line, and its page lists the metrics there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from agents.gateway.metrics import GatewayMetrics
from deploy.cli.app import build

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OTB_KAFKA", "OTB_POSTGRES_DSN", "OTB_GATEWAY_CARDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTB_HOME", str(tmp_path))


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cards.csv"
    path.write_text("pan,account_id,card_token\n9999990000000016,acct-1,card-1\n")
    monkeypatch.setenv("OTB_GATEWAY_CARDS", str(path))
    return path


def refused() -> str:
    """What `otb gateway` says on stderr when it does not start; nothing on stdout."""
    result = CliRunner().invoke(build(), ["gateway"])
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_without_a_card_file() -> None:
    assert refused().startswith("otb: OTB_GATEWAY_CARDS is not set")


def test_with_a_card_file_that_is_wrong(cards: Path) -> None:
    cards.write_text("pan,account_id,card_token\n9999990000000016,acct 1,card-1\n")
    assert refused() == f"otb: {cards}: line 2: account_id: not 1 to 64 of letters, digits, ._:-\n"


@pytest.mark.usefixtures("cards")
def test_without_servers() -> None:
    assert refused().startswith("otb: no running servers found")


@pytest.mark.usefixtures("cards", "impatient")
def test_with_a_kafka_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTB_KAFKA", "127.0.0.1:1")
    assert refused().startswith("otb: no Kafka broker answers at 127.0.0.1:1")


@pytest.mark.usefixtures("cards")
def test_with_a_setting_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTB_GATEWAY_LENGTH", "tape")
    assert refused().startswith("otb: OTB_GATEWAY_LENGTH=tape: input should be 'binary-2', 'binary-4' or 'ascii-4'")


def test_the_page_lists_every_metric() -> None:
    registry = CollectorRegistry()
    GatewayMetrics(registry)
    counters = {f"{each.name}_total" for each in registry.collect() if each.type == "counter"}
    others = {each.name for each in registry.collect() if each.type not in {"counter", "unknown"}}
    listed = set(re.findall(r"^\| `(otb_gateway_\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == counters | others
