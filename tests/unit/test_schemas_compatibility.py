"""Each kind of breaking change is caught and named; each kind of additive change passes. Over synthetic schemas."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.schemas import patterns, publication
from deploy.schemas.compatibility import breaking_changes
from deploy.schemas.generation import Schema, schemas
from deploy.schemas.publication import NotASchema

Change = Callable[[Schema], None]


def schema(direction: str) -> Schema:
    """One field of every kind that the contract uses."""
    return {
        "x-direction": direction,
        "x-topic": "orders",
        "type": "object",
        "properties": {
            "type": {"const": "order", "type": "string"},
            "reference": {"type": "string", "pattern": "^[A-Z]{4,8}$", "minLength": 4, "maxLength": 8},
            "amount": {"type": "integer", "minimum": 1, "maximum": 100},
            "kind": {"type": "string", "enum": ["sale", "refund"], "default": "sale"},
            "note": {"anyOf": [{"type": "string", "maxLength": 20}, {"type": "null"}], "default": None},
            "memo": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 1, "maxItems": 5},
        },
        "required": ["type", "reference", "amount", "memo", "lines"],
        "$defs": {
            "Line": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "minimum": 0},
                    "colour": {"type": "string", "default": "red"},
                    "gift": {"type": "boolean", "default": False},
                },
                "required": ["size"],
            }
        },
    }


def changes(direction: str, change: Change) -> list[str]:
    published = schema(direction)
    generated = copy.deepcopy(published)
    change(generated)
    assert json.dumps(generated) != json.dumps(published)
    return breaking_changes(published, generated)


def put(path: str, **content: Any) -> Change:
    """Set keywords of the field at `path`; None removes one."""

    def change(target: Schema) -> None:
        place = at(target, path)
        for name, value in content.items():
            if value is None:
                del place[name]
            else:
                place[name] = value

    return change


def replace(path: str, content: Schema) -> Change:
    """Another schema for the field at `path`, or a new field; not required."""

    def change(target: Schema) -> None:
        owner, _, name = path.rpartition(".")
        at(target, owner)["properties"][name] = content

    return change


def remove(path: str) -> Change:
    def change(target: Schema) -> None:
        owner, _, name = path.rpartition(".")
        place = at(target, owner)
        del place["properties"][name]
        place["required"] = [other for other in place["required"] if other != name]

    return change


def at(target: Schema, path: str) -> Schema:
    """The field at `path`; `Line.size` is in the nested definition, the empty path the message itself."""
    place = target
    for step in path.split(".") if path else []:
        place = target["$defs"][step] if step == "Line" else place["properties"][step]
    return place


NULLABLE_AMOUNT = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 100}, {"type": "null"}]}
ALL_REQUIRED = ["type", "reference", "amount", "memo", "lines", "kind"]

BREAKS_BOTH: dict[str, tuple[Change, str]] = {
    "required field removed": (remove("amount"), "field amount is gone"),
    "optional field removed": (remove("note"), "field note is gone"),
    "nested field removed": (remove("Line.colour"), "lines[]: field colour is gone"),
    "new required field": (
        lambda target: (
            replace("tip", {"type": "integer"})(target),
            put("", required=[*target["required"], "tip"])(target),
        )[0],
        "new field tip is required, older records lack it",
    ),
    "optional field becomes required": (
        put("", required=ALL_REQUIRED),
        "field kind could be left out, is now required",
    ),
    "nested field becomes required": (
        put("Line", required=["size", "colour"]),
        "lines[]: field colour could be left out, is now required",
    ),
    "another type": (replace("amount", {"type": "string"}), "amount: type was integer, is string"),
    "default changed": (put("kind", default="refund"), "kind: default was sale, is refund"),
    "default gone": (put("kind", default=None), "kind: default was sale, is absent"),
    "nested default changed": (put("Line.colour", default="blue"), "lines[].colour: default was red, is blue"),
    "default of a nullable field": (put("note", default=""), "note: default was null, is "),
    "default of another type that Python calls equal": (
        put("Line.gift", default=0),
        "lines[].gift: default was false, is 0",
    ),
    "pattern of the same length with other letters": (
        put("reference", pattern="^[a-z]{4,8}$"),
        "reference: pattern was ^[A-Z]{4,8}$, is ^[a-z]{4,8}$",
    ),
    "pattern that cannot be compared": (
        put("reference", pattern="^(AAAA|BBBB)$"),
        "reference: pattern was ^[A-Z]{4,8}$, is ^(AAAA|BBBB)$",
    ),
    "keyword that cannot be compared": (put("amount", multipleOf=5), "amount: multipleOf was absent, is 5"),
    "unknown fields of one type only": (
        put("Line", additionalProperties={"type": "string"}),
        'lines[]: additionalProperties was absent, is {"type": "string"}',
    ),
    "other topic": (put("", **{"x-topic": "returns"}), "x-topic was orders, is returns"),
    "fixed value changed": (put("type", const="purchase"), "type: "),
}

BREAKS_PRODUCERS: dict[str, tuple[Change, str]] = {
    "null no longer taken": (replace("memo", {"type": "string"}), "memo: type was string or null, is string"),
    "enum value removed": (put("kind", enum=["sale"]), "kind: no longer takes refund"),
    "free text becomes an enum": (put("Line.colour", enum=["red"]), "lines[].colour: took any value, takes only red"),
    "minimum raised": (put("amount", minimum=2), "amount: minimum was 1, is 2"),
    "maximum lowered": (put("amount", maximum=99), "amount: maximum was 100, is 99"),
    "maximum added": (put("Line.size", maximum=9), "lines[].size: maximum was absent, is 9"),
    "shorter text": (put("reference", maxLength=7), "reference: maxLength was 8, is 7"),
    "longer text demanded": (put("reference", minLength=5), "reference: minLength was 4, is 5"),
    "shorter text in a nullable field": (
        replace("note", {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}], "default": None}),
        "note: maxLength was 20, is 9",
    ),
    "fewer items": (put("lines", maxItems=4), "lines: maxItems was 5, is 4"),
    "more items demanded": (put("lines", minItems=2), "lines: minItems was 1, is 2"),
    "pattern with fewer letters": (put("reference", pattern="^[A-Y]{4,8}$"), "reference: pattern was"),
    "shorter pattern": (put("reference", pattern="^[A-Z]{4,7}$"), "reference: pattern was"),
    "pattern added": (put("Line.colour", pattern="^[a-z]+$"), "lines[].colour: pattern was absent, is ^[a-z]+$"),
    "unknown fields refused": (put("", additionalProperties=False), "unknown fields were tolerated, are refused"),
    "unknown nested fields refused": (put("Line", additionalProperties=False), "lines[]: unknown fields were"),
}
"""Inbound: what an old producer says would be refused."""

BREAKS_CONSUMERS: dict[str, tuple[Change, str]] = {
    "null added": (replace("amount", NULLABLE_AMOUNT), "amount: type was integer, is integer or null"),
    "integer becomes any number": (
        replace("amount", {"type": "number", "minimum": 1, "maximum": 100}),
        "amount: type was integer, is number",
    ),
    "field may be left out": (
        put("", required=["type", "reference", "memo", "lines"]),
        "field amount was always there, may now be left out",
    ),
    "nested field may be left out": (put("Line", required=[]), "lines[]: field size was always there"),
    "minimum lowered": (put("amount", minimum=0), "amount: minimum was 1, is 0"),
    "maximum raised": (put("amount", maximum=101), "amount: maximum was 100, is 101"),
    "maximum gone": (put("amount", maximum=None), "amount: maximum was 100, is absent"),
    "longer text": (put("reference", maxLength=9), "reference: maxLength was 8, is 9"),
    "more items": (put("lines", maxItems=6), "lines: maxItems was 5, is 6"),
    "pattern with more letters": (put("reference", pattern="^[A-Z0-9]{4,8}$"), "reference: pattern was"),
    "pattern gone": (put("reference", pattern=None), "reference: pattern was ^[A-Z]{4,8}$, is absent"),
    "fixed value becomes one of two": (
        replace("type", {"type": "string", "enum": ["order", "purchase"]}),
        "type: was always order",
    ),
}
"""Outbound: an old consumer would meet what it was promised not to meet."""

ADDS_TO_BOTH: dict[str, Change] = {
    "new field with a default": replace("tip", {"type": "integer", "default": 0}),
    "new nullable field": replace("tip", {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}),
    "new nested field with a default": replace("Line.weight", {"type": "integer", "default": 0}),
    "enum value added": put("kind", enum=["sale", "refund", "gift"]),
    "descriptions": put("amount", description="in cents", title="Amount"),
    "known names": put("kind", **{"x-known-values": ["sale", "refund", "gift"]}),
    "fields in another order": lambda target: target.update(properties=dict(reversed(target["properties"].items()))),
    "required in another order": put("", required=["lines", "memo", "amount", "reference", "type"]),
}
TOLERATES_MORE = {name: change for name, (change, _line) in BREAKS_CONSUMERS.items()}
"""Inbound: the engine takes more than before."""
PROMISES_MORE = {
    name: change for name, (change, _line) in BREAKS_PRODUCERS.items() if name != "unknown fields refused"
} | {"unknown fields excluded": put("", additionalProperties=False)}
"""Outbound: the engine writes less than it was allowed to."""


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
@pytest.mark.parametrize("kind", BREAKS_BOTH)
def test_breaks_in_either_direction(kind: str, direction: str) -> None:
    change, line = BREAKS_BOTH[kind]
    assert any(found.startswith(line) for found in changes(direction, change)), changes(direction, change)


@pytest.mark.parametrize("kind", BREAKS_PRODUCERS)
def test_breaks_inbound(kind: str) -> None:
    change, line = BREAKS_PRODUCERS[kind]
    assert [found[: len(line)] for found in changes("inbound", change)] == [line]


@pytest.mark.parametrize("kind", BREAKS_CONSUMERS)
def test_breaks_outbound(kind: str) -> None:
    change, line = BREAKS_CONSUMERS[kind]
    assert [found[: len(line)] for found in changes("outbound", change)] == [line]


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
@pytest.mark.parametrize("kind", ADDS_TO_BOTH)
def test_additions_pass_in_either_direction(kind: str, direction: str) -> None:
    assert changes(direction, ADDS_TO_BOTH[kind]) == []


@pytest.mark.parametrize("kind", TOLERATES_MORE)
def test_the_engine_may_tolerate_more(kind: str) -> None:
    assert changes("inbound", TOLERATES_MORE[kind]) == []


@pytest.mark.parametrize("kind", PROMISES_MORE)
def test_the_engine_may_promise_more(kind: str) -> None:
    assert changes("outbound", PROMISES_MORE[kind]) == []


def test_a_promise_of_no_other_fields_is_kept() -> None:
    published = schema("outbound") | {"additionalProperties": False}
    generated = copy.deepcopy(published)
    replace("tip", {"type": "integer", "default": 0})(generated)
    assert breaking_changes(published, generated) == ["new field tip, though no others were promised"]


def test_every_change_is_named_once() -> None:
    published, generated = schema("inbound"), schema("inbound")
    remove("note")(generated)
    put("amount", minimum=2, maximum=50)(generated)
    put("Line.size", minimum=1)(generated)
    put("memo", default="")(published)
    assert breaking_changes(published, generated) == [
        "amount: minimum was 1, is 2",
        "amount: maximum was 100, is 50",
        "field note is gone",
        "memo: default was , is absent",
        "lines[].size: minimum was 0, is 1",
    ]


def test_a_list_of_types_is_the_same_as_alternatives() -> None:
    published, generated = schema("inbound"), schema("inbound")
    replace("memo", {"type": ["null", "string"]})(generated)
    assert breaking_changes(published, generated) == breaking_changes(generated, published) == []
    replace("memo", {"type": ["null", "integer"]})(generated)
    assert breaking_changes(published, generated) == ["memo: type was string or null, is null or integer"]


def test_a_message_that_turns_round_is_another_message() -> None:
    assert "x-direction was inbound, is outbound" in breaking_changes(schema("inbound"), schema("outbound"))


@pytest.mark.parametrize("reference", ["#/$defs/Nobody", "other.json"])
def test_a_reference_to_nothing_is_an_error(reference: str) -> None:
    broken = schema("inbound")
    broken["properties"]["lines"]["items"] = {"$ref": reference}
    with pytest.raises(ValueError, match="leads nowhere"):
        breaking_changes(broken, schema("inbound"))


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("^[A-Z]{1,8}$", "^[A-Z]{4,8}$"),
        ("^[A-Z0-9]{4,8}$", "^[A-Z]{4,8}$"),
        ("^[A-Z]+$", "^[A-Z]{3}$"),
        ("^[A-Z]{2,}$", "^[A-M]{2}$"),
        ("^[A-Z]*$", "^[A-Z]?$"),
        ("^[^\\x00-\\x1f]+$", "^[^\\x00-\\x1f\\x7f]+$"),
        ("^(a|b)$", "^(a|b)$"),
    ],
)
def test_a_wider_pattern_covers_a_narrower_one_and_not_the_other_way_round(wide: str, narrow: str) -> None:
    assert patterns.covers(wide, narrow)
    assert wide == narrow or not patterns.covers(narrow, wide)


@pytest.mark.parametrize("pattern", ["^(a|b)$", "[A-Z]+", "^[A-Z]+", "^[A-Z]+[0-9]$", "^A$"])
def test_other_shapes_of_patterns_are_not_compared(pattern: str) -> None:
    assert not patterns.covers(pattern, "^[A-Z]{3}$")
    assert not patterns.covers("^[A-Z]{0,99}$", pattern)


def test_our_own_schemas_are_compatible_with_themselves_and_not_with_each_other() -> None:
    generated = schemas()
    for name, own in generated.items():
        assert breaking_changes(own, copy.deepcopy(own)) == [], name
    assert breaking_changes(generated["refund.v1"], generated["presentment.v1"]) != []


def test_refusals_name_the_type_and_the_change() -> None:
    old = {"order.v1": schema("inbound")}
    new = {"order.v1": schema("inbound")}
    remove("note")(new["order.v1"])
    assert publication.refusals(old, new) == ["order version 1: field note is gone: raise the version"]


def test_a_new_version_beside_the_old_one_is_no_break() -> None:
    raised = schema("inbound")
    remove("note")(raised)
    assert (
        publication.refusals({"order.v1": schema("inbound")}, {"order.v1": schema("inbound"), "order.v2": raised}) == []
    )


def test_an_inbound_version_may_not_vanish_and_an_outbound_one_stays_for_its_records() -> None:
    [line] = publication.refusals({"order.v1": schema("inbound")}, {"order.v2": schema("inbound")})
    assert line.startswith("order version 1: no longer taken")
    assert publication.refusals({"order.v1": schema("outbound")}, {"order.v2": schema("outbound")}) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"x-direction": "sideways"}'])
def test_a_file_that_is_no_schema_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "order.v1.json").write_text(text, encoding="utf-8")
    with pytest.raises(NotASchema, match=r"order\.v1\.json"):
        publication.published(tmp_path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    for name, content in schemas().items():
        (tmp_path / f"{name}.json").write_text(publication.text_of(content), encoding="utf-8")
    assert publication.published(tmp_path) == schemas()
