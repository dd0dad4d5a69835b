"""Writes the tables that would otherwise drift from the code: `python -m deploy.documentation`.

    README.md           settings, from agents/settings.py; metrics, from agents/metrics.py and sinks/ledger/metrics.py
    docs/messages.md    topics, from topics/declarations.py; messages, from models/messages.py

In README.md each table stands between `<!-- NAME -->` and `<!-- end -->`; everything outside is left alone.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo

from agents.metrics import WorkerMetrics
from agents.settings import Settings
from models import messages
from sinks.ledger.metrics import LedgerMetrics
from topics.codec import TYPES_BY_TOPIC
from topics.declarations import ALL, DAY_MS, INPUTS, TopicSpec

ROOT: Final = Path(__file__).parents[1]
_END: Final = "<!-- end -->"
_DETAILS: Final = (
    ("pattern", "matches"),
    ("min_length", "length ≥"),
    ("max_length", "length ≤"),
    ("ge", "≥"),
    ("le", "≤"),
)
_TOPICS_OF_REPLIES: Final = {
    "authorization-decision": "authorization-decisions",
    "reversal-acknowledgement": "authorization-decisions",
    "account-update": "account-updates",
    "journal-entry": "journal-entries",
    "dead-letter": "dead-letters",
}


class MarkerMissing(ValueError):
    """The document has no place for a generated table."""


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Path -> what should stand in it; raises MarkerMissing or OSError."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    text = replace_block(text, "settings", settings_table())
    text = replace_block(text, "metrics", metrics_table())
    return {readme: text, root / "docs" / "messages.md": messages_page()}


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
        (f"`OTB_{name.upper()}`", _default(field), _sentence(field.description or "", _bounds(field.metadata)))
        for name, field in Settings.model_fields.items()
    ]
    return _table(("variable", "default", "meaning"), rows)


def metrics_table() -> str:
    """A row per metric of the worker and the sink, as the code registers them."""
    registries = {"worker": WorkerMetrics().registry, "sink": LedgerMetrics(CollectorRegistry()).registry}
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
    return _table(("metric", "from", "kind", "labels", "meaning"), rows)


def messages_page() -> str:
    """docs/messages.md."""
    inbound, outbound = get_args(messages.Inbound), get_args(messages.Outbound)
    parts = [
        "# Topics and messages",
        "Written by `python -m deploy.documentation`; do not edit by hand.",
        "Values are JSON objects. Amounts are integer minor units of `currency` (ISO 4217); times are milliseconds "
        "since the epoch, UTC. Every field is required; unknown fields are ignored. A record that is not exactly a "
        "known message on its topic goes to `dead-letters`.\n\n"
        "Keys are account ids in UTF-8 (`clock` has none). A producer must pick the partition itself as Kafka's Java "
        "client does: `(murmur2(key) & 0x7fffffff) % partitions`.",
        "## Topics",
        _table(("topic", "direction", "messages", "kept"), [_topic_row(topic) for topic in ALL]),
        "Consumers of outgoing topics must read committed (`isolation.level=read_committed`).",
        "## Messages that come in",
        *[_message_section(message) for message in inbound],
        "## Messages that go out",
        *[_message_section(message) for message in outbound],
        "## Parts",
        _message_section(messages.Posting),
    ]
    return "\n\n".join(parts) + "\n"


def _topic_row(topic: TopicSpec) -> tuple[str, ...]:
    types = TYPES_BY_TOPIC.get(topic.name) or {kind for kind, name in _TOPICS_OF_REPLIES.items() if name == topic.name}
    retention = int(topic.config["retention.ms"])
    kept = "for ever" if retention < 0 else f"{retention // DAY_MS} days"
    names = ", ".join(f"[`{kind}`](#{kind})" for kind in sorted(types))
    return f"`{topic.name}`", "in" if topic in INPUTS else "out", names, kept


def _message_section(message: type) -> str:
    hints = get_type_hints(message, include_extras=True)
    comments = _comments(message)
    rows = [
        (f"`{field.name}`", _type_name(hints[field.name]), comments.get(field.name, ""))
        for field in dataclasses.fields(message)
    ]
    title = get_args(hints["type"])[0] if "type" in hints else message.__name__.lower()
    return f"### {title}\n\n{inspect.getdoc(message)}\n\n" + _table(("field", "JSON", "meaning"), rows)


def _comments(message: type) -> dict[str, str]:
    """Field -> the comment behind it in the source."""
    return dict(re.findall(r"^    (\w+): .*?  # (.+)$", inspect.getsource(message), re.MULTILINE))


def _type_name(hint: Any) -> str:
    """A field's type for readers of JSON, with its bounds."""
    origin, parts = get_origin(hint), get_args(hint)
    if parts and hasattr(hint, "__metadata__"):
        constraints = [detail for field in hint.__metadata__ for detail in field.metadata]
        return _sentence(_type_name(parts[0]), _bounds(constraints))
    if hint in _JSON_NAMES:
        return _JSON_NAMES[hint]
    if origin is list:
        return f"array of {_type_name(parts[0])}"
    if all(isinstance(part, str | int) for part in parts) and parts:
        return " or ".join(f'`"{part}"`' if isinstance(part, str) else f"`{part}`" for part in parts)
    if parts:
        return " or ".join(_type_name(part) for part in parts)
    return str(hint.__name__).lower()


_JSON_NAMES: Final[dict[Any, str]] = {str: "string", int: "integer", bool: "boolean", type(None): "null"}


def _bounds(constraints: Iterable[Any]) -> list[str]:
    """Pydantic's constraints in words."""
    found = []
    for constraint in constraints:
        for attribute, words in _DETAILS:
            limit = getattr(constraint, attribute, None)
            if limit is not None:
                found.append(f"{words} `{limit}`")
    return found


def _sentence(text: str, bounds: Sequence[str]) -> str:
    return f"{text} ({', '.join(bounds)})" if bounds else text


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


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def main() -> None:
    """Rewrite what is out of date and say so."""
    try:
        for path, text in documents().items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
                print(f"{path.relative_to(ROOT)} rewritten")
    except (MarkerMissing, OSError) as error:
        sys.exit(f"documentation: {error}")


if __name__ == "__main__":
    main()
