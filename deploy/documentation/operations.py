"""The tables that operators look things up in: settings and metrics."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from agents.metrics import WorkerMetrics
from agents.settings import Settings
from deploy.documentation.constraints import in_words
from deploy.documentation.markdown import code, table
from sinks.ledger.metrics import LedgerMetrics

_SUFFIX = {"counter": "_total"}
"""What Prometheus appends to a name of this kind."""


def settings() -> str:
    """Every setting with its variable, default, allowed values and meaning."""
    schema = Settings.model_json_schema()["properties"]
    return table(
        ("variable", "default", "may be", "meaning"),
        (
            (code(f"OTB_{name.upper()}"), _default(field.default), in_words(schema[name]), field.description or "")
            for name, field in Settings.model_fields.items()
        ),
    )


def metrics() -> str:
    """Every metric of the worker, then of the sink."""
    ledger = CollectorRegistry()
    LedgerMetrics(ledger)
    rows = [("worker", *row) for row in _metrics(WorkerMetrics().registry)]
    rows += [("sink", *row) for row in _metrics(ledger)]
    return table(("of", "name", "kind", "labels", "meaning"), rows)


def _metrics(registry: CollectorRegistry) -> list[tuple[str, str, str, str]]:
    collectors = dict.fromkeys(registry._names_to_collectors.values())  # the only place that knows the labels
    found = []
    for collector in collectors:
        for metric in collector.collect():
            labels = ", ".join(code(label) for label in getattr(collector, "_labelnames", ()))
            name = metric.name + _SUFFIX.get(metric.type, "")
            found.append((code(name), metric.type, labels, metric.documentation))
    return found


def _default(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, Path):
        return code(str(value).replace(str(Path.home()), "~", 1))
    return code(value)
