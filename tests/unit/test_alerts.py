"""The alerts ask for what the processes tell, and each says what to do about it in the runbook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

from agents.gateway.metrics import GatewayMetrics
from agents.metrics import WorkerMetrics
from deploy.documentation import _metrics
from sinks.ledger.metrics import LedgerMetrics

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
PARTS = ("Meaning", "Look", "Do", "Escalate")
each_alert = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def selectors(node: Any) -> Iterator[Any]:
    """Every vector selector of an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "args", "param", "vector_selector"):
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else [below]:
            if child is not None:
                yield from selectors(child)


def known_series() -> dict[str, set[str]]:
    """Series on the wire -> labels, as the three registries have them; what Prometheus adds itself."""
    registries = (
        WorkerMetrics().registry,
        LedgerMetrics(CollectorRegistry()).registry,
        GatewayMetrics(CollectorRegistry()).registry,
    )
    known = {"up": {"job", "instance"}}
    for name, metric, labels in (found for registry in registries for found in _metrics(registry)):
        names = [f"{name}_bucket", f"{name}_sum", f"{name}_count"] if metric.type == "histogram" else [name]
        known |= {series: {*labels, "job", "instance"} for series in names}
    return known


@each_alert
def test_an_alert_asks_for_series_and_labels_that_exist(rule: dict[str, Any]) -> None:
    known, found = known_series(), list(selectors(promql_parser.parse(rule["expr"])))
    assert found, "an alert on nothing"
    for selector in found:
        assert selector.name in known
        for matcher in selector.matchers.matchers:
            assert matcher.name in known[selector.name]
            if selector.name == "up":
                scraped = yaml.safe_load((ROOT / "deploy" / "dashboards" / "prometheus.yaml").read_text())
                assert matcher.value in {job["job_name"] for job in scraped["scrape_configs"]}


@each_alert
def test_an_alert_is_complete(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def sections() -> dict[str, str]:
    """Of the runbook's part about alerts."""
    part = RUNBOOK.split("\n## Alerts\n")[1].split("\n## ")[0]
    _before, *found = re.split(r"^### (\w+)\n", part, flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) >= 15
    assert list(sections()) == names


@each_alert
def test_a_section_says_what_it_means_how_to_look_what_to_do_and_when_to_escalate(rule: dict[str, Any]) -> None:
    text = sections()[rule["alert"]]
    places = [text.find(f"**{part}.**") for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)


def test_what_a_process_refuses_with_names_a_section_that_is_there() -> None:
    """`(docs/runbook.md, SECTION)` stands in lines for the operator."""
    named = {
        section
        for folder in ("agents", "deploy", "sinks", "tables", "topics")
        for path in (ROOT / folder).rglob("*.py")
        for section in re.findall(r"\(docs/runbook\.md, (\w+)\)", path.read_text())
    }
    assert named
    for section in named:
        assert re.search(rf"^###? {section}\b", RUNBOOK, flags=re.MULTILINE), section


def test_metrics_that_the_runbook_names_exist() -> None:
    told = "\n".join(line for line in RUNBOOK.splitlines() if not line.startswith("$ "))
    named = set(re.findall(r"\botb_\w+", told))
    assert len(named) > 15
    assert {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in named} <= {
        re.sub(r"_(bucket|sum|count)$", "", series) for series in known_series()
    }
