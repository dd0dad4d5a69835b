"""The report: docs/reliability.md, and the same table on the terminal."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Final

from rich.table import Table

from loadtest.machine import facts
from tests.chaos.campaign.faults import Fault, registry
from tests.chaos.campaign.result import Result, Trial
from tests.chaos.campaign.world import ROOT

COLUMNS: Final = (
    "fault", "tried", "lost", "needed help", "recovered after, p50 / max", "outage held, max", "decided meanwhile, min",
)  # fmt: skip
MOST_LINES: Final = 20
MOST_CHARACTERS: Final = 400
FOLDERS: Final = re.compile(r"(?<![\w/])/(?:[\w.@+-]+/)+")
TESTED: Final = ("agents", "deploy", "models", "sinks", "tables", "topics")
_HOW: Final = """\
- **The load**: {rate} messages a second over the real topics (requests, increments, advices, reversals, repeats,
  payments, presentments, refunds, disputes through all stages) to one worker, one in a hundred of them poison:
  undecodable, empty, without a value, or too large. It goes on during faults. What a wrong clock dates further ahead
  than is accepted is poison as well; this run: {from_the_future:,}.
- **Lost** is what the checker found wrong with the inputs that came in after a fault and before the next: a request
  without its one decision or with another than the auditor's, journal entries that are not in the auditor's books, a
  row in the changelog or a ledger in PostgreSQL that disagrees with them, poison or a refused dispute without
  its one dead letter.
- **Recovered after** counts, in seconds, from the fault until *every* partition has decided again, by a worker that was
  started or has taken over after it; for PostgreSQL and the sink, until the ledger grows again; for a slow reader,
  until it has caught up. It includes the outage where one was held on purpose, and on a machine this small the start
  of a Python process.
- **Decided meanwhile**: decisions made, of those asked for, while something was wrong that decisions do not depend on.
  Every partition must have decided something, and half at least of what was asked.
- **The reader** is a consumer of decisions and updates, committed records only, through the whole run. In the end it
  must have read every record once and in order; this run: {read:,}.
- **Needed help**: did not come back by itself within {patience:.0f} s, or ended again and again. The campaign then does
  what an operator would do: it deletes the local store and starts everything anew.
- Processes that end by themselves are started again after a second, as a service manager does it.
- {where}
"""
_ONE_BROKER: Final = (
    "Everything runs on one machine with one broker; [another page](reliability-brokers.md) is about several."
)
_SEVERAL_BROKERS: Final = """\
Everything runs on one machine with {brokers} brokers, {brokers} replicas of every topic, 2 of them in sync at least; a
  broker that is away stays away for the time in the last column. [Another page](reliability.md) is about everything
  else that can be hurt."""


def rows(result: Result, faults: Mapping[str, Fault]) -> list[tuple[str, ...]]:
    """A row for every fault that was tried, in the order of `faults`; columns as COLUMNS."""
    return [
        _row(name, trials, result)
        for name in faults
        if (trials := [trial for trial in result.trials if trial.fault == name])
    ]


def _row(name: str, trials: Sequence[Trial], result: Result) -> tuple[str, ...]:
    times = [trial.recovery_s for trial in trials if trial.recovery_s is not None]
    lost = Counter(result.trials[number].fault for number in result.lost_after)[name]
    helped = sum(trial.trouble is not None for trial in trials)
    held = max(trial.held_s for trial in trials)
    meanwhile = [trial.meanwhile for trial in trials if trial.meanwhile is not None]
    return (
        name,
        str(len(trials)),
        f"{lost:,} message{'s' if lost > 1 else ''}" if lost else "nothing",
        _times(helped) if helped else "no",
        f"{median(times):.1f} / {max(times):.1f} s" if times else "-",
        f"{held:.1f} s" if held else "-",
        f"{min(meanwhile):.0%}" if meanwhile else "-",
    )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def table(result: Result, faults: Mapping[str, Fault]) -> Table:
    """The rows for the terminal."""
    drawn = Table(title=verdict(result))
    for column in COLUMNS:
        drawn.add_column(column, overflow="fold")
    for row in rows(result, faults):
        drawn.add_row(*row)
    return drawn


def verdict(result: Result) -> str:
    """One line."""
    helped = sum(trial.trouble is not None for trial in result.trials)
    lost = f"{len(result.lost)} things are WRONG" if result.lost else "nothing lost"
    return (
        f"{len(result.trials)} faults, {result.messages:,} messages, {result.poison:,} poison: {lost}; "
        f"{f'{helped} needed HELP' if helped else 'all recovered by themselves'}"
    )


def commit() -> str:
    """The commit that was tested, and whether there were changes on top of it."""
    changed = _git("status", "--porcelain", "--", *TESTED)
    return f"{_git('rev-parse', '--short', 'HEAD') or 'unknown'}{' with changes on top' if changed else ''}"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def markdown(result: Result, faults: Mapping[str, Fault], command: str, patience_s: float) -> str:
    """docs/reliability.md, whole."""
    several = result.brokers > 1
    where = _SEVERAL_BROKERS.format(brokers=result.brokers) if several else _ONE_BROKER
    how = _HOW.format(
        rate=result.rate, patience=patience_s, where=where, read=result.read, from_the_future=result.from_the_future
    )
    parts = [
        f"# Reliability{f' with {result.brokers} brokers' if several else ''}",
        "What a campaign of faults did to the engine, and what it lost. This page is written by the run.",
        f"**{verdict(result)}.**",
        _run(result, command),
        "## Result",
        _markdown_table(COLUMNS, rows(result, faults)),
        *_left_out(result),
        "## Faults",
        "\n".join(f"- **{name}**: {fault.what}." for name, fault in registry(result.brokers).items()),
        *_troubles(result),
        "## How it is measured",
        how.rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def _run(result: Result, command: str) -> str:
    machine = facts()
    return "\n".join(
        [
            f"Run on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {commit()}, seed {result.seed}, "
            f"{result.load_s / 60:.1f} minutes of load, {result.entries:,} journal entries:",
            "",
            "```",
            command,
            "```",
            "",
            f"Machine: {machine['cores']} cores ({machine['processor']}), {machine['memory']}, {machine['system']}, "
            f"Python {machine['python']}.",
        ]
    )


def _left_out(result: Result) -> list[str]:
    """What the reader might think was tried."""
    tried = {trial.fault for trial in result.trials}
    missing = [name for name in registry(result.brokers) if name not in tried]
    return [f"Not tried in this run: {', '.join(missing)}."] if missing else []


def _troubles(result: Result) -> list[str]:
    """What did not go well, in full: people have to act on it."""
    told = [
        f"- {trial.fault} (seed {trial.seed}), {trial.started:.0f} s into the load: "
        f"{_one_line(f'{trial.note}: {trial.trouble}' if trial.note else trial.trouble)}"
        for trial in result.trials
        if trial.trouble
    ]
    wrong = [f"- {_one_line(lost.splitlines()[0])}" for lost in result.lost[:MOST_LINES]]
    if len(result.lost) > MOST_LINES:
        wrong.append(f"- and {len(result.lost) - MOST_LINES:,} more")
    found = []
    if told:
        found += ["## What needed help", "\n".join(told)]
    if wrong:
        found += ["## What is wrong", "\n".join(wrong)]
    return found


def _one_line(text: str) -> str:
    """Without line breaks, and without the folders of this machine in front of files."""
    return " ".join(FOLDERS.sub("", text).replace("|", "/").split())[:MOST_CHARACTERS]


def _markdown_table(columns: Sequence[str], found: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *found]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
