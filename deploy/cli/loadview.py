"""Watching a load test: a table that follows the run on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.cli.output import Reporter
from loadtest.runs.assembly import cpu_percent
from loadtest.runs.conduct import Moment

_LINE_SECONDS: Final = 5.0
_RATE_SECONDS: Final = 1.0


class LoadView(Reporter):
    """A `loadtest.runs.conduct.View` on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._screen = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._last_shown = 0.0
        self._rates = _Rates()
        self.title = ""

    def show(self, moment: Moment) -> None:
        """The run as it is now."""
        self._rates.follow(moment)
        if self._screen.is_terminal:
            if self._live is None:
                self._end_bar()
                self._live = Live(console=self._screen, transient=True, refresh_per_second=4)
                self._live.start()
            self._live.update(self._panel(moment))
        elif time.monotonic() - self._last_shown >= _LINE_SECONDS:
            self._last_shown = time.monotonic()
            self._screen.print("· " + ", ".join(f"{name} {value}" for name, value in self._facts(moment)))

    def end_run(self) -> None:
        """Take the table away; another run may follow."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._rates = _Rates()

    def close(self) -> None:
        """Leave the terminal clean."""
        self.end_run()
        super().close()

    def _panel(self, moment: Moment) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, value in self._facts(moment):
            table.add_row(Text(f"  {name}", style="dim"), value)
        bar = ProgressBar(total=moment.length, completed=min(moment.elapsed, moment.length), width=40)
        return Group(Text(f"  {self.title}"), bar, table)

    def _facts(self, moment: Moment) -> list[tuple[str, str]]:
        found = [
            ("time", f"{min(moment.elapsed, moment.length):.0f} of {moment.length:.0f} s"
                     f"{' (warm-up)' if moment.warming_up else ''}"),
            ("offered", f"{moment.offered:,.0f}/s"),
            ("sent", f"{moment.sent:,} ({self._rates.sent:,.0f}/s)"),
            ("decided", f"{moment.decided:,} ({self._rates.decided:,.0f}/s)"),
            ("outstanding", f"{moment.outstanding:,}"),
        ]  # fmt: skip
        if moment.p50_ms is not None and moment.p99_ms is not None:
            found.append(("p50 / p99", f"{moment.p50_ms:,.1f} / {moment.p99_ms:,.1f} ms"))
        return found + self._readings(moment)

    def _readings(self, moment: Moment) -> list[tuple[str, str]]:
        reading, before = moment.reading, moment.reading_before
        if reading is None:
            return []
        found = [] if reading.lag is None else [("lag", f"{reading.lag:,} records")]
        if reading.worker:
            percent = cpu_percent(before.worker if before else None, reading.worker)
            cpu = "" if percent is None else f"{percent:.0f} % of a core, "
            found.append(("worker", f"{cpu}{reading.worker.rss_bytes / 1e6:,.0f} MB"))
        return found


class _Rates:
    """Sends and decisions per second, over about the last second."""

    def __init__(self) -> None:
        self._earlier: list[Moment] = []
        self.sent = 0.0
        self.decided = 0.0

    def follow(self, moment: Moment) -> None:
        self._earlier.append(moment)
        while len(self._earlier) > 2 and self._earlier[1].elapsed <= moment.elapsed - _RATE_SECONDS:
            self._earlier.pop(0)
        first = self._earlier[0]
        seconds = moment.elapsed - first.elapsed
        if seconds > 0:
            self.sent = (moment.sent - first.sent) / seconds
            self.decided = (moment.decided - first.decided) / seconds
