"""The accounts table as Faust sees it: assignment, changelog and recovery are Faust's, the store is ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, cast

import faust
from faust.types import TP
from yarl import URL

from tables.behind import PartitionRows, WriteBehind
from tables.rows import NewerRow, require_known
from tables.source_offsets import is_account
from tables.store import RowStore, StoreFailure, nobody

OnNewer = Callable[[NewerRow], None]
"""Told of a row that a later release wrote; should not return, because Faust would swallow what is raised."""


class _KnownRows(RowStore):
    """Looks at rows before they are stored: what a later release has written is found while the tables are restored,
    before any input comes."""

    on_newer: OnNewer | None = None

    def write(
        self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], offset: int | None, *, logged: bool = True
    ) -> None:
        rows = list(rows)
        if self.on_newer is not None:
            self._look(rows, self.on_newer)
        super().write(partition, rows, offset, logged=logged)

    @staticmethod
    def _look(rows: Iterable[tuple[bytes, bytes | None]], on_newer: OnNewer) -> None:
        try:
            require_known(row for key, row in rows if is_account(key))
        except NewerRow as newer:
            on_newer(newer)
            raise


class AccountsTable(faust.Table[bytes, bytes]):
    """Rows by account id. The engine uses the methods here, never Faust's mapping interface."""

    on_failure: Callable[[StoreFailure], None] = staticmethod(nobody)
    on_newer: OnNewer | None = None  # of rows only: without it anything may be stored

    def _new_store(self) -> RowStore:
        store = _KnownRows(
            URL("rocksdb://"),
            self.app,
            self,
            table_name=self.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            loop=self.loop,
            driver="rocksdict",
        )
        store.on_failure = self.on_failure
        store.on_newer = self.on_newer
        return store

    @property
    def rows(self) -> RowStore:
        """The store, made on first use: Faust opens no file before it runs."""
        return cast(RowStore, self.data)

    @cached_property
    def _writer(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="rows")

    @cached_property
    def _behind(self) -> WriteBehind:
        return WriteBehind(self.rows.row, self.rows.write, self._writer)

    def row(self, partition: int, key: bytes) -> bytes | None:
        """The committed row of an account, or None."""
        return self._behind.row(partition, key)

    def write(self, committed: Sequence[PartitionRows]) -> None:
        """Apply committed changelog records; raises what went wrong with earlier ones."""
        self._behind.write(committed)

    def scan(self, partition: int, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` rows in key order behind `after`, as the store has them: some may be on their way still."""
        return self.rows.scan(partition, after, limit)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Partitions that stay are restored as well, from where the store ends and past the rows in memory."""
        self._behind.forget()
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    async def on_stop(self) -> None:
        """The slice in work may still come: Faust stops its agents later."""
        self._behind.forget()
        await super().on_stop()


def declare(app: Any, partitions: int) -> AccountsTable:
    """Add the table to a Faust app; raw bytes both ways (a schema of Faust's makes recovery hang)."""
    return app.tables.add(  # type: ignore[no-any-return]
        AccountsTable(
            app,
            name="accounts",
            partitions=partitions,
            key_type=bytes,
            value_type=bytes,
            options={"driver": "rocksdict"},
        )
    )
