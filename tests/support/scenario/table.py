"""A story as a table: step, what was said, what was expected, what came; the last row is the one that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_TITLES: Final = ("step", "message", "expected", "got")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    expected: str
    got: str

    @property
    def holds(self) -> bool:
        return self.expected == self.got


@dataclass(frozen=True)
class Row:
    """One step of the story."""

    label: str
    lines: tuple[str, ...]  # its messages, as the file has them
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


def table(title: str, rows: list[Row]) -> str:
    """The rows under each other. A step that holds takes a line a message; one that does not, a line a difference."""
    cells = [_TITLES, *(cell for row in rows for cell in _cells(row))]
    widths = [max(len(cell[column]) for cell in cells) for column in range(3)]
    lines = ["  ".join([*(cell[i].ljust(widths[i]) for i in range(3)), cell[3]]).rstrip() for cell in cells]
    return "\n".join([title, *lines])


def _cells(row: Row) -> list[tuple[str, str, str, str]]:
    first, *others = row.lines
    more = [("", line, "", "") for line in others]
    if row.holds:
        return [(row.label, first, "all of it", "the same"), *more]
    wrong = [check for check in row.checks if not check.holds]
    differences = [("", "", f"{check.what} {check.expected}", f"{check.what} {check.got}") for check in wrong]
    return [(row.label, first, "", ""), *more, *differences]
