"""docs/schemas: `TYPE.vVERSION.json`, the contract as others have it, and what may not be written over it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.schemas.compatibility import breaking_changes
from deploy.schemas.generation import Direction, Schema


class NotASchema(ValueError):
    """A file among the published schemas is none."""


def text_of(document: Mapping[str, Any]) -> str:
    """As it stands in a file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def published(folder: Path) -> dict[str, Schema]:
    """`TYPE.vVERSION` -> what stands in the file of that name; raises NotASchema or OSError."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}


def refusals(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """Why `new` may not be published over `old`, a line for each breaking change.

    A version that is no longer generated: outbound its schema stays, for records of it stay on their topic; inbound its
    producers would be refused, so somebody has to say that there are none by deleting the file.
    """
    lines = []
    for name, schema in old.items():
        label = name.replace(".v", " version ")
        if name in new:
            changes = breaking_changes(schema, new[name])
            lines += [f"{label}: {change}: raise the version" for change in changes]
        elif schema["x-direction"] == Direction.INBOUND:
            lines.append(f"{label}: no longer taken: keep it, or delete {name}.json when nobody writes it any more")
    return lines


def _read(path: Path) -> Schema:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NotASchema(f"{path}: {error}") from None
    if not isinstance(schema, dict) or schema.get("x-direction") not in set(Direction):
        raise NotASchema(f"{path}: x-direction is missing: not a schema of ours")
    return schema
