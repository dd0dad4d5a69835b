"""Which migrations run, and that SQL and code agree about the chart of accounts."""

from __future__ import annotations

import re

import pytest

from models.journal import LedgerAccount
from sinks.ledger.errors import MigrationError
from sinks.ledger.migrations import load, ordered, pending

SOURCES = {"0001_one.sql": "SELECT 1", "0002_two.sql": "SELECT 2"}


def applied(*names: str) -> dict[int, tuple[str, str]]:
    return {m.version: (m.name, m.checksum) for m in ordered(SOURCES) if m.name in names}


def test_the_repository_s_migrations_are_in_order() -> None:
    assert [migration.version for migration in load()] == list(range(1, len(load()) + 1))
    assert len(load()) >= 2


def test_the_chart_of_accounts_in_sql_is_the_enum() -> None:
    """Every migration may add accounts; none is taken away."""
    rows = [
        row
        for migration in load()
        for statement in re.findall(r"INSERT INTO public\.ledger_accounts[^;]+;", migration.sql)
        for row in re.findall(r"\('([a-z-]+)',", statement)
    ]
    assert sorted(rows) == sorted(LedgerAccount)


def test_only_the_missing_run() -> None:
    migrations = ordered(SOURCES)
    assert pending(migrations, {}) == migrations
    assert pending(migrations, applied("0001_one.sql")) == migrations[1:]
    assert pending(migrations, applied(*SOURCES)) == []


def test_a_changed_migration_is_an_error() -> None:
    with pytest.raises(MigrationError, match=r"0001_one\.sql was changed"):
        pending(ordered({**SOURCES, "0001_one.sql": "SELECT 3"}), applied("0001_one.sql"))


def test_a_newer_database_is_an_error() -> None:
    with pytest.raises(MigrationError, match=r"0002_two\.sql, newer than this program"):
        pending(ordered({"0001_one.sql": "SELECT 1"}), applied(*SOURCES))


def test_a_hole_in_the_register_is_an_error() -> None:
    with pytest.raises(MigrationError, match=r"0001_one\.sql was never applied"):
        pending(ordered(SOURCES), applied("0002_two.sql"))


@pytest.mark.parametrize("name", ["0003_three.sql", "two.sql", "0002-two.sql", "0001_again.sql"])
def test_a_misnamed_file_is_an_error(name: str) -> None:
    with pytest.raises(MigrationError, match="expected a name beginning with"):
        ordered({"0001_one.sql": "SELECT 1", name: "SELECT 2"})
