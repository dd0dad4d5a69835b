from __future__ import annotations

import pytest

from tables import rows
from tables.rows import UnreadableRow
from tests.support import messages as say
from tests.support.engine import Bench


@pytest.fixture
def row() -> bytes:
    bench = Bench()
    bench.run(say.opened())
    bench.one_by_one(say.request(), say.presentment(), say.reversal(), say.payment())
    return bench.rows[0, b"acct-1"]


def test_a_row_survives_its_encoding(row: bytes) -> None:
    assert rows.encode(rows.decode(row)) == row


def test_the_first_byte_is_the_version(row: bytes) -> None:
    assert row[0] == rows.VERSION


@pytest.mark.parametrize("cut", [b"", b"\x63", b"\x01"])
def test_an_unknown_or_broken_row_says_so(cut: bytes) -> None:
    with pytest.raises(UnreadableRow):
        rows.decode(cut)


def test_a_truncated_row_is_never_half_read(row: bytes) -> None:
    for length in range(1, len(row)):
        with pytest.raises(UnreadableRow):
            rows.decode(row[:length])
