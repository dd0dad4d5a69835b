"""Rows that are decided and not yet committed, over the committed ones: what is decided next has to see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tables.unit_of_work import ReadRow


class Uncommitted:
    """`read_row`: of the committed rows."""

    def __init__(self, read_row: ReadRow) -> None:
        self._read_row = read_row
        self._rows: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)

    def row(self, partition: int, key: bytes) -> bytes | None:
        """The latest row of an account, or None."""
        row = self._rows[partition].get(key)
        return self._read_row(partition, key) if row is None else row

    def add(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """These are the latest."""
        self._rows[partition].update(rows)

    def settle(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """These are read from the committed rows by now; those that have changed again since stay here."""
        latest = self._rows[partition]
        for key, row in rows:
            if latest.get(key) is row:
                del latest[key]

    def forget(self) -> None:
        """What was not committed will not be, by this worker."""
        self._rows.clear()
