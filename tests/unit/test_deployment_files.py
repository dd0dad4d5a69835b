"""The files beside the code name what the code has: the compose file's broker settings, the dashboard's metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from agents.metrics import WorkerMetrics
from deploy.embedded.kafka import VERSION, Node, node_config
from deploy.embedded.postgres import SETTINGS
from sinks.ledger.metrics import LedgerMetrics

DEPLOY = Path(__file__).parents[2] / "deploy"


def _services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return services


def test_the_broker_in_a_container_is_set_up_like_the_embedded_one() -> None:
    node = Node(1, 9092, 9093)
    embedded = node_config(node, [node], Path("/var/lib/kafka/data"))
    environment = dict(_services()["kafka"]["environment"])
    environment.pop("KAFKA_HEAP_OPTS")
    assert environment == {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in embedded.items()}
    assert _services()["kafka"]["image"].endswith(f":{VERSION}")


def test_postgresql_in_a_container_is_told_what_the_embedded_one_is() -> None:
    words = [word for word in _services()["postgres"]["command"][1:] if word != "-c"]
    told = dict(word.split("=", 1) for word in words)
    assert {"max_wal_size", "checkpoint_timeout"} <= told.keys()
    assert told == {key: SETTINGS[key] for key in told}


def test_no_service_is_published_beyond_loopback() -> None:
    for name, service in _services().items():
        assert "ports" not in service, name
        said = json.dumps(service)
        assert "0.0.0.0" not in said, name  # noqa: S104 (looked for, not bound)
        assert "127.0.0.1" in said, name


def test_every_metric_on_the_dashboard_exists() -> None:
    sink = CollectorRegistry()
    LedgerMetrics(sink)
    known = {metric.name for registry in (WorkerMetrics().registry, sink) for metric in registry.collect()}
    dashboard = json.loads((DEPLOY / "dashboards" / "opentobuy.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"otb_\w+", target["expr"])
    }
    assert len(asked) >= 15
    assert {re.sub(r"_(bucket|total)$", "", name) for name in asked} <= known
