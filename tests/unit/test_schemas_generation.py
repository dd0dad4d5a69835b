"""The JSON Schemas say what the dataclasses say: every type, every field, its bounds, default and meaning."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from enum import StrEnum
from typing import Annotated, Any, Literal, get_type_hints

import pytest
from pydantic import Field

from deploy.schemas import comments, generation, values
from deploy.schemas.generation import Direction
from models import messages
from topics.codec import TYPES_BY_TOPIC
from topics.declarations import ALL, OUTPUTS

SCHEMAS = generation.schemas()
EVERY = pytest.mark.parametrize("name", SCHEMAS)


@dataclasses.dataclass
class Twice:
    """A message whose second version is told apart by its number alone."""

    type: Literal["clock-tick"]
    version: Literal[1, 2]


@dataclasses.dataclass
class Inner:
    size: int


@dataclasses.dataclass
class Outer:
    inner: list[Inner] | None


@dataclasses.dataclass
class Whole:
    parts: Annotated[list[Outer], Field(max_length=2)]


class Colour(StrEnum):
    RED = "red"  # declined
    GREEN = "green"


def objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema, *schema.get("$defs", {}).values()]


def test_every_type_has_a_schema_and_a_topic() -> None:
    titles = {schema["title"] for schema in SCHEMAS.values()}
    declared = {kind for kinds in TYPES_BY_TOPIC.values() for kind in kinds}
    assert titles == declared | {generation.type_of(message) for message in generation.OUTBOUND}
    assert {schema["x-topic"] for schema in SCHEMAS.values()} == {spec.name for spec in ALL}


@EVERY
def test_direction_and_topic_agree(name: str) -> None:
    schema = SCHEMAS[name]
    outputs = {spec.name for spec in OUTPUTS}
    assert (schema["x-direction"] == Direction.OUTBOUND) == (schema["x-topic"] in outputs)


@EVERY
def test_type_and_version_are_fixed_and_in_the_name(name: str) -> None:
    fields = SCHEMAS[name]["properties"]
    assert name == f"{fields['type']['const']}.v{fields['version']['const']}"
    assert {"type", "version"} <= set(SCHEMAS[name]["required"])


@EVERY
def test_unknown_fields_are_tolerated_at_every_depth(name: str) -> None:
    assert all("additionalProperties" not in part for part in objects(SCHEMAS[name]))


@EVERY
def test_every_message_and_part_is_described(name: str) -> None:
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert all(part["description"] for part in objects(SCHEMAS[name]))


@pytest.mark.parametrize("message", generation.INBOUND + generation.OUTBOUND, ids=generation.type_of)
def test_what_has_a_default_may_be_left_out_and_nothing_else(message: type) -> None:
    schema = generation.schema_of(message, 1)
    required = []
    for field in dataclasses.fields(message):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is dataclasses.MISSING:
            required.append(field.name)
        else:
            assert schema["properties"][field.name]["default"] == default
    assert schema["required"] == required
    assert list(schema["properties"]) == [field.name for field in dataclasses.fields(message)]


def test_bounds_patterns_and_names_are_those_of_the_contract() -> None:
    fields = SCHEMAS["authorization-request.v1"]["properties"]
    assert fields["currency"]["pattern"] == "^[A-Z]{3}$"
    assert (fields["mcc"]["minimum"], fields["mcc"]["maximum"]) == (0, 9999)
    assert fields["kind"]["enum"] == ["purchase", "cash-advance", "quasi-cash", "account-verification", "refund"]
    assert {"type": "null"} in fields["stan"]["anyOf"]
    assert fields["stan"]["description"] == "system trace audit number"
    rules = SCHEMAS["controls-set.v1"]
    assert rules["properties"]["velocity"]["items"] == {"$ref": "#/$defs/VelocityRule"}
    assert rules["$defs"]["VelocityRule"]["properties"]["seconds"]["anyOf"][0]["maximum"] == 31 * 86_400


def test_each_version_of_a_dataclass_gets_a_schema_of_its_own() -> None:
    assert generation.versions_of(Twice) == (1, 2)
    consts = [generation.schema_of(Twice, version)["properties"]["version"] for version in (1, 2)]
    assert consts == [{"const": 1, "type": "integer"}, {"const": 2, "type": "integer"}]


def test_parts_are_found_at_any_depth() -> None:
    assert generation.parts_of(Whole) == [Outer, Inner]


def test_known_names_are_listed_but_others_are_not_refused() -> None:
    for (owner, field), names in values.BY_FIELD.items():
        holders = [schema for schema in SCHEMAS.values() if owner.__name__ in schema.get("$defs", {})]
        holders += [generation.schema_of(owner, 1)] if "type" in get_type_hints(owner) else []
        assert holders
        for holder in holders:
            part = holder.get("$defs", {}).get(owner.__name__, holder)
            content = part["properties"][field]
            assert content["x-known-values"] == [name.value for name in names]
            assert "enum" not in content


def test_every_enum_that_the_contract_mentions_is_listed() -> None:
    mentioned = re.findall(r"\b(models\.\w+)\.([A-Z]\w+)", inspect.getsource(messages))
    enums = {getattr(importlib.import_module(module), name) for module, name in mentioned}
    assert len(enums) >= 6
    assert {enum for enum in enums if issubclass(enum, StrEnum)} <= set(values.BY_FIELD.values())


def test_comments_are_read_from_the_source() -> None:
    assert comments.of_members(Colour) == {"red": "declined"}
    assert comments.docstring(Colour) == ""
    assert comments.of_fields(messages.FraudScored)["decided_at"] == "when the request was decided"
    assert "account_id" not in comments.of_fields(messages.FraudScored)
