"""Markdown: tables, and text that is replaced between two markers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class MissingMarker(ValueError):
    """A file has no place for a generated part, or more than one; the message names the marker."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; `|` in a cell is escaped."""
    lines = [_line(header), "|" + "---|" * len(header), *(_line(row) for row in rows)]
    return "\n".join(lines)


def code(text: object) -> str:
    """As code."""
    return f"`{text}`"


def replaced(document: str, part: str, content: str) -> str:
    """The document with `content` between `<!-- generated: PART -->` and `<!-- end of PART -->`; raises MissingMarker."""
    begin, end = f"<!-- generated: {part} -->", f"<!-- end of {part} -->"
    if document.count(begin) != 1 or document.count(end) != 1 or document.index(begin) > document.index(end):
        raise MissingMarker(f"expected one {begin} and after it one {end}")
    head, rest = document.split(begin)
    tail = rest.split(end)[1]
    return f"{head}{begin}\n{content}\n{end}{tail}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
