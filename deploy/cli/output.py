"""Where output goes: results to stdout, everything else to stderr."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_LINE_SECONDS: Final = 5.0


def print_json(result: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.stdout.flush()


def results() -> Console:
    """The console for results meant for people (stdout)."""
    return Console(highlight=False)


class Reporter:
    """Progress on stderr: lines as things happen, and a bar on a terminal (a line every few seconds elsewhere)."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._counting = ""
        self._task = TaskID(0)
        self._last_line = 0.0

    def say(self, text: str) -> None:
        """Something happened."""
        self._end_bar()
        self._console.print(f"[dim]·[/dim] {text}")

    def count(self, what: str, done: int, total: int) -> None:
        """`done` of `total` of `what`; call it as often as you like."""
        if self._console.is_terminal:
            self._show_bar(what, done, total)
        elif time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"· {what}: {done:,} of {total:,}")

    def close(self) -> None:
        """Leave the terminal clean."""
        self._end_bar()

    def _show_bar(self, what: str, done: int, total: int) -> None:
        if self._bar is None or self._counting != what:
            self._end_bar()
            columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._console, transient=True, refresh_per_second=4)
            self._bar.start()
            self._counting = what
            self._task = self._bar.add_task(what, total=total)
        self._bar.update(self._task, completed=done, total=total)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
