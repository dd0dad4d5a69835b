"""Does the ledger say what the table says? Every difference, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class TableRow(NamedTuple):
    """What the accounts table holds of one account; amounts in minor units."""

    posted_balance: int
    open_holds: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """What the ledger holds of one account; amounts in minor units."""

    account_id: str
    currencies: tuple[str, ...]
    posted_balance: int
    open_holds: int
    last_sequence: int
    entry_count: int


class DifferenceKind(StrEnum):
    """How table and ledger disagree about an account; `gap` and `mixed-currencies` are the ledger's own faults."""

    ONLY_IN_TABLE = "only-in-table"  # with entries to its name; an account without any need not be in the ledger
    ONLY_IN_LEDGER = "only-in-ledger"
    POSTED_BALANCE = "posted-balance"
    OPEN_HOLDS = "open-holds"
    LAST_SEQUENCE = "last-sequence"
    GAP = "gap"  # fewer entries than the last sequence number
    MIXED_CURRENCIES = "mixed-currencies"
    UNREADABLE_ROW = "unreadable-row"  # the table's row is damaged


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement. For `gap`, `table` is the number of entries expected and `ledger` the number found; for
    `only-in-...` they are the last sequence numbers; for `mixed-currencies` the numbers of currencies;
    for `unreadable-row` `table` is 0 and `ledger` the last sequence number."""

    account_id: str
    kind: DifferenceKind
    table: int
    ledger: int


def reconcile(
    rows: Mapping[str, TableRow | tuple[int, int, int] | None], balances: Mapping[str, AccountBalance]
) -> list[Difference]:
    """Every difference between table rows (posted balance, open holds, last sequence; None for one that cannot be
    read) and the ledger's balances, both by account id; ordered by account. An empty list: they agree."""
    differences: list[Difference] = []
    for account_id in sorted(rows.keys() | balances.keys()):
        row, balance = rows.get(account_id), balances.get(account_id)
        if balance is not None:
            differences += _faults_of_the_ledger(balance)
        if account_id in rows and row is None:
            kind, last = DifferenceKind.UNREADABLE_ROW, balance.last_sequence if balance else 0
            differences.append(Difference(account_id, kind, 0, last))
        elif row is None and balance is not None:
            differences.append(Difference(account_id, DifferenceKind.ONLY_IN_LEDGER, 0, balance.last_sequence))
        elif row is not None:
            differences += _compare(account_id, TableRow(*row), balance)
    return differences


def _faults_of_the_ledger(balance: AccountBalance) -> list[Difference]:
    faults = []
    if balance.entry_count != balance.last_sequence:
        kind, expected, found = DifferenceKind.GAP, balance.last_sequence, balance.entry_count
        faults.append(Difference(balance.account_id, kind, expected, found))
    if len(balance.currencies) > 1:
        kind = DifferenceKind.MIXED_CURRENCIES
        faults.append(Difference(balance.account_id, kind, 1, len(balance.currencies)))
    return faults


def _compare(account_id: str, row: TableRow, balance: AccountBalance | None) -> list[Difference]:
    if balance is None:
        if row == TableRow(0, 0, 0):
            return []
        return [Difference(account_id, DifferenceKind.ONLY_IN_TABLE, row.last_sequence, 0)]
    pairs = (
        (DifferenceKind.POSTED_BALANCE, row.posted_balance, balance.posted_balance),
        (DifferenceKind.OPEN_HOLDS, row.open_holds, balance.open_holds),
        (DifferenceKind.LAST_SEQUENCE, row.last_sequence, balance.last_sequence),
    )
    return [Difference(account_id, kind, table, ledger) for kind, table, ledger in pairs if table != ledger]
