"""One PostgreSQL session that survives the server's restarts, and the rule which errors are worth another try."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import asyncpg

from sinks.ledger.errors import LedgerError, LedgerRefused, Unavailable

log = logging.getLogger(__name__)

Connection: TypeAlias = Any  # asyncpg.Connection; asyncpg is not typed
T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
COMMAND_TIMEOUT_S: Final = 60.0
"""A statement without an answer for this long counts as a lost connection."""

# A session that lost its client must not hold the offset rows for ever, nor wait for ever for one that does.
_SESSION_SETTINGS: Final = {
    "application_name": "opentobuy-ledger",
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": "30s",
    "TimeZone": "UTC",
}

_TRANSIENT_CLASSES: Final = frozenset({"08", "40", "53", "55", "57", "58"})
_TRANSIENT_STATES: Final = frozenset({"25P03", "25006"})  # idle too long in a transaction; the primary became a standby
# Prepared statements outlived a schema change; or the server ended the session just as a statement was sent, which
# asyncpg sees as a state of its own that should not be.
_STALE_SESSION: Final = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.InternalClientError,
)
_REFUSALS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, ssl.SSLCertVerificationError)
_DATABASE_DROPPED: Final = "57P04"


def is_transient(error: BaseException) -> bool:
    """Can the same work succeed later: lost sockets, restarts, deadlocks, serialisation failures, stale plans?"""
    if isinstance(error, _STALE_SESSION):
        return True
    if isinstance(error, ssl.SSLCertVerificationError):  # an OSError, but no later try brings another certificate
        return False
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state != _DATABASE_DROPPED and (state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES)
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg names a closed connection only in the text; and when a session broke in the middle of a statement, the
        # rollback complains of the statement that still seems to run, and hides what happened.
        return "connection" in str(error) or (error.__context__ is not None and is_transient(error.__context__))
    return isinstance(error, OSError | TimeoutError | asyncio.IncompleteReadError)


def place(dsn: str) -> str:
    """Host, port and database of a DSN, without the password, for messages."""
    parts = urlsplit(dsn)
    if not parts.scheme:
        return "an address that is not postgresql://host:port/database"
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


class Database:
    """Runs work on one session at a time; opens a new session after a failure and tries the work again."""

    def __init__(
        self,
        dsn: str,
        *,
        patience_s: float,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
        on_retry: Callable[[], None] | None = None,
    ) -> None:
        """`patience_s`: how long work may go on failing; `prepare` sets up every new session."""
        self._dsn = dsn
        self._patience_s = patience_s
        self._prepare = prepare
        self._on_retry = on_retry
        self._connection: Connection | None = None

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """The work's result. The work may run several times, also after a commit whose answer was lost, so it must be
        idempotent. Raises Unavailable when transient failures last, LedgerRefused when trying again cannot help."""
        deadline = time.monotonic() + self._patience_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await work(await self._session())
            except Exception as error:
                await self._give_up_or_drop(error, time.monotonic() > deadline)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def close(self) -> None:
        """Ends the session; a server that does not answer is not waited for."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(Exception):
            await connection.close(timeout=2)

    async def _session(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            connection = await asyncpg.connect(
                self._dsn, timeout=10, command_timeout=COMMAND_TIMEOUT_S, server_settings=_SESSION_SETTINGS
            )
            self._connection = connection
            if self._prepare is not None:
                await self._prepare(connection)
        return self._connection

    async def _give_up_or_drop(self, error: Exception, too_late: bool) -> None:
        """Returns when the work should be tried again, on a new session."""
        if not is_transient(error):
            if isinstance(error, LedgerError) or not isinstance(error, _REFUSALS):
                raise error
            raise LedgerRefused(f"PostgreSQL at {place(self._dsn)}: {error}") from error
        detail = " ".join(str(error).split()) or type(error).__name__  # PostgreSQL's hints are lines of their own
        if too_late:
            message = f"PostgreSQL at {place(self._dsn)} did not answer within {self._patience_s:g} s: {detail}"
            raise Unavailable(message) from error
        log.warning("PostgreSQL at %s: %s: trying again", place(self._dsn), detail)
        if self._on_retry is not None:
            self._on_retry()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
