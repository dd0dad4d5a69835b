"""The one way to disagree with the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Disagreement(AssertionError):
    """The engine's reply is not the auditor's."""


def same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Disagreement(f"{what}: engine {found!r}, auditor {expected!r}")


@dataclass
class OneOf:
    """An expectation that leaves a choice to the engine; equal to each of its values."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return other in self.values

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Verdict:
    """What a reply must say, field by field. `changed`: the account remembers the message and its answer."""

    fields: dict[str, Any] = field(default_factory=dict)
    changed: bool = True


def nothing(outcome: str, **fields: Any) -> Verdict:
    """A refusal that leaves no trace on the account."""
    return Verdict({"outcome": outcome} | fields, changed=False)
