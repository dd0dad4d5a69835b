"""docs/recovery.md, and the same figures as lines for the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from loadtest.machine import facts
from tests.chaos.campaign.page import commit
from tests.chaos.recovery import failover, restore
from tests.chaos.recovery.failover import Failover
from tests.chaos.recovery.restore import Restore

_HOW: Final = """\
- **Failover**: two workers at {rate} messages a second. One kills itself (SIGKILL) between the records and the commit
  of a transaction; the clock runs until *every* partition has decided again, seen by a reader of committed decisions.
  Then every message is checked: one decision each, as the auditor says. The session timeout, after which the group
  gives a silent worker up, is {session} s of it; the next owner aborts at once what the dead one left open
  (`topics/transport/inheritance.py`), where the broker would take up to 20 s.
- **Cold restore**: the engine's own rows, written to the changelog in transactions as a worker does, in no order of
  their accounts. The clock runs from the start of a worker with an empty store until `ready`; afterwards the rows in
  its store are counted. The rate leaves out what a start takes without any rows.
- **Calibration**: the fixed piece of Python of `make bench`, the quickest of 200. A machine twice as fast halves it."""


@dataclass(slots=True)
class Figures:
    """What one run measured; `calibration_s`: the machine's, in seconds."""

    calibration_s: float
    failovers: list[Failover] = field(default_factory=list)
    restore: Restore | None = None

    @property
    def passed(self) -> bool:
        warm = [each for each in self.failovers if each.standby_replicas]
        return all(each.seconds <= failover.ALLOWED_S for each in warm) and (
            self.restore is None or self.restore.seconds <= restore.ALLOWED_S
        )


def failover_line(found: Failover) -> str:
    """One line."""
    standby = "with a warm standby" if found.standby_replicas else "without a standby"
    return (
        f"failover {standby}: {found.seconds:.1f} s, {found.partitions_moved} partitions; "
        f"session timeout {failover.SESSION_TIMEOUT_S} s, {failover.ALLOWED_S} s allowed with a standby"
    )


def restore_line(found: Restore) -> str:
    """One line."""
    return (
        f"cold restore of {found.rows:,} rows of {found.bytes_a_row:.0f} bytes: {found.seconds:.1f} s until ready, "
        f"{found.start_s:.1f} s of them a start without rows; {found.rows_a_second:,.0f} rows/s, "
        f"{found.processor_s:.1f} s of processor time for the rows; {restore.ALLOWED_S:.0f} s allowed"
    )


def calibration_line(found: Figures) -> str:
    """One line."""
    machine = facts()
    return (
        f"calibration {found.calibration_s * 1e6:.0f} µs; {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory']}, {machine['system']}, Python {machine['python']}"
    )


def markdown(found: Figures) -> str:
    """The page, whole."""
    lines = [*map(failover_line, found.failovers), *([restore_line(found.restore)] if found.restore else [])]
    how = _HOW.format(rate=failover.RATE, session=failover.SESSION_TIMEOUT_S)
    parts = [
        "# Recovery time",
        "How long nobody decides after a worker is gone. This page is written by the run: "
        "`python -m tests.chaos.recovery --page docs/recovery.md`.",
        f"Run on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {commit()}: "
        f"**{'all within what is allowed' if found.passed else 'NOT all within what is allowed'}**.",
        "\n".join(f"- {line}." for line in [*lines, calibration_line(found)]),
        "## How it is measured",
        how,
    ]
    return "\n\n".join(parts) + "\n"
