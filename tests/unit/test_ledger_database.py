"""Which errors of PostgreSQL are worth another try."""

from __future__ import annotations

import asyncpg
import pytest

from sinks.ledger.database import Database, is_transient


def raised_while_handling(first: Exception, second: Exception) -> Exception:
    try:
        try:
            raise first
        except Exception:
            raise second  # noqa: B904  (as asyncpg's own rollback does)
    except Exception as error:
        return error


def test_a_rollback_that_fails_on_a_broken_session_does_not_hide_what_broke_it() -> None:
    broken = asyncpg.InternalClientError("cannot switch to state 21; another operation (2) is in progress")
    rollback = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
    again = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
    assert is_transient(raised_while_handling(raised_while_handling(broken, rollback), again))


@pytest.mark.parametrize("first", [ValueError("a bug"), asyncpg.UndefinedTableError("no such table")])
def test_a_rollback_that_fails_after_a_mistake_of_ours_is_not_tried_again(first: Exception) -> None:
    rollback = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
    assert not is_transient(raised_while_handling(first, rollback))


def test_two_statements_at_once_on_one_session_are_a_bug() -> None:
    assert not is_transient(asyncpg.InterfaceError("cannot perform operation: another operation is in progress"))


async def test_a_full_disk_is_tried_again_and_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """PostgreSQL's hint comes as a line of its own."""
    full = asyncpg.DiskFullError("could not extend file: No space left on device")
    full.hint = "Check free disk space."
    assert "\n" in str(full)
    failures: list[Exception] = [full]

    async def work(_connection: object) -> str:
        if failures:
            raise failures.pop()
        return "done"

    database = Database("postgresql://127.0.0.1:1/ledger", patience_s=30)
    database._session = _no_session  # type: ignore[method-assign]
    assert await database.run(work) == "done"
    (record,) = caplog.records
    assert record.getMessage().endswith("No space left on device HINT: Check free disk space.: trying again")


async def _no_session() -> None:
    return None
