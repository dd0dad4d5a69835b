"""docs/messages.md: the contract for people."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, get_args, get_origin, get_type_hints

from deploy.schemas import comments, generation, values
from deploy.schemas.markdown import bounds, sentence, table
from topics.declarations import ALL, DAY_MS, INPUTS, TopicSpec

_JSON_NAMES: Final[dict[Any, str]] = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
_NAMES: Final = {names.__name__: names for names in values.BY_FIELD.values()}


def messages_page() -> str:
    """docs/messages.md."""
    inbound, outbound = generation.INBOUND, generation.OUTBOUND
    nested = dict.fromkeys(part for message in inbound + outbound for part in generation.parts_of(message))
    sections = [
        "# Topics and messages",
        "Written by `python -m deploy.documentation`; do not edit by hand.",
        "Values are JSON objects. Amounts are integer minor units of `currency` (ISO 4217); times are milliseconds "
        "since the epoch, UTC. A field with a default may be left out, every other is required; unknown fields are "
        "ignored. A record that is not exactly a known message on its topic goes to `dead-letters`.\n\n"
        "Keys are account ids in UTF-8 (`clock` has none). A producer must pick the partition itself as Kafka's Java "
        "client does: `(murmur2(key) & 0x7fffffff) % partitions`.\n\n"
        "For machines: [asyncapi.json](asyncapi.json) (AsyncAPI 3), and a JSON Schema for each message. A change that "
        "breaks producers or consumers gets a new `version` (the rules are in `deploy/schemas/compatibility.py`).",
        "## Topics",
        table(("topic", "direction", "messages", "kept"), [_topic_row(topic) for topic in ALL]),
        "Consumers of outgoing topics must read committed (`isolation.level=read_committed`).",
        "## Messages that come in",
        *[_message_section(message) for message in inbound],
        "## Messages that go out",
        *[_message_section(message) for message in outbound],
        "## Parts of messages",
        *[_part_section(part) for part in nested],
        "## Names",
        "What stands in the fields that name something. New names may come without a new version: treat one that you "
        "don't know as something else that happened.",
        *[_names_section(names) for names in _NAMES.values()],
    ]
    return "\n\n".join(sections) + "\n"


def _topic_row(topic: TopicSpec) -> tuple[str, ...]:
    messages = generation.INBOUND + generation.OUTBOUND
    types = [generation.type_of(message) for message in messages if generation.topic_of(message) == topic.name]
    retention = int(topic.config["retention.ms"])
    kept = "for ever" if retention < 0 else f"{retention // DAY_MS} days"
    names = ", ".join(f"[`{kind}`](#{kind})" for kind in sorted(types))
    return f"`{topic.name}`", "in" if topic in INPUTS else "out", names, kept


def _message_section(message: type) -> str:
    kind = generation.type_of(message)
    links = [f"[version {number}](schemas/{kind}.v{number}.json)" for number in generation.versions_of(message)]
    return f"### {kind}\n\n{comments.docstring(message)}\n\nSchema: {', '.join(links)}.\n\n{_fields_table(message)}"


def _part_section(part: type) -> str:
    return f"### {part.__name__}\n\n{comments.docstring(part)}\n\n{_fields_table(part)}"


def _names_section(names: type[StrEnum]) -> str:
    meanings = comments.of_members(names)
    rows = [(f"`{name}`", meanings.get(name, "")) for name in names]
    parts = (f"### {names.__name__}", comments.docstring(names), table(("name", "meaning"), rows))
    return "\n\n".join(part for part in parts if part)


def _fields_table(owner: type) -> str:
    hints = get_type_hints(owner, include_extras=True)
    meanings = comments.of_fields(owner)
    rows = [
        (f"`{field.name}`", _type_name(hints[field.name]), _optional(field), _meaning(owner, field.name, meanings))
        for field in dataclasses.fields(owner)
    ]
    return table(("field", "JSON", "optional", "meaning"), rows)


def _optional(field: dataclasses.Field[Any]) -> str:
    """The default as JSON; empty for a required field."""
    if field.default_factory is not dataclasses.MISSING:
        return f"default `{json.dumps(field.default_factory())}`"
    return "" if field.default is dataclasses.MISSING else f"default `{json.dumps(field.default)}`"


def _meaning(owner: type, field: str, meanings: Mapping[str, str]) -> str:
    """The comment behind a field, with links to the names that stand in it."""
    text = comments.MENTION.sub(
        lambda mention: _link(mention[1]) if mention[1] in _NAMES else mention[0], meanings.get(field, "")
    )
    names = values.BY_FIELD.get((owner, field))
    return text if names is None or _link(names.__name__) in text else _link(names.__name__)


def _link(section: str) -> str:
    return f"[{section}](#{section.lower()})"


def _type_name(hint: Any) -> str:
    """A field's type for readers of JSON, with its bounds."""
    origin, parts = get_origin(hint), get_args(hint)
    if parts and hasattr(hint, "__metadata__"):
        constraints = [detail for field in hint.__metadata__ for detail in getattr(field, "metadata", ())]
        return sentence(_type_name(parts[0]), bounds(constraints))
    if hint in _JSON_NAMES:
        return _JSON_NAMES[hint]
    if origin is list:
        return f"array of {_type_name(parts[0])}"
    if all(isinstance(part, str | int) for part in parts) and parts:
        return " or ".join(f'`"{part}"`' if isinstance(part, str) else f"`{part}`" for part in parts)
    if parts:
        return " or ".join(_type_name(part) for part in parts)
    return _link(hint.__name__)
