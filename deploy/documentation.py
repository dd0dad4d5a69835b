"""Writes what would otherwise drift from the code: `python -m deploy.documentation`.

    README.md            settings, from agents/settings.py; metrics, from agents/metrics.py and sinks/ledger/metrics.py
    docs/messages.md     topics, from topics/declarations.py; messages, from models/messages.py; names, from the enums
    docs/schemas/*.json  a JSON Schema for every message and version (deploy/schemas/generation.py)
    docs/asyncapi.json   all of it for machines (deploy/schemas/asyncapi.py)

In README.md each table stands between `<!-- NAME -->` and `<!-- end -->`; everything outside is left alone. Nothing is
written when a published schema would change in a way that breaks others (deploy/schemas/compatibility.py).
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo

from agents.gateway.metrics import GatewayMetrics
from agents.metrics import WorkerMetrics
from agents.settings import Settings
from deploy.schemas import asyncapi, generation, page, publication
from deploy.schemas.markdown import bounds, sentence, table
from sinks.ledger.metrics import LedgerMetrics

ROOT: Final = Path(__file__).parents[1]
_END: Final = "<!-- end -->"


class MarkerMissing(ValueError):
    """The document has no place for a generated table."""


class Breaking(ValueError):
    """A published schema would change in a way that breaks others; a line for each change."""


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Path -> what should stand in it; raises MarkerMissing or OSError."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    text = replace_block(text, "settings", settings_table())
    text = replace_block(text, "metrics", metrics_table())
    docs, schemas = root / "docs", generation.schemas()
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pages = {
        readme: text,
        docs / "messages.md": page.messages_page(),
        docs / "asyncapi.json": publication.text_of(asyncapi.document(schemas, project)),
    }
    return pages | {docs / "schemas" / f"{name}.json": publication.text_of(schemas[name]) for name in schemas}


def write(root: Path = ROOT) -> list[Path]:
    """Rewrite what is out of date and return its paths; raises Breaking, NotASchema, MarkerMissing or OSError before
    anything is written."""
    pages = documents(root)
    refusals = publication.refusals(publication.published(root / "docs" / "schemas"), generation.schemas())
    if refusals:
        raise Breaking("\n".join(refusals))
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages[path], encoding="utf-8")
    return stale


def replace_block(text: str, name: str, block: str) -> str:
    """`text` with `block` between the markers of `name`; raises MarkerMissing."""
    start = f"<!-- {name} -->"
    before, found, rest = text.partition(start)
    _old, ended, after = rest.partition(_END)
    if not found or not ended:
        raise MarkerMissing(f"no {start} ... {_END}")
    return f"{before}{start}\n{block}\n{ended}{after}"


def settings_table() -> str:
    """A row per setting: variable, default, meaning with its bounds."""
    rows = [
        (f"`OTB_{name.upper()}`", _default(field), sentence(field.description or "", bounds(field.metadata)))
        for name, field in Settings.model_fields.items()
    ]
    return table(("variable", "default", "meaning"), rows)


def metrics_table() -> str:
    """A row per metric of worker, sink and gateway, as the code registers them."""
    registries = {
        "worker": WorkerMetrics().registry,
        "sink": LedgerMetrics(CollectorRegistry()).registry,
        "gateway": GatewayMetrics(CollectorRegistry()).registry,
    }
    rows = [
        (
            f"`{name}`",
            process,
            metric.type,
            ", ".join(labels),
            metric.documentation[0].lower() + metric.documentation[1:],
        )
        for process, registry in registries.items()
        for name, metric, labels in _metrics(registry)
    ]
    return table(("metric", "from", "kind", "labels", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is None:
        return "unset"
    if isinstance(default, Path):
        home = Path.home()
        default = Path("~") / default.relative_to(home) if default.is_relative_to(home) else default
    return f"`{default}`"


def _metrics(registry: CollectorRegistry) -> Iterable[tuple[str, Any, tuple[str, ...]]]:
    """(name on the wire, metric, labels), in the order of registration."""
    labels = {collector: tuple(getattr(collector, "_labelnames", ())) for collector in registry._collector_to_names}
    for collector, names in labels.items():
        for metric in collector.collect():
            yield metric.name + ("_total" if metric.type == "counter" else ""), metric, names


def main(root: Path = ROOT) -> None:
    """Rewrite what is out of date and say so."""
    try:
        for path in write(root):
            print(f"{path.relative_to(root)} rewritten")
    except (Breaking, publication.NotASchema, MarkerMissing, OSError) as error:
        sys.exit("\n".join(f"documentation: {line}" for line in str(error).splitlines()))


if __name__ == "__main__":
    main()
