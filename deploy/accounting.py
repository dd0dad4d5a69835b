"""Questions to the ledger in PostgreSQL, and its reconciliation with the accounts table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import asyncpg

from agents.settings import Settings
from deploy import reading
from loadtest import clients
from sinks.ledger import reports
from sinks.ledger.database import Connection, Database
from sinks.ledger.errors import LedgerError, LedgerRefused
from sinks.ledger.reconciliation import Difference, TableRow
from tables import rows
from tables.rows import NewerRow, UnreadableRow
from topics.cluster import Cluster
from topics.declarations import JOURNAL_ENTRIES

PATIENCE_SECONDS: Final = 5.0
ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.5

T = TypeVar("T")


class NoLedger(LedgerError):
    """The database has no ledger schema: no sink has ever run on it."""


class SinkBehind(LedgerError):
    """The sink did not reach the end of the journal in time."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Accounts compared, every difference between table and ledger, and how large the rows are."""

    accounts: int
    differences: list[Difference]
    row_bytes: RowBytes


@dataclass(frozen=True, slots=True)
class RowBytes:
    """Sizes of the rows of all accounts as they are stored."""

    p50: int
    p90: int
    p99: int
    max: int

    @classmethod
    def of(cls, sizes: list[int]) -> RowBytes:
        """The sizes' percentiles by nearest rank; zeros when there is no row."""
        ranked = sorted(sizes) or [0]
        p50, p90, p99 = (ranked[-(-len(ranked) * percent // 100) - 1] for percent in (50, 90, 99))
        return cls(p50, p90, p99, ranked[-1])


def ask(dsn: str, question: Callable[[Connection], Awaitable[T]]) -> T:
    """The answer to one question; raises NoLedger, or LedgerError when PostgreSQL does not answer."""

    async def session() -> T:
        database = Database(dsn, patience_s=PATIENCE_SECONDS)
        try:
            return await database.run(question)
        finally:
            await database.close()

    try:
        return asyncio.run(session())
    except LedgerRefused as refused:
        if isinstance(refused.__cause__, asyncpg.UndefinedTableError):
            raise NoLedger("this database has no ledger yet: run `otb up` or `otb sink` first") from refused
        raise


def require(dsn: str) -> None:
    """Raise LedgerError unless PostgreSQL answers."""
    ask(dsn, _hello)


async def _hello(connection: Connection) -> None:
    await connection.execute("SELECT 1")


async def balance_and_counts(connection: Connection) -> tuple[reports.TrialBalance, reports.Counts]:
    """Both of the same moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await reports.trial_balance(connection), await reports.counts(connection)


def reconcile(
    settings: Settings, cluster: Cluster, dsn: str, *, patience: float, on_progress: Callable[[str], None]
) -> Reconciliation:
    """Compare the latest committed row of every account with the ledger.

    Waits until the sink has posted everything. An account that moves while it is looked at shows up as a difference
    that is gone at the next look, so differences are believed only when they are still there after several.
    Raises SinkBehind, NoLedger, Unreachable.
    """
    for attempt in range(1, ATTEMPTS + 1):
        on_progress("reading the accounts table")
        table, row_bytes = _table(cluster, settings)
        wait_for_sink(cluster, dsn, patience)
        on_progress(f"comparing {len(table):,} accounts with the ledger")
        balances = ask(dsn, reports.balances_by_account)
        differences = reports.reconcile(table, balances)
        if not differences or attempt == ATTEMPTS:
            break
        on_progress(f"{len(differences):,} differences: looking again")
        time.sleep(_PAUSE_SECONDS)
    return Reconciliation(len(table.keys() | balances.keys()), differences, row_bytes)


def wait_for_sink(cluster: Cluster, dsn: str, patience: float) -> None:
    """Return once the ledger holds every journal entry committed so far; raises SinkBehind."""
    topic = JOURNAL_ENTRIES.name
    client = clients.reader(cluster)
    try:
        partitions = clients.partitions_of(client, topic, cluster)
    finally:
        client.close()
    deadline = time.monotonic() + patience
    while True:
        # The ledger remembers where each partition was left, not whether more than markers follow: look.
        posted = ask(dsn, reports.applied_offsets)
        starts = clients.from_beginning(partitions) | posted
        if not reading.has_committed(cluster, topic, starts):
            return
        if time.monotonic() > deadline:
            raise SinkBehind(f"the ledger did not reach the end of {topic} within {patience:.0f} s: is a sink running?")
        time.sleep(_PAUSE_SECONDS)


def _table(cluster: Cluster, settings: Settings) -> tuple[dict[str, TableRow | None], RowBytes]:
    table: dict[str, TableRow | None] = {}
    sizes = []
    for account_id, row in reading.account_rows(cluster, settings):
        table[account_id] = _table_row(account_id, row)
        sizes.append(len(row))
    return table, RowBytes.of(sizes)


def _table_row(account_id: str, row: bytes) -> TableRow | None:
    """None for a row that is damaged; raises NewerRow."""
    try:
        account = rows.account(account_id, row)
    except NewerRow:
        raise
    except UnreadableRow:
        return None
    return TableRow(account.posted_balance, account.open_holds(), account.sequence)
