"""Markdown tables, and pydantic's constraints in words, for the generated pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

_DETAILS: Final = (
    ("pattern", "matches"),
    ("min_length", "length ≥"),
    ("max_length", "length ≤"),
    ("ge", "≥"),
    ("le", "≤"),
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A head and its rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def bounds(constraints: Iterable[Any]) -> list[str]:
    """Pydantic's constraints in words."""
    found = []
    for constraint in constraints:
        for attribute, words in _DETAILS:
            limit = getattr(constraint, attribute, None)
            if limit is not None:
                found.append(f"{words} `{limit}`")
    return found


def sentence(text: str, bounds: Sequence[str]) -> str:
    """`text`, with its bounds in brackets."""
    return f"{text} ({', '.join(bounds)})" if bounds else text


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
