"""Rows that are decided and not yet committed, over those that are."""

from __future__ import annotations

from tables.uncommitted import Uncommitted

COMMITTED = {(0, b"a"): b"committed a", (1, b"a"): b"other a", (0, b"b"): b""}


class Table:
    """Committed rows, and how often they were asked for."""

    def __init__(self) -> None:
        self.rows = dict(COMMITTED)
        self.asked = 0

    def row(self, partition: int, key: bytes) -> bytes | None:
        self.asked += 1
        return self.rows.get((partition, key))


def test_what_has_not_changed_is_read_from_the_committed_rows() -> None:
    rows = Uncommitted(Table().row)
    assert [rows.row(0, b"a"), rows.row(1, b"a"), rows.row(0, b"b"), rows.row(0, b"c")] == [
        b"committed a", b"other a", b"", None,
    ]  # fmt: skip


def test_the_latest_row_is_read_and_only_in_its_partition() -> None:
    table = Table()
    rows = Uncommitted(table.row)
    rows.add(0, [(b"a", b"first"), (b"c", b"new")])
    rows.add(0, [(b"a", b"second")])
    assert [rows.row(0, b"a"), rows.row(0, b"c")] == [b"second", b"new"]
    assert table.asked == 0
    assert [rows.row(1, b"a"), rows.row(1, b"c")] == [b"other a", None]


def test_the_last_of_several_at_once_is_the_latest() -> None:
    rows = Uncommitted(Table().row)
    rows.add(0, [(b"a", b"first"), (b"a", b"second")])
    assert rows.row(0, b"a") == b"second"


def test_an_empty_row_is_a_row() -> None:
    rows = Uncommitted(Table().row)
    rows.add(0, [(b"a", b"")])
    assert rows.row(0, b"a") == b""


def test_what_was_settled_is_read_from_the_committed_rows() -> None:
    table = Table()
    rows = Uncommitted(table.row)
    settled = [(b"a", b"first")]
    rows.add(0, settled)
    rows.add(1, [(b"a", b"of another")])
    table.rows[0, b"a"] = b"as it is in the table"
    rows.settle(0, settled)
    assert rows.row(0, b"a") == b"as it is in the table"
    assert rows.row(1, b"a") == b"of another", "another partition was not settled"


def test_a_row_that_has_changed_again_stays_though_it_may_look_the_same() -> None:
    """It is a later one, of a later transaction: between them it may have been another."""
    table = Table()
    rows = Uncommitted(table.row)
    first, again = bytes([1, 2, 3]), bytes([1, 2, 3])
    assert first is not again
    rows.add(0, [(b"a", first)])
    rows.add(0, [(b"a", again)])
    table.rows[0, b"a"] = b"as it is in the table"
    rows.settle(0, [(b"a", first)])
    assert rows.row(0, b"a") is again
    rows.settle(0, [(b"a", again)])
    assert rows.row(0, b"a") == b"as it is in the table"


def test_what_was_never_added_is_settled_without_a_trace() -> None:
    """How far the inputs are decided is committed with the rows, and is none of them."""
    rows = Uncommitted(Table().row)
    rows.add(0, [(b"a", b"new")])
    rows.settle(0, [(b"\0authorizations", b"offset")])
    rows.settle(7, [(b"a", b"new")])
    assert rows.row(0, b"a") == b"new"


def test_what_is_forgotten_was_never_there() -> None:
    rows = Uncommitted(Table().row)
    rows.add(0, [(b"a", b"new")])
    rows.add(1, [(b"c", b"new")])
    rows.forget()
    assert [rows.row(0, b"a"), rows.row(1, b"c")] == [b"committed a", None]
