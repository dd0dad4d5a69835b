"""The rows one slice has touched, over the committed ones.

Nothing reaches the store before `commit` of the Kafka transaction; dropping the unit of work is the whole rollback.
"""

from __future__ import annotations

from collections.abc import Callable

from models.account import Account
from tables import rows

ReadRow = Callable[[int, bytes], bytes | None]
"""(partition, key) -> the committed row, or None."""

Where = tuple[int, str]
"""(partition, account id)"""


class UnwritableRow(ValueError):
    """A change left an account that no row can hold: a bug, or what a damaged row led to."""

    def __init__(self, partition: int, account_id: str, error: Exception) -> None:
        super().__init__(f"the row of account {account_id} cannot be written: {error!r}")
        self.where: Where = (partition, account_id)


class UnitOfWork:
    """An overlay of accounts over the committed rows, in two layers: those in hand, decoded, and the rows that
    `put_away` has made of them."""

    def __init__(self, read_row: ReadRow, encode: rows.Encode = rows.encode) -> None:
        self._encode = encode
        self._read_row = read_row
        self._accounts: dict[Where, Account | None] = {}
        self._changed: dict[Where, Account] = {}
        self._rows: dict[Where, bytes] = {}

    def get(self, partition: int, account_id: str) -> Account | None:
        """The account as this slice sees it so far; raises UnreadableRow."""
        where = (partition, account_id)
        try:
            return self._accounts[where]
        except KeyError:
            row = self._rows.get(where) or self._read_row(partition, account_id.encode())
            account = self._accounts[where] = None if row is None else rows.account(account_id, row)
            return account

    def put(self, partition: int, account: Account) -> None:
        """Note that this account changed (or is new)."""
        where = (partition, account.account_id)
        self._accounts[where] = self._changed[where] = account

    def drop(self, partition: int, account_id: str) -> None:
        """Forget what has been done to this account since it was last put away."""
        self._accounts.pop((partition, account_id), None)
        self._changed.pop((partition, account_id), None)

    def put_away(self) -> None:
        """Encode what changed and let go of the accounts in hand. Call it often: an account that is encoded while it
        is still in the processor's cache costs a third less than one of thousands. Raises UnwritableRow."""
        for where, account in self._changed.items():
            try:
                self._rows[where] = self._encode(account)
            except Exception as error:
                raise UnwritableRow(*where, error) from error
        self._changed.clear()
        self._accounts.clear()

    def changed_rows(self) -> dict[int, list[tuple[bytes, bytes]]]:
        """partition -> [(key, encoded row)], each changed account once, in the order of first change."""
        self.put_away()
        found: dict[int, list[tuple[bytes, bytes]]] = {}
        for (partition, account_id), row in self._rows.items():
            found.setdefault(partition, []).append((account_id.encode(), row))
        return found
