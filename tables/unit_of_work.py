"""The rows one slice has touched: read once, changed in memory, encoded once for the commit.

Nothing reaches the store before `commit` of the Kafka transaction; dropping the unit of work is the whole rollback.
"""

from __future__ import annotations

from collections.abc import Callable

from models.account import Account
from tables import rows

ReadRow = Callable[[int, bytes], bytes | None]
"""(partition, key) -> the committed row, or None."""


class UnitOfWork:
    """An overlay of decoded accounts over the committed rows."""

    def __init__(self, read_row: ReadRow) -> None:
        self._read_row = read_row
        self._accounts: dict[tuple[int, str], Account | None] = {}
        self._changed: dict[tuple[int, str], Account] = {}

    def get(self, partition: int, account_id: str) -> Account | None:
        """The account as this slice sees it so far."""
        where = (partition, account_id)
        try:
            return self._accounts[where]
        except KeyError:
            row = self._read_row(partition, account_id.encode())
            account = self._accounts[where] = None if row is None else rows.decode(row)
            return account

    def put(self, partition: int, account: Account) -> None:
        """Note that this account changed (or is new)."""
        where = (partition, account.account_id)
        self._accounts[where] = self._changed[where] = account

    def changed_rows(self) -> dict[int, list[tuple[bytes, bytes]]]:
        """partition -> [(key, encoded row)], each changed account once, in the order of first change."""
        encoded: dict[int, list[tuple[bytes, bytes]]] = {}
        for (partition, account_id), account in self._changed.items():
            encoded.setdefault(partition, []).append((account_id.encode(), rows.encode(account)))
        return encoded
