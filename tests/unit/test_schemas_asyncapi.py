"""docs/asyncapi.json keeps the rules of AsyncAPI 3.0 and says what the topics and the schemas say.

The rules are those of the specification that concern what we use: required sections and fields, nothing beyond the
fields an object may have, where a reference may lead, and the Kafka binding 0.5.0.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from agents.settings import Settings
from deploy.documentation import ROOT
from deploy.schemas import asyncapi, generation
from topics.declarations import ALL, CLOCK, INPUTS, OUTPUTS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCHEMAS = generation.schemas()
DOCUMENT = asyncapi.document(SCHEMAS, PROJECT)
COMPONENT_NAME = re.compile(r"^[A-Za-z0-9_.-]+$")
FIELDS = {  # object -> (required, optional), as far as we use them
    "root": ({"asyncapi", "info"}, {"id", "servers", "defaultContentType", "channels", "operations", "components"}),
    "info": ({"title", "version"}, {"description", "license", "contact", "tags", "externalDocs", "termsOfService"}),
    "server": ({"host", "protocol"}, {"pathname", "title", "summary", "description", "variables", "bindings", "tags"}),
    "variable": (set(), {"enum", "default", "description", "examples"}),
    "channel": (set(), {"address", "messages", "title", "summary", "description", "servers", "tags", "bindings"}),
    "operation": (
        {"action", "channel"},
        {"messages", "reply", "title", "summary", "description", "tags", "bindings", "traits", "security"},
    ),
    "reply": (set(), {"address", "channel", "messages"}),
    "message": (
        set(),
        {"headers", "payload", "correlationId", "contentType", "name", "title", "summary", "description", "bindings"},
    ),
    "correlation": ({"location"}, {"description"}),
    "channel binding": (set(), {"topic", "partitions", "replicas", "topicConfiguration", "bindingVersion"}),
    "message binding": (set(), {"key", "schemaIdLocation", "schemaIdPayloadEncoding", "bindingVersion"}),
}
SHARED_KEYWORDS = {
    "type", "const", "enum", "pattern", "properties", "required", "items", "anyOf", "oneOf", "default", "description",
    "title", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "$ref",
}  # fmt: skip
"""Of drafts 07 and 2020-12 alike; AsyncAPI allows `x-...` beside them."""


def faults(document: dict[str, Any]) -> list[str]:
    """What in the document breaks a rule, a line each."""
    return [*_shape(document), *_references(document), *_operations(document), *_payloads(document)]


def _shape(document: dict[str, Any]) -> Iterator[str]:
    yield from _object("root", "", document)
    if not re.fullmatch(r"3\.0\.\d+", str(document.get("asyncapi"))):
        yield "asyncapi: not version 3.0"
    yield from _object("info", "info", document.get("info", {}))
    for name, server in document["servers"].items():
        yield from _object("server", name, server)
        used = set(re.findall(r"\{(\w+)\}", server.get("host", "")))
        if used != server.get("variables", {}).keys():
            yield f"{name}: variables of the host are not those declared"
        for variable, content in server.get("variables", {}).items():
            yield from _object("variable", variable, content)
    for name, channel in document["channels"].items():
        yield from _object("channel", name, channel)
        yield from _binding("channel binding", name, channel)
    for name, operation in document["operations"].items():
        yield from _object("operation", name, operation)
        yield from _object("reply", f"{name}.reply", operation.get("reply", {}))
    for name, message in document["components"]["messages"].items():
        yield from _object("message", name, message)
        yield from _object("correlation", name, message.get("correlationId", {"location": ""}))
        yield from _binding("message binding", name, message)
    for section in document["components"].values():
        yield from (f"{name}: not a name of a component" for name in section if not COMPONENT_NAME.match(name))


def _object(kind: str, path: str, content: dict[str, Any]) -> Iterator[str]:
    required, optional = FIELDS[kind]
    yield from (f"{path}: {name} is missing" for name in required - content.keys())
    yield from (f"{path}: {name} is no field of a {kind}" for name in content.keys() - required - optional)


def _binding(kind: str, path: str, owner: dict[str, Any]) -> Iterator[str]:
    binding = owner.get("bindings", {}).get("kafka", {})
    yield from _object(kind, f"{path}.bindings", binding)
    if binding.get("bindingVersion") != "0.5.0":
        yield f"{path}: bindingVersion is not 0.5.0"
    for name in ("partitions", "replicas"):
        if name in binding and not (isinstance(binding[name], int) and binding[name] >= 1):
            yield f"{path}: {name} is no positive number"
    for name in ("retention.ms", "max.message.bytes"):
        value = binding.get("topicConfiguration", {}).get(name, 0)
        if not isinstance(value, int) or value < -1:
            yield f"{path}: {name} is no number"


def _references(document: dict[str, Any]) -> Iterator[str]:
    for path, reference in references(document):
        if resolve(document, reference) is None:
            yield f"{path}: {reference} leads nowhere"


def _operations(document: dict[str, Any]) -> Iterator[str]:
    """The messages of an operation and of its reply are references into the channel that it names."""
    for name, operation in document["operations"].items():
        if operation.get("action") not in ("send", "receive"):
            yield f"{name}: action is neither send nor receive"
        for exchange in (operation, operation.get("reply")):
            if exchange is None:
                continue
            channel = exchange.get("channel", {}).get("$ref", "")
            if not re.fullmatch(r"#/channels/[^/]+", channel):
                yield f"{name}: channel is no reference to a channel"
            if not all(message["$ref"].startswith(f"{channel}/messages/") for message in exchange["messages"]):
                yield f"{name}: a message of another channel"
    for name, channel in document["channels"].items():
        elsewhere = [m for m in channel["messages"].values() if not m["$ref"].startswith("#/components/messages/")]
        yield from (f"{name}: {message['$ref']} is no message" for message in elsewhere)


def _payloads(document: dict[str, Any]) -> Iterator[str]:
    """Schemas are AsyncAPI Schema Objects, and the correlation points at a field of the payload."""
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        unknown = {keyword for keyword in keywords(schema) if keyword not in SHARED_KEYWORDS}
        yield from (f"{name}: {keyword}" for keyword in sorted(unknown) if not keyword.startswith("x-"))
    for name, message in document["components"]["messages"].items():
        payload = resolve(document, message["payload"]["$ref"]) or {}
        location = message.get("correlationId", {}).get("location")
        if location is not None:
            field = location.removeprefix("$message.payload#/")
            if field not in payload.get("properties", {}):
                yield f"{name}: correlationId leads nowhere"


def references(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield path, node["$ref"]
        for key, value in node.items():
            yield from references(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from references(item, f"{path}/{index}")


def resolve(document: dict[str, Any], reference: str) -> Any:
    """What a reference within the document leads to, None for nothing."""
    place: Any = document
    if not reference.startswith("#/"):
        return None
    for step in reference[2:].split("/"):
        place = place.get(step) if isinstance(place, dict) else None
    return place


def keywords(schema: dict[str, Any]) -> Iterator[str]:
    for keyword, content in schema.items():
        yield keyword
        if keyword == "properties":
            for inner in content.values():
                yield from keywords(inner)
        elif keyword in ("anyOf", "oneOf"):
            for inner in content:
                yield from keywords(inner)
        elif keyword == "items":
            yield from keywords(content)


def test_the_document_keeps_the_rules() -> None:
    assert faults(DOCUMENT) == []


def _without(*path: str) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return document


def _with(value: Any, *path: str) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (_with("2.6.0", "asyncapi"), "not version 3.0"),
        (_without("info", "version"), "version is missing"),
        (_without("servers", "kafka", "protocol"), "protocol is missing"),
        (_without("servers", "kafka", "variables", "bootstrap"), "variables of the host"),
        (_with([], "channels", "clock", "publish"), "publish is no field of a channel"),
        (_with(0, "channels", "clock", "bindings", "kafka", "partitions"), "no positive number"),
        (_without("channels", "clock", "bindings", "kafka", "bindingVersion"), "bindingVersion"),
        (_with("7 days", "channels", "clock", "bindings", "kafka", "topicConfiguration", "retention.ms"), "no number"),
        (_without("operations", "receive-payments", "channel"), "channel is missing"),
        (_with("subscribe", "operations", "receive-payments", "action"), "neither send nor receive"),
        (
            _with({"$ref": "#/channels/clock"}, "operations", "receive-payments", "channel"),
            "message of another channel",
        ),
        (_without("components", "messages", "refund.v1"), "leads nowhere"),
        (_without("components", "schemas", "controls-set.v1.ListRule"), "leads nowhere"),
        (_with({}, "components", "schemas", "a name"), "not a name of a component"),
        (_with({"$defs": {}}, "components", "schemas", "journal-entry.v1"), "$defs"),
        (
            _with({"location": "$message.payload#/nothing"}, "components", "messages", "refund.v1", "correlationId"),
            "correlationId leads nowhere",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_rule_is_found(document: dict[str, Any], fault: str) -> None:
    assert any(fault in found for found in faults(document)), faults(document)


def test_info_is_that_of_the_project() -> None:
    info = DOCUMENT["info"]
    assert (info["title"], info["version"], info["license"]["name"]) == ("opentobuy", PROJECT["version"], "Apache-2.0")


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_a_channel_is_its_topic(spec: Any) -> None:
    channel = DOCUMENT["channels"][spec.name]
    binding = channel["bindings"]["kafka"]
    assert channel["address"] == spec.name
    assert {name: str(value) for name, value in binding["topicConfiguration"].items()} == spec.config
    assert binding["partitions"] == Settings.model_fields["partitions"].default
    assert set(channel["messages"]) == {name for name in SCHEMAS if SCHEMAS[name]["x-topic"] == spec.name} != set()


def test_operations_are_the_engines_and_the_clock_is_both() -> None:
    operations = {(operation["action"], operation["channel"]["$ref"]) for operation in DOCUMENT["operations"].values()}
    receives = {("receive", f"#/channels/{spec.name}") for spec in INPUTS}
    assert operations == receives | {("send", f"#/channels/{spec.name}") for spec in (CLOCK, *OUTPUTS)}


def test_whatever_comes_in_but_the_clock_is_replied_to() -> None:
    replied = {name for name, operation in DOCUMENT["operations"].items() if "reply" in operation}
    assert replied == {f"receive-{spec.name}" for spec in INPUTS if spec is not CLOCK}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_message_has_its_type_schema_and_key(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    payload = resolve(DOCUMENT, message["payload"]["$ref"])
    assert message["contentType"] == "application/json"
    assert message["name"] == payload["properties"]["type"]["const"]
    assert payload["required"] == SCHEMAS[name]["required"]
    key = message["bindings"]["kafka"].get("key")
    if "account_id" in payload["properties"]:
        assert key["type"] == "string"
        assert key.get("pattern") == payload["properties"]["account_id"].get("pattern")
    else:
        assert name in ("clock-tick.v1", "dead-letter.v1")


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_a_topic_has_a_schema_of_all_that_may_stand_in_it(spec: Any) -> None:
    options = DOCUMENT["components"]["schemas"][spec.name]["oneOf"]
    types = [resolve(DOCUMENT, option["$ref"])["properties"]["type"]["const"] for option in options]
    assert len(types) == len(set(types)) == len(DOCUMENT["channels"][spec.name]["messages"])
