"""The accounts table as Faust sees it: assignment, changelog and recovery are Faust's, the store is ours."""

from __future__ import annotations

from typing import Any

import faust
from yarl import URL

from tables.store import RowStore


class AccountsTable(faust.Table):  # type: ignore[misc]
    """Rows by account id. The engine reads and writes through `rows`, never through Faust's mapping interface."""

    def _new_store(self) -> RowStore:
        return RowStore(
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

    @property
    def rows(self) -> RowStore:
        return self.data  # type: ignore[no-any-return]


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
