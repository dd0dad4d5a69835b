"""The ledger in PostgreSQL: how far the sink is, and whether it says what the rows say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import asyncpg

from sinks.ledger import reports
from tests.support.auditor import same

PATIENCE_S: Final = 180
CONNECT_S: Final = 5


def posted(dsn: str) -> int | None:
    """Journal records that are in the ledger, counted in offsets; None when the server does not answer."""
    try:
        return asyncio.run(_posted(dsn))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None


async def _posted(dsn: str) -> int:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_S, command_timeout=CONNECT_S)
    try:
        return sum((await reports.applied_offsets(connection)).values())
    finally:
        await connection.close(timeout=CONNECT_S)


def check(dsn: str, figures: Mapping[str, tuple[int, int, int]], entries: int, meanwhile: Callable[[], None]) -> None:
    """Wait until all `entries` are in the ledger, calling `meanwhile` now and then; raises Disagreement when they do
    not come, when debits and credits differ, or when an account's row and its postings do."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := asyncio.run(_counted(dsn))) < entries and time.monotonic() < deadline:
        meanwhile()
        time.sleep(0.2)
    same("entries in the ledger", found, entries)
    asyncio.run(_compare(dsn, dict(figures)))


async def _counted(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return (await reports.counts(connection)).entries
    finally:
        await connection.close()


async def _compare(dsn: str, figures: dict[str, tuple[int, int, int]]) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        same("imbalance", (await reports.trial_balance(connection)).imbalance, {"USD": 0})
        same("gaps", await reports.sequence_gaps(connection), [])
        same("differences", reports.reconcile(figures, await reports.balances_by_account(connection)), [])
    finally:
        await connection.close()
