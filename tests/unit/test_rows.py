from __future__ import annotations

from typing import Any

import msgspec
import pytest

from models.account import Account
from tables import rows
from tables.rows import NewerRow, UnreadableRow, UnwritableVersion
from tests.support import messages as say
from tests.support import next_row
from tests.support.engine import Bench

ROW_OF_VERSION_1 = bytes.fromhex(
    "019ea6616363742d31a3555344ce0007a120a25553a6616374697665cf000001a0c4506c00cf000001a0ce9d2400cd01900581ab"
    "636172642d616363742d3192ce00031904a661637469766582a57265662d3195cd05dccf000001a0c4506fe8cf000001a0e85cf3"
    "e8aa6d65726368616e742d31cd1523a57265662d3295cd07d0cf000001a0c4507f88cf000001a0e85d0388aa6d65726368616e74"
    "2d31cd152384a57265662d319800cf658449cec5fdbd57cf000001a0c4506fe8c0ce00079b44c090c0a57265662d329800cf3ce4"
    "f8facb181c53cf000001a0c4507f88c0ce00079180c090c0a6707265732d319702cf13f5593838df5e32cf000001a0c976c800a7"
    "6170706c696564cd01f4cd0dacce00079180a57061792d319702cf327d0d8c13702ec5cf000001a0ce9d2400a76170706c696564"
    "cd0190cd0dacce000791e4c40c1dae6232d4be980decd1ab939fcf000001a0c4507f88a2555302cd0fa000cd09c49391ce0aab52"
    "c0910291cd0fa09391ce005b0b4a910291cd0fa09391ce00079646910291cd0fa0939090909390909091cd152391cd065991ce3c"
    "4c2a6b91a25553"
)
"""Written before rows had a second version: two holds (1,500, and 2,000 left of 2,500), a presentment and a payment."""


@pytest.fixture
def row() -> bytes:
    bench = Bench()
    bench.run(say.opened())
    bench.one_by_one(say.request(), say.presentment(), say.reversal(), say.payment())
    return bench.rows[0, b"acct-1"]


def test_a_row_survives_its_encoding(row: bytes) -> None:
    assert rows.encode(rows.decode(row)) == row


def test_the_first_byte_is_the_version(row: bytes) -> None:
    assert row[0] == max(rows.VERSIONS)


@pytest.mark.parametrize("cut", [b"", b"\x63", b"\x01"])
def test_an_unknown_or_broken_row_says_so(cut: bytes) -> None:
    with pytest.raises(UnreadableRow):
        rows.decode(cut)


def test_a_truncated_row_is_never_half_read(row: bytes) -> None:
    for length in range(1, len(row)):
        with pytest.raises(UnreadableRow):
            rows.decode(row[:length])


def test_a_row_of_version_1_is_read_and_its_holds_know_what_was_authorised() -> None:
    account = rows.decode(ROW_OF_VERSION_1)
    assert (account.posted_balance, account.open_holds(), account.sequence) == (400, 3500, 5)
    assert {name: (hold.authorized, hold.life_ms) for name, hold in account.holds.items()} == {
        "ref-1": (1500, 7 * say.DAY), "ref-2": (2000, 7 * say.DAY),
    }  # fmt: skip
    assert (account.time_zone, account.controls, account.presented) == ("Etc/UTC", None, {})
    assert rows.decode(rows.encode(account)) == account


def test_a_request_of_the_old_version_repeated_after_the_change_gets_its_old_answer() -> None:
    """A fingerprint does not change when messages get new fields."""
    bench = Bench(rows={(0, b"acct-1"): ROW_OF_VERSION_1})
    [reply] = bench.run(say.request("ref-1", 1500))
    assert (reply["outcome"], reply["open_to_buy"]) == ("approved", 498_500)
    [reply] = bench.run(say.payment(100))
    assert (reply["outcome"], reply["posted_balance"]) == ("applied", 400)


def test_a_payment_that_only_an_old_row_knows_is_not_posted_again() -> None:
    account = rows.decode(ROW_OF_VERSION_1)
    account.answers.clear()
    bench = Bench(rows={(0, b"acct-1"): rows.encode(account)})
    [reply] = bench.run(say.payment(100))
    assert (reply["outcome"], reply["posted_balance"]) == ("duplicate", 400)


def test_a_row_tells_when_a_sweep_has_something_to_do_without_being_decoded() -> None:
    account = rows.decode(ROW_OF_VERSION_1)
    assert rows.due_at(ROW_OF_VERSION_1) == 0, "an old row does not say, so it is always looked at"
    assert rows.due_at(rows.encode(account)) == account.holds["ref-1"].expires_at
    account.holds.clear()
    assert rows.due_at(rows.encode(account)) == 2**63 - 1


def test_a_row_of_a_later_version_is_refused_and_no_message_is_blamed(row: bytes) -> None:
    """A dead letter for every message of every account that a later release has touched: that would be a rollback."""
    later = next_row.encode(rows.decode(row))
    with pytest.raises(NewerRow, match="a row has version 3, this release reads up to 2"):
        rows.decode(later)
    bench = Bench(rows={(0, b"acct-1"): later})
    with pytest.raises(NewerRow):
        bench.run(say.request("ref-2"))
    with pytest.raises(NewerRow):
        bench.run(say.tick(say.T0 + 30 * say.DAY))
    assert bench.sent == []


def test_a_row_with_more_fields_is_refused_and_not_cut(row: bytes) -> None:
    """An older release that reads what it knows, and writes that back, loses the rest without a word."""
    fields: list[Any] = msgspec.msgpack.decode(row[9:])
    with pytest.raises(NewerRow, match="fields that this release does not know"):
        rows.decode(row[:9] + msgspec.msgpack.encode([*fields, 1]))


def test_every_part_of_a_row_refuses_fields_that_it_does_not_know() -> None:
    seen: set[type] = set()
    waiting: list[Any] = [msgspec.inspect.type_info(Account)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, msgspec.inspect.StructType) and part.cls not in seen:
            seen.add(part.cls)
            assert part.cls.__struct_config__.forbid_unknown_fields, part.cls
            waiting += [field.type for field in part.fields]
        for name in ("item_type", "key_type", "value_type"):
            if hasattr(part, name):
                waiting.append(getattr(part, name))
        waiting += list(getattr(part, "types", ())) + list(getattr(part, "item_types", ()))
    assert len(seen) >= 10


def test_a_release_writes_the_version_it_is_told_to(row: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    account = rows.decode(row)
    assert rows.encoder()(account) == rows.encoder(2)(account) == row
    for version in (1, 3):
        with pytest.raises(UnwritableVersion, match=f"does not write rows of version {version}, only of 2"):
            rows.encoder(version)
    monkeypatch.setitem(rows.VERSIONS, next_row.NUMBER, next_row.VERSION)
    assert rows.encoder()(account)[0] == 3
    assert rows.decode(rows.encoder()(account)) == rows.decode(rows.encoder(2)(account)) == account
