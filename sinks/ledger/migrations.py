"""Brings the schema up to date: numbered SQL files, applied once, in order, each in a transaction of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Final

from sinks.ledger.database import Connection
from sinks.ledger.errors import MigrationError

STATEMENT_TIMEOUT_S: Final = 3600.0  # a migration may rewrite a large table
ADVISORY_LOCK: Final = 0x0B_7B_1E_D6_E2  # any constant: one sink migrates, the others wait

_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_CREATE_REGISTER: Final = """
CREATE TABLE IF NOT EXISTS public.schema_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `version` is its number, `checksum` the SHA-256 of its text in hexadecimal."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


def load() -> list[Migration]:
    """The migrations this code knows, in order; raises MigrationError for a gap or a misnamed file."""
    folder = files("sinks.ledger") / "migrations"
    sources = {item.name: item.read_text(encoding="utf-8") for item in folder.iterdir() if item.name.endswith(".sql")}
    return ordered(sources)


def ordered(sources: dict[str, str]) -> list[Migration]:
    """File names and texts as migrations 1, 2, 3 ...; raises MigrationError."""
    migrations = []
    for expected, name in enumerate(sorted(sources), start=1):
        match = _FILE_NAME.fullmatch(name)
        if match is None or int(match[1]) != expected:
            raise MigrationError(f"migration {name}: expected a name beginning with {expected:04d}_")
        migrations.append(Migration(expected, name, sources[name]))
    return migrations


async def migrate(connection: Connection, migrations: list[Migration]) -> list[str]:
    """Applies what is missing and returns its names; raises MigrationError and leaves the database as it was."""
    await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
    try:
        await connection.execute(_CREATE_REGISTER)
        rows = await connection.fetch("SELECT version, name, checksum FROM public.schema_migrations ORDER BY version")
        missing = pending(migrations, {row["version"]: (row["name"], row["checksum"]) for row in rows})
        for migration in missing:
            await _apply(connection, migration)
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)
    return [migration.name for migration in missing]


def pending(migrations: list[Migration], applied: dict[int, tuple[str, str]]) -> list[Migration]:
    """The migrations not yet applied, given version -> (name, checksum) of those that are; raises MigrationError."""
    newest = max(applied, default=0)
    if newest > len(migrations):
        name = applied[newest][0]
        raise MigrationError(f"the database has migration {name}, newer than this program: upgrade the program")
    for migration in migrations[:newest]:
        if migration.version not in applied:
            raise MigrationError(f"migration {migration.name} was never applied, but a later one was")
        if applied[migration.version][1] != migration.checksum:
            raise MigrationError(f"migration {migration.name} was changed after it had been applied to this database")
    return migrations[newest:]


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql, timeout=STATEMENT_TIMEOUT_S)
        await connection.execute(
            "INSERT INTO public.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            migration.version, migration.name, migration.checksum,
        )  # fmt: skip
