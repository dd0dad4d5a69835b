"""Reconciliation names every difference and invents none."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sinks.ledger.reconciliation import AccountBalance, Difference, DifferenceKind, TableRow, reconcile

accounts = st.text("abc", min_size=1, max_size=3)
amounts = st.integers(-(10**13), 10**13)
rows = st.builds(TableRow, amounts, amounts, st.integers(1, 1000))
tables = st.dictionaries(accounts, rows, min_size=1, max_size=8)


def ledger_of(table: dict[str, TableRow]) -> dict[str, AccountBalance]:
    return {
        account_id: AccountBalance(
            account_id, ("USD",), row.posted_balance, row.open_holds, row.last_sequence, row.last_sequence
        )
        for account_id, row in table.items()
    }


@given(tables)
def test_a_ledger_equal_to_the_table_has_no_differences(table: dict[str, TableRow]) -> None:
    assert reconcile(table, ledger_of(table)) == []


@given(tables, st.data(), st.integers(-1000, 1000).filter(bool))
def test_one_fault_is_one_named_difference(table: dict[str, TableRow], data: st.DataObject, error: int) -> None:
    account_id = data.draw(st.sampled_from(sorted(table)))
    kind = data.draw(st.sampled_from(DifferenceKind))
    broken_table: dict[str, TableRow | None] = {**table}
    broken_ledger = ledger_of(table)
    row, balance = table[account_id], broken_ledger[account_id]
    last = row.last_sequence
    match kind:
        case DifferenceKind.ONLY_IN_TABLE:
            del broken_ledger[account_id]
            expected = (last, 0)
        case DifferenceKind.ONLY_IN_LEDGER:
            del broken_table[account_id]
            expected = (0, last)
        case DifferenceKind.POSTED_BALANCE:
            broken_ledger[account_id] = replace(balance, posted_balance=row.posted_balance + error)
            expected = (row.posted_balance, row.posted_balance + error)
        case DifferenceKind.OPEN_HOLDS:
            broken_ledger[account_id] = replace(balance, open_holds=row.open_holds + error)
            expected = (row.open_holds, row.open_holds + error)
        case DifferenceKind.LAST_SEQUENCE:
            broken_table[account_id] = row._replace(last_sequence=last + error)
            expected = (last + error, last)
        case DifferenceKind.GAP:
            broken_ledger[account_id] = replace(balance, entry_count=last - 1)
            expected = (last, last - 1)
        case DifferenceKind.MIXED_CURRENCIES:
            broken_ledger[account_id] = replace(balance, currencies=("EUR", "USD"))
            expected = (1, 2)
        case DifferenceKind.UNREADABLE_ROW:
            broken_table[account_id] = None
            expected = (0, last)
    assert reconcile(broken_table, broken_ledger) == [Difference(account_id, kind, *expected)]


@given(tables, tables)
def test_differences_are_symmetric_in_whom_they_miss(left: dict[str, TableRow], right: dict[str, TableRow]) -> None:
    there = reconcile(left, ledger_of(right))
    back = reconcile(right, ledger_of(left))
    only = {DifferenceKind.ONLY_IN_TABLE: DifferenceKind.ONLY_IN_LEDGER}
    only |= {there_kind: here_kind for here_kind, there_kind in only.items()}
    mirrored = [Difference(d.account_id, only.get(d.kind, d.kind), d.ledger, d.table) for d in back]
    assert there == mirrored


def test_an_account_without_entries_need_not_be_in_the_ledger() -> None:
    assert reconcile({"new": (0, 0, 0)}, {}) == []
    assert reconcile({"new": (5, 0, 0)}, {}) == [Difference("new", DifferenceKind.ONLY_IN_TABLE, 0, 0)]


def test_differences_come_in_the_order_of_accounts() -> None:
    assert [d.account_id for d in reconcile({"b": (1, 0, 1), "a": (1, 0, 1), "c": (1, 0, 1)}, {})] == ["a", "b", "c"]


def test_a_row_that_cannot_be_read_is_named_and_the_others_are_compared() -> None:
    balances = ledger_of({"a": TableRow(5, 0, 1), "b": TableRow(0, 0, 2)})
    assert reconcile({"a": None, "b": (1, 0, 2), "c": None}, balances) == [
        Difference("a", DifferenceKind.UNREADABLE_ROW, 0, 1),
        Difference("b", DifferenceKind.POSTED_BALANCE, 1, 0),
        Difference("c", DifferenceKind.UNREADABLE_ROW, 0, 0),
    ]
