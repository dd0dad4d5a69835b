"""What a value may be, in words, from its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.documentation.markdown import code

Schema = Mapping[str, Any]


def in_words(schema: Schema) -> str:
    """A field's type with its bounds, such as "integer, 1 to 65,535"; raises KeyError for a shape it does not know."""
    if "const" in schema:
        return code(_literal(schema["const"]))
    if "enum" in schema:
        return " or ".join(code(_literal(value)) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(in_words(choice) for choice in schema["anyOf"])
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]  # type: ignore[no-any-return]
    kind: str = schema["type"]
    if kind == "array":
        return f"list of {in_words(schema['items'])}"
    bounds = _bounds(schema)
    return f"{_KINDS[kind]}, {bounds}" if bounds else _KINDS[kind]


_KINDS = {"string": "text", "integer": "integer", "boolean": "true or false", "null": "null"}


def _bounds(schema: Schema) -> str:
    return ", ".join(filter(None, (_range(schema), _length(schema), _pattern(schema))))


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    if low is not None:
        return f"{low:,} or more"
    return "" if high is None else f"{high:,} or less"


def _length(schema: Schema) -> str:
    low, high = schema.get("minLength"), schema.get("maxLength")
    return "" if low is None and high is None else f"{low or 0} to {high} characters"


def _pattern(schema: Schema) -> str:
    return code(schema["pattern"]) if "pattern" in schema else ""


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
