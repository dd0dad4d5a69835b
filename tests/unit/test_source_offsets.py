"""What the rows say of how far their inputs are decided."""

from __future__ import annotations

import pytest
from faust.types import TP

from tables.source_offsets import SourceOffsets, is_account

IDS = {"authorizations": b"a" * 16, "payments": b"p" * 16}
ASKED, PAID = TP("authorizations", 3), TP("payments", 3)


class Table:
    """Rows as they are after a restore."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, bytes], bytes] = {}

    def sources(self, ids: dict[str, bytes] = IDS) -> SourceOffsets:
        return SourceOffsets(ids, lambda partition, key: self.rows.get((partition, key)))

    def commit(self, offsets: dict[TP, int], ids: dict[str, bytes] = IDS) -> None:
        for partition, rows in self.sources(ids).rows(offsets).items():
            self.rows.update({(partition, key): row for key, row in rows})


@pytest.fixture
def table() -> Table:
    return Table()


def test_each_input_of_a_partition_has_its_own(table: Table) -> None:
    table.commit({ASKED: 7, PAID: 2**40})
    table.commit({ASKED: 9, TP("authorizations", 1): 4})
    sources = table.sources()
    assert [sources.committed(tp) for tp in (ASKED, PAID, TP("authorizations", 1))] == [9, 2**40, 4]


def test_nothing_is_said_of_what_was_never_decided(table: Table) -> None:
    table.commit({ASKED: 7})
    assert table.sources().committed(PAID) is None
    assert table.sources().committed(TP("authorizations", 1)) is None


def test_offsets_of_a_topic_that_was_deleted_say_nothing_of_its_namesake(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    table.commit({ASKED: 7, PAID: 3})
    anew = IDS | {"authorizations": b"b" * 16}
    assert table.sources(anew).committed(ASKED) is None
    assert "authorizations was made anew" in caplog.text
    assert table.sources(anew).committed(PAID) == 3
    table.commit({ASKED: 2}, anew)
    assert table.sources(anew).committed(ASKED) == 2


@pytest.mark.parametrize("change", [lambda row: b"\x02" + row[1:], lambda row: row[:-1], lambda row: row + b"\0"])
def test_what_another_release_or_a_fault_wrote_says_nothing(
    table: Table, change: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(change)
    table.commit({ASKED: 7})
    table.rows = {where: change(row) for where, row in table.rows.items()}
    assert table.sources().committed(ASKED) is None
    assert "authorizations-3: its source offset among the rows is not readable" in caplog.text


def test_version_1_stays_readable(table: Table) -> None:
    table.rows[3, b"\0authorizations"] = b"\x01" + b"a" * 16 + b"\0\0\0\0\0\0\x01\x02"
    assert table.sources().committed(ASKED) == 258


def test_their_keys_are_no_accounts(table: Table) -> None:
    table.commit({ASKED: 7, PAID: 3})
    assert [key for _partition, key in table.rows if is_account(key)] == []
    assert is_account(b"acct-1")
    assert is_account(b"")
    assert is_account(None)
