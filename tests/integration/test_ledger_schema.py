"""What PostgreSQL itself refuses, whoever asks: nobody can commit half a journal or change one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from models.journal import LedgerAccount
from sinks.ledger.errors import MigrationError
from sinks.ledger.migrations import load, migrate, ordered

ENTRY = "('a', {sequence}, now(), 0, 0, {lines}, 'USD', 'presentment-posted', 'r', decode(repeat('00', 16), 'hex'))"
ENTRY_COLUMNS = (
    "account_id, sequence, effective_at, source_offset, source_partition, posting_count, currency, entry_type, cause,"
    " digest"
)
LINE = "('a', {sequence}, {line}, {amount}, '{account}', '{currency}')"
LINE_COLUMNS = "account_id, sequence, line, amount, ledger_account, currency"


def insert_entry(sequence: int = 1, lines: int = 2) -> str:
    values = ENTRY.format(sequence=sequence, lines=lines)
    return f"INSERT INTO journal_entries ({ENTRY_COLUMNS}) VALUES {values}"  # noqa: S608


def insert_lines(*amounts: int, sequence: int = 1, first: int = 1, currency: str = "USD", account: str = "") -> str:
    accounts = [account or LedgerAccount.CARDHOLDER_RECEIVABLE, *[LedgerAccount.NETWORK_SETTLEMENT] * len(amounts)]
    values = ", ".join(
        LINE.format(sequence=sequence, line=first + i, amount=amount, account=accounts[i], currency=currency)
        for i, amount in enumerate(amounts)
    )
    return f"INSERT INTO postings ({LINE_COLUMNS}) VALUES {values}"  # noqa: S608


def together(*statements: str) -> str:
    """One statement that does all of them."""
    return "WITH " + ", ".join(f"s{i} AS ({statement})" for i, statement in enumerate(statements)) + " SELECT 1"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database)
    await migrate(connection, load())
    yield connection
    await connection.close()


async def entries(connection: Any) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM journal_entries"))


async def test_a_balanced_entry_is_accepted(connection: Any) -> None:
    await connection.execute(together(insert_entry(), insert_lines(100, -100)))
    await connection.execute(together(insert_lines(100, -40, -60, sequence=2), insert_entry(2, 3)))
    assert await entries(connection) == 2
    assert await connection.fetchval("SELECT count(*) FROM postings") == 5


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (insert_entry(), "a/1 has no postings"),
        (insert_lines(100, -100), "a/1 have no journal entry"),
        (together(insert_entry(), insert_lines(100, -99)), "does not balance: 2 of 2 .* sum 1"),
        (together(insert_entry(), insert_lines(100)), "does not balance: 1 of 2"),
        (together(insert_entry(), insert_lines(100, -60, -40)), "does not balance: 3 of 2"),
        (together(insert_entry(), insert_lines(100, -100, first=2)), "does not balance: 2 of 2 postings .last line 3"),
        (together(insert_entry(), insert_lines(100, -100, currency="EUR")), "currencies EUR to EUR"),
        (together(insert_entry(lines=1), insert_lines(100)), "posting_count"),
        (together(insert_entry(), insert_lines(0, 0)), "amount"),
        (together(insert_entry(0), insert_lines(100, -100, sequence=0)), "sequence"),
        (together(insert_entry(), insert_lines(100, -100, account="slush-fund")), "ledger_account_fkey"),
        (together(insert_entry(), insert_entry(2), insert_lines(100, -100)), "a/2 has no postings"),
        (
            together(insert_entry(), insert_lines(100, sequence=1), insert_lines(-100, sequence=2)),
            "1 of 2|no journal entry",
        ),
    ],
)
async def test_nothing_half_can_be_inserted(connection: Any, statement: str, message: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=message):
        await connection.execute(statement)
    assert await entries(connection) == 0
    assert await connection.fetchval("SELECT count(*) FROM postings") == 0


async def test_nothing_can_be_added_to_a_complete_entry(connection: Any) -> None:
    await connection.execute(together(insert_entry(), insert_lines(100, -100)))
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance: 4 of 2"):
        await connection.execute(insert_lines(5, -5, first=3))


async def test_a_temporary_table_cannot_stand_in(connection: Any) -> None:
    """A session that shadows the tables the checks look at gains nothing."""
    await connection.execute("CREATE TEMP TABLE postings AS SELECT 'a' AS account_id, 1::bigint AS sequence")
    with pytest.raises(asyncpg.CheckViolationError, match="no postings"):
        await connection.execute(insert_entry())


@pytest.mark.parametrize("replica", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE journal_entries SET cause = 'x'",
        "UPDATE postings SET amount = amount * 2",
        "UPDATE postings SET amount = 1 WHERE false",
        "DELETE FROM postings",
        "DELETE FROM journal_entries",
        "TRUNCATE postings",
        "TRUNCATE journal_entries CASCADE",
        insert_lines(7, -7) + " ON CONFLICT (account_id, sequence, line) DO UPDATE SET amount = 9",
        "MERGE INTO postings p USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    ],
)
async def test_the_journal_is_append_only(connection: Any, change: str, replica: bool) -> None:
    """Also for a session that plays replica to switch triggers off."""
    await connection.execute(together(insert_entry(), insert_lines(100, -100)))
    if replica:
        await connection.execute("SET session_replication_role = replica")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await connection.execute(change)
    assert await connection.fetchval("SELECT array_agg(amount ORDER BY line) FROM postings") == [100, -100]


async def test_an_account_in_use_stays_in_the_chart(connection: Any) -> None:
    await connection.execute(together(insert_entry(), insert_lines(100, -100)))
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute("DELETE FROM ledger_accounts")


async def test_the_chart_in_the_database_is_the_enum(connection: Any) -> None:
    rows = await connection.fetch("SELECT ledger_account FROM ledger_accounts")
    assert {row[0] for row in rows} == set(LedgerAccount)


async def test_migrating_twice_changes_nothing(connection: Any) -> None:
    assert await migrate(connection, load()) == []


async def test_sinks_that_start_together_migrate_once(database: str) -> None:
    connections = await asyncio.gather(*(asyncpg.connect(database) for _ in range(6)))
    applied = await asyncio.gather(*(migrate(connection, load()) for connection in connections))
    assert sorted(map(len, applied)) == [0] * 5 + [len(load())]
    await asyncio.gather(*(connection.close() for connection in connections))


async def test_a_failing_migration_leaves_nothing_behind(database: str) -> None:
    connection = await asyncpg.connect(database)
    broken = ordered({"0001_a.sql": "CREATE TABLE a ()", "0002_b.sql": "CREATE TABLE b (); SELECT 1 / 0"})
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(connection, broken)
    assert await connection.fetchval("SELECT to_regclass('a') IS NOT NULL AND to_regclass('b') IS NULL")
    mended = ordered({"0001_a.sql": "CREATE TABLE a ()", "0002_b.sql": "CREATE TABLE b ()"})
    assert await migrate(connection, mended) == ["0002_b.sql"]
    await connection.close()


async def test_changed_and_newer_migrations_are_refused(connection: Any) -> None:
    sources = {migration.name: migration.sql for migration in load()}
    first = min(sources)
    with pytest.raises(MigrationError, match=f"{first} was changed"):
        await migrate(connection, ordered({**sources, first: sources[first] + "\n"}))
    with pytest.raises(MigrationError, match="newer than this program"):
        await migrate(connection, ordered({first: sources[first]}))
