"""An AsyncAPI 3 document of the engine: its topics, what it takes and writes on them, and the schemas of both.

It stands alone: the schemas are repeated in it, their definitions as components of their own. They use only what drafts
07 and 2020-12 of JSON Schema have in common, so that they are AsyncAPI Schema Objects as they are.
"""

from __future__ import annotations

from typing import Any, Final

from agents.settings import Settings
from deploy.schemas.generation import Schema
from topics.declarations import (
    ACCOUNT_EVENTS,
    ACCOUNT_UPDATES,
    ALL,
    AUTHORIZATION_DECISIONS,
    AUTHORIZATIONS,
    CLEARINGS,
    CLOCK,
    DEAD_LETTERS,
    INPUTS,
    OUTPUTS,
    PAYMENTS,
    TopicSpec,
)

Document = dict[str, Any]
VERSION: Final = "3.0.0"
BINDING: Final = {"bindingVersion": "0.5.0"}
CONTENT_TYPE: Final = "application/json"
_DEFINITION: Final = "#/$defs/"
_REPLIES: Final = {
    AUTHORIZATIONS.name: AUTHORIZATION_DECISIONS,
    CLEARINGS.name: ACCOUNT_UPDATES,
    PAYMENTS.name: ACCOUNT_UPDATES,
    ACCOUNT_EVENTS.name: ACCOUNT_UPDATES,
}
_INTRODUCTION: Final = (
    "Operations are the engine's: it receives what comes in and sends what goes out. Amounts are integer minor units "
    "of `currency` (ISO 4217), times are milliseconds since the epoch, UTC. Unknown fields are ignored. A record that "
    "is not exactly a known message on its topic goes to `dead-letters`. Partitions and replicas are those of a fresh "
    "installation (`OTB_PARTITIONS`, `OTB_REPLICATION`); a producer picks the partition as Kafka's Java client does: "
    "`(murmur2(key) & 0x7fffffff) % partitions`. Consumers must read committed."
)
"""What holds for every message."""


def document(schemas: dict[str, Schema], project: Document) -> Document:
    """The document. `project` is the [project] table of pyproject.toml: version, description and license."""
    names = {spec.name: [name for name, schema in schemas.items() if schema["x-topic"] == spec.name] for spec in ALL}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": project["name"],
            "version": project["version"],
            "description": f"{project['description']}.\n\n{_INTRODUCTION}",
            "license": {"name": project["license"]},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"kafka": _server()},
        "channels": {spec.name: _channel(spec, names[spec.name]) for spec in ALL},
        "operations": _operations(names),
        "components": {
            "messages": {name: _message(name, schema) for name, schema in schemas.items()},
            "schemas": _components(schemas, names),
        },
    }


def _server() -> Document:
    return {
        "host": "{bootstrap}",
        "protocol": "kafka",
        "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "bootstrap servers (`OTB_KAFKA`)"}},
    }


def _channel(spec: TopicSpec, names: list[str]) -> Document:
    fields = Settings.model_fields
    configuration = {key: int(value) if _is_integer(value) else value for key, value in spec.config.items()}
    return {
        "address": spec.name,
        "description": "Keyed by account id." if spec is not CLOCK else "One record for each partition, without a key.",
        "messages": {name: _reference("components", "messages", name) for name in names},
        "bindings": {
            "kafka": {
                "partitions": fields["partitions"].default,
                "replicas": fields["replication"].default,
                "topicConfiguration": configuration,
                **BINDING,
            }
        },
    }


def _operations(names: dict[str, list[str]]) -> Document:
    """The clock is the one topic that the engine both writes and reads."""
    actions = [("receive", spec) for spec in INPUTS] + [("send", spec) for spec in (CLOCK, *OUTPUTS)]
    operations: Document = {}
    for action, spec in actions:
        operation = {"action": action, **_exchange(spec, names[spec.name])}
        if spec.name in _REPLIES:
            reply = _REPLIES[spec.name]
            operation["reply"] = _exchange(reply, names[reply.name])
        operations[f"{action}-{spec.name}"] = operation
    return operations


def _exchange(spec: TopicSpec, names: list[str]) -> Document:
    """A topic and which of its messages are meant."""
    return {
        "channel": _reference("channels", spec.name),
        "messages": [_reference("channels", spec.name, "messages", name) for name in names],
    }


def _message(name: str, schema: Schema) -> Document:
    message = {
        "name": schema["title"],
        "title": name.replace(".v", " version "),
        "summary": schema["description"].partition("\n\n")[0].replace("\n", " "),
        "contentType": CONTENT_TYPE,
        "payload": _reference("components", "schemas", name),
        "bindings": {"kafka": {**_key(schema), **BINDING}},
    }
    identity = next((field for field in ("message_id", "network_reference") if field in schema["properties"]), None)
    if identity is not None:
        message["correlationId"] = {
            "location": f"$message.payload#/{identity}",
            "description": "Its identity: a repeat and the reply carry the same.",
        }
    return message


def _key(schema: Schema) -> Document:
    """What the record's key is: the account id, or for a dead letter whatever key the record had."""
    if schema["x-topic"] == DEAD_LETTERS.name:
        return {"key": {"description": "The key of the record that it keeps, if it had one."}}
    account = schema["properties"].get("account_id")
    return {"key": {**account, "description": "The account id, in UTF-8."}} if account else {}


def _components(schemas: dict[str, Schema], names: dict[str, list[str]]) -> Document:
    """A schema for each message, one for each nested definition, and one for each topic: any of its messages."""
    components: Document = {}
    for name, schema in schemas.items():
        body = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
        definitions = {f"{name}.{part}": content for part, content in schema.get("$defs", {}).items()}
        components |= {key: _relocated(content, name) for key, content in ({name: body} | definitions).items()}
    for topic, members in names.items():
        components[topic] = {
            "description": f"What may stand in a record of `{topic}`.",
            "oneOf": [_reference("components", "schemas", name) for name in members],
        }
    return components


def _relocated(node: Any, name: str) -> Any:
    """`node` with its references to definitions of message `name` leading to their components."""
    if isinstance(node, list):
        return [_relocated(item, name) for item in node]
    if not isinstance(node, dict):
        return node
    if str(node.get("$ref", "")).startswith(_DEFINITION):
        return _reference("components", "schemas", f"{name}.{node['$ref'].removeprefix(_DEFINITION)}")
    return {key: _relocated(value, name) for key, value in node.items()}


def _reference(*path: str) -> Document:
    return {"$ref": "#/" + "/".join(path)}


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdigit()
