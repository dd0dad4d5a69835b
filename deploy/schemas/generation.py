"""A JSON Schema (draft 2020-12) for every type and version in models.messages.

`x-direction` says whether the engine takes the message or writes it, `x-topic` where: both are part of the contract.
Unknown fields are allowed everywhere, and descriptions are the docstrings and comments of the dataclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, get_args, get_type_hints

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from deploy.schemas import comments, values
from models import messages
from topics.codec import TOPIC_OF_OUTBOUND, TOPIC_OF_TYPE

Schema = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Direction(StrEnum):
    """As the engine sees it."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


INBOUND: Final[tuple[type, ...]] = get_args(messages.Inbound)
OUTBOUND: Final[tuple[type, ...]] = get_args(messages.Outbound)


def schemas() -> dict[str, Schema]:
    """`TYPE.vVERSION` -> schema, in the order of models.messages."""
    return {
        f"{type_of(message)}.v{version}": schema_of(message, version)
        for message in INBOUND + OUTBOUND
        for version in versions_of(message)
    }


def schema_of(message: type, version: int) -> Schema:
    """The schema of one version of a message."""
    raw = TypeAdapter(message).json_schema(schema_generator=_Generator)
    parts = {part.__name__: part for part in parts_of(message)}
    fields = _described(message, raw["properties"])
    fields["version"] = {"const": version, "type": "integer"}
    schema = {
        "$schema": DIALECT,
        "title": type_of(message),
        "description": comments.docstring(message),
        "x-direction": str(Direction.INBOUND if message in INBOUND else Direction.OUTBOUND),
        "x-topic": topic_of(message),
        "type": "object",
        "properties": fields,
        "required": raw["required"],
    }
    definitions = {
        name: part | {"properties": _described(parts[name], part["properties"])}
        for name, part in raw.get("$defs", {}).items()
    }
    return schema | {"$defs": definitions} if definitions else schema


def type_of(message: type) -> str:
    """Its name on the wire."""
    name: str = get_args(get_type_hints(message)["type"])[0]
    return name


def versions_of(message: type) -> tuple[int, ...]:
    """The versions that a dataclass stands for."""
    return get_args(get_type_hints(message)["version"])


def topic_of(message: type) -> str:
    """Where it is read or written."""
    return TOPIC_OF_OUTBOUND[message] if message in TOPIC_OF_OUTBOUND else TOPIC_OF_TYPE[type_of(message)]


def parts_of(message: type) -> list[type]:
    """The dataclasses nested in a message, each once, outer ones first."""
    found: dict[type, None] = {}
    for hint in get_type_hints(message).values():
        for part in _dataclasses_in(hint):
            found |= dict.fromkeys([part, *parts_of(part)])
    return list(found)


def _dataclasses_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    for inner in get_args(hint):
        yield from _dataclasses_in(inner)


def _described(owner: type, properties: Schema) -> Schema:
    """The fields of `owner` with what the source says about them."""
    said = comments.of_fields(owner)
    described = {}
    for name, content in properties.items():
        described[name] = (
            {"description": comments.MENTION.sub(r"\1", said[name])} | content if name in said else dict(content)
        )
        if (owner, name) in values.BY_FIELD:
            described[name]["x-known-values"] = [str(value) for value in values.BY_FIELD[owner, name]]
    return described


class _Generator(GenerateJsonSchema):
    """Pydantic's, without a title that repeats the name of each field, and with the defaults that a factory makes."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        factory: Any = schema.get("default_factory")
        return factory() if factory else super().get_default_value(schema)
