"""Which changes of a message's schema break somebody who was right before.

Two schemas of the same type and version are compared in one direction:

    inbound     whatever the published schema takes, the generated one takes: old producers stay right
    outbound    whatever the engine may now write, the published schema takes: old consumers stay right

The writer is the old producer or the new engine, the reader the new engine or the old consumer; the reader may be more
tolerant than the writer needs, never less. So bounds, lengths and patterns may widen inbound and narrow outbound, and
`null` may come inbound and go outbound. Beyond that:

- **A field may not go**, in either direction. Inbound, unknown fields are tolerated, so nobody would be refused: but
  what the producer says would be silently ignored.
- **A field may come if it can be left out.** Inbound, old producers don't send it; outbound, the records that are
  already on the topic lack it, and they are read for as long as they are kept.
- **A default may not change**: who leaves the field out would suddenly say something else.
- **Names of an enum** may come inbound, and not go. Outbound they may come and go: consumers tolerate names they don't
  know. A field with a single fixed value (`const`) stays fixed outbound, for nobody reads it.
- **The topic and the direction** are part of the contract.
- What this module cannot compare (another keyword, a pattern of another shape) counts as breaking: raise the version.

Descriptions, titles and `x-known-values` may change freely.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from deploy.schemas import patterns
from deploy.schemas.generation import Direction, Schema

_ABSENT: Final = object()
_REFERENCE: Final = "#/$defs/"
_AT_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_AT_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_ANNOTATIONS: Final = frozenset({"$schema", "title", "description", "examples", "x-known-values"})
_COMPARED: Final = frozenset(
    {"type", "const", "enum", "pattern", "properties", "required", "additionalProperties", "items", "default"}
).union(_AT_LEAST, _AT_MOST)


@dataclass(frozen=True, slots=True)
class _Pair:
    """The same place in both schemas. `path` is empty for the message itself."""

    direction: Direction
    path: str
    old: Schema
    new: Schema

    @property
    def inbound(self) -> bool:
        return self.direction is Direction.INBOUND

    @property
    def writer(self) -> Schema:
        return self.old if self.inbound else self.new

    @property
    def reader(self) -> Schema:
        return self.new if self.inbound else self.old

    def field(self, name: str) -> _Pair:
        path = f"{self.path}.{name}" if self.path else name
        return _Pair(self.direction, path, self.old["properties"][name], self.new["properties"][name])

    def of(self, old: Schema, new: Schema, suffix: str = "") -> _Pair:
        return _Pair(self.direction, self.path + suffix, old, new)

    def moved(self, keyword: str) -> str:
        """The change of a keyword in words."""
        old, new = (_words(schema.get(keyword, _ABSENT)) for schema in (self.old, self.new))
        return self.line(f"{keyword} was {old}, is {new}")

    def line(self, what: str) -> str:
        return f"{self.path}: {what}" if self.path else what


def breaking_changes(published: Schema, generated: Schema) -> list[str]:
    """What in `generated` breaks those who rely on `published`, a line each; raises ValueError without x-direction."""
    direction = Direction(published.get("x-direction", "missing"))
    pair = _Pair(direction, "", _without_references(published), _without_references(generated))
    return list(dict.fromkeys(_changes(pair)))


def _changes(pair: _Pair) -> Iterator[str]:
    """Every shape the writer may use must have one with the reader that takes it."""
    readers = _shapes(pair.reader)
    for shape in _shapes(pair.writer):
        fitting = [reader for reader in readers if _takes_type(reader.get("type"), shape.get("type"))]
        if not fitting:
            yield pair.line(f"type was {_types(pair.old)}, is {_types(pair.new)}")
            continue
        sides = [(shape, reader) if pair.inbound else (reader, shape) for reader in fitting]
        found = [list(_changes_of_shape(pair.of(old, new))) for old, new in sides]
        if all(found):
            yield from found[0]


def _changes_of_shape(pair: _Pair) -> Iterator[str]:
    for compare in (_names, _bounds, _pattern, _items, _fields, _unknown_fields, _default, _others):
        yield from compare(pair)


def _names(pair: _Pair) -> Iterator[str]:
    """Enums and fixed values."""
    written, read = _allowed(pair.writer), _allowed(pair.reader)
    if read is None or (written is not None and all(value in read for value in written)):
        return
    if not pair.inbound:
        if len(read) == 1:
            yield pair.line(f"was always {_words(read[0])}")
    elif written is None:
        yield pair.line(f"took any value, takes only {', '.join(map(_words, read))}")
    else:
        gone = (_words(value) for value in written if value not in read)
        yield pair.line(f"no longer takes {', '.join(gone)}")


def _bounds(pair: _Pair) -> Iterator[str]:
    sides: tuple[tuple[tuple[str, ...], Callable[[Any, Any], bool]], ...] = (
        (_AT_LEAST, operator.ge),
        (_AT_MOST, operator.le),
    )
    for keywords, within in sides:
        for keyword in keywords:
            written, read = pair.writer.get(keyword), pair.reader.get(keyword)
            if read is not None and (written is None or not within(written, read)):
                yield pair.moved(keyword)


def _pattern(pair: _Pair) -> Iterator[str]:
    written, read = pair.writer.get("pattern"), pair.reader.get("pattern")
    if read is not None and (written is None or not patterns.covers(read, written)):
        yield pair.moved("pattern")


def _items(pair: _Pair) -> Iterator[str]:
    if "items" in pair.reader:
        yield from _changes(pair.of(pair.old.get("items", {}), pair.new.get("items", {}), "[]"))


def _fields(pair: _Pair) -> Iterator[str]:
    old, new = pair.old.get("properties", {}), pair.new.get("properties", {})
    was, now = set(pair.old.get("required", ())), set(pair.new.get("required", ()))
    for name in old:
        if name not in new:
            yield pair.line(f"field {name} is gone")
        elif name in was - now and not pair.inbound:
            yield pair.line(f"field {name} was always there, may now be left out")
        elif name in now - was:
            yield pair.line(f"field {name} could be left out, is now required")
        if name in new:
            yield from _changes(pair.field(name))
    for name in new:
        if name not in old and name in now:
            yield pair.line(f"new field {name} is required, older records lack it")


def _unknown_fields(pair: _Pair) -> Iterator[str]:
    written, read = (schema.get("additionalProperties", True) for schema in (pair.writer, pair.reader))
    if not isinstance(written, bool) or not isinstance(read, bool):
        if written != read:
            yield pair.moved("additionalProperties")
    elif pair.inbound:
        if written and not read:
            yield pair.line("unknown fields were tolerated, are refused")
    elif not read:
        extra = [name for name in pair.new.get("properties", {}) if name not in pair.old.get("properties", {})]
        yield from (pair.line(f"new field {name}, though no others were promised") for name in extra)


def _default(pair: _Pair) -> Iterator[str]:
    if "default" in pair.old and not _same(pair.old["default"], pair.new.get("default", _ABSENT)):
        yield pair.moved("default")


def _others(pair: _Pair) -> Iterator[str]:
    """Keywords that are not understood may not change; `x-topic` and `x-direction` are among them."""
    for keyword in sorted((pair.old.keys() | pair.new.keys()) - _COMPARED - _ANNOTATIONS):
        if not _same(pair.old.get(keyword, _ABSENT), pair.new.get(keyword, _ABSENT)):
            yield pair.moved(keyword)


def _without_references(schema: Schema) -> Schema:
    """Every `$ref` replaced by the definition it names; our messages are trees, so this ends."""
    definitions = schema.get("$defs", {})

    def resolved(node: Any, above: tuple[str, ...] = ()) -> Any:
        if isinstance(node, list):
            return [resolved(item, above) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str):
            name = reference.removeprefix(_REFERENCE)
            if name not in definitions or name in above:
                raise ValueError(f"$ref {reference} leads nowhere or to itself")
            node = definitions[name] | {key: value for key, value in node.items() if key != "$ref"}
            above = (*above, name)
        return {key: resolved(value, above) for key, value in node.items()}

    return {key: resolved(value) for key, value in schema.items() if key != "$defs"}


def _shapes(schema: Schema) -> list[Schema]:
    """The alternatives of a schema, each with one type at most."""
    if "anyOf" in schema:
        beside = {key: value for key, value in schema.items() if key != "anyOf"}
        return [shape for option in schema["anyOf"] for shape in _shapes(beside | option)]
    if isinstance(schema.get("type"), list):
        return [schema | {"type": name} for name in schema["type"]]
    return [schema]


def _takes_type(read: str | None, written: str | None) -> bool:
    return read is None or read == written or (read, written) == ("number", "integer")


def _types(schema: Schema) -> str:
    return " or ".join(dict.fromkeys(shape.get("type", "anything") for shape in _shapes(schema)))


def _allowed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: `true` is not `1`."""
    return type(one) is type(other) and bool(one == other)


def _words(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    return value if isinstance(value, str) else json.dumps(value)
