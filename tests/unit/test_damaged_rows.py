"""A row that is damaged, or that makes the domain raise, is one account's trouble and has a name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agents import scoring
from models import servicing
from models.account import Account
from tables import rows
from tables.rows import NewerRow, UnreadableRow
from tests.support import messages as say
from tests.support.engine import Bench
from tests.unit.test_stand_in import Model

LATER = say.tick(say.T0 + 60 * say.DAY)


def encoded(account: Account, due_at: bytes = bytes(8)) -> bytes:
    """As `rows.encode`, whatever the account."""
    return b"\x02" + due_at + msgspec.msgpack.encode(account)


def cut(row: bytes) -> bytes:
    return row[: len(row) // 2]


def overwritten(row: bytes) -> bytes:
    return row[:9] + b"\xff" * (len(row) - 9)


def of_another(row: bytes) -> bytes:
    account = rows.decode(row)
    account.account_id = "acct-1"
    return encoded(account)


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _row: b"", "no version": lambda _row: b"\x00", "version alone": lambda _row: b"\x02", "cut": cut,
    "overwritten": overwritten, "of another account": of_another,
}  # fmt: skip


@pytest.fixture
def bench() -> Bench:
    """Three accounts with a hold each; the one in the middle is to be hurt."""
    bench = Bench()
    for number in (1, 2, 3):
        bench.run(say.opened(f"acct-{number}"), say.request(f"ref-{number}", account=f"acct-{number}"))
    return bench


def hurt(bench: Bench, change: Callable[[bytes], bytes]) -> bytes:
    bench.rows[0, b"acct-2"] = change(bench.rows[0, b"acct-2"])
    return bench.rows[0, b"acct-2"]


def expired(bench: Bench) -> list[str]:
    return [entry["account_id"] for entry in bench.on("journal-entries") if entry["entry_type"] == "hold-expired"]


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_a_sweep_goes_past_a_row_that_cannot_be_read_and_names_it(
    bench: Bench, change: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    row = hurt(bench, change)
    for _ in range(2):
        decided = bench.decide([LATER])
        bench.commit(decided)
        assert [(each.partition, each.key) for each in decided.unswept] == [(0, b"acct-2")]
    assert expired(bench) == ["acct-1", "acct-3"]
    assert bench.rows[0, b"acct-2"] == row, "left as it is, for whoever looks into it"
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the row of account acct-2 in partition 0 cannot be swept" in line.getMessage()


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_messages_of_a_damaged_row_are_kept_by_that_name_and_everyone_else_is_decided(
    bench: Bench, change: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    row = hurt(bench, change)
    bench.run(
        say.payment(account="acct-2"), say.request("ref-4"), say.request("ref-5", account="acct-2"),
        say.request("ref-6", account="acct-3"),
    )  # fmt: skip
    assert [(letter["topic"], letter["reason"]) for letter in bench.on("dead-letters")] == [
        ("payments", "unreadable-row"), ("authorizations", "unreadable-row"),
    ]  # fmt: skip
    assert [(d["network_reference"], d["reason"]) for d in bench.on("authorization-decisions")[3:]] == [
        ("ref-4", None), ("ref-5", "system-malfunction"), ("ref-6", None),
    ]  # fmt: skip
    assert bench.rows[0, b"acct-2"] == row
    assert not caplog.records, "no slice was decided again"


def test_a_key_that_is_no_text_is_named_as_well(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.rows[0, b"acct-\xff"] = b"\x02" + bytes(8)
    bench.run(LATER)
    assert expired(bench) == ["acct-1", "acct-2", "acct-3"]
    assert r"account acct-\xff in" in caplog.text


def test_a_sweep_that_raises_half_way_leaves_its_account_and_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row, sweep = bench.rows[0, b"acct-2"], servicing.sweep

    def buggy(account: Account, now: int) -> Any:
        entries = sweep(account, now)
        if account.account_id == "acct-2":
            raise ZeroDivisionError("a bug")
        return entries

    monkeypatch.setattr(servicing, "sweep", buggy)
    bench.run(LATER)
    assert expired(bench) == ["acct-1", "acct-3"]
    assert bench.rows[0, b"acct-2"] == row
    assert "Traceback" in caplog.text, "this is a bug, and the log says where"


def test_what_a_slice_did_before_its_sweep_failed_stands(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servicing, "sweep", lambda account, _now: account.holds.clear() or 1 / 0)
    bench.run(say.request("ref-4", account="acct-2"), LATER)
    assert list(bench.account("acct-2").holds) == ["ref-2", "ref-4"]


def test_a_sweep_that_leaves_what_no_row_can_hold_sends_nothing(bench: Bench) -> None:
    """An entry of the journal without the row that remembers it would be posted a second time."""
    account = rows.decode(bench.rows[0, b"acct-2"])
    account.sequence = 2**64 - 1
    row = hurt(bench, lambda _row: encoded(account))
    decided = bench.decide([LATER])
    bench.commit(decided)
    assert (expired(bench), bench.rows[0, b"acct-2"]) == (["acct-1", "acct-3"], row)
    assert [each.key for each in decided.unswept] == [b"acct-2"]


def test_a_message_whose_reply_no_record_can_hold_is_a_processing_error(bench: Bench) -> None:
    account = rows.decode(bench.rows[0, b"acct-2"])
    account.posted_balance = -(2**63)
    row = hurt(bench, lambda _row: encoded(account))
    bench.run(say.payment(account="acct-2"), say.request("ref-4"))
    assert [letter["reason"] for letter in bench.on("dead-letters")] == ["processing-error"]
    assert bench.on("authorization-decisions")[-1]["outcome"] == "approved"
    assert bench.rows[0, b"acct-2"] == row


def test_a_message_that_leaves_what_no_row_can_hold_is_a_processing_error(bench: Bench) -> None:
    row, encode = bench.rows[0, b"acct-2"], bench.engine.means.encode_row
    bench.engine.means.encode_row = lambda account: bytes(1 // 0) if account.account_id == "acct-2" else encode(account)
    bench.run(say.payment(account="acct-2"), say.request("ref-4"))
    assert [letter["reason"] for letter in bench.on("dead-letters")] == ["processing-error"]
    assert bench.on("authorization-decisions")[-1]["outcome"] == "approved"
    assert bench.rows[0, b"acct-2"] == row


def test_a_profile_that_the_model_s_features_cannot_be_made_of_is_a_processing_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(Model())
    bench.run(say.opened(), say.opened("acct-2"))
    true = scoring.features

    def features(profile: Any, request: Any, *others: Any) -> Any:
        return true(profile, request, *others) if request.account_id == "acct-1" else 1 / 0

    monkeypatch.setattr(scoring, "features", features)
    bench.run(say.request("ref-1"), say.request("ref-2", account="acct-2"))
    assert [(d["network_reference"], d["outcome"]) for d in bench.on("authorization-decisions")] == [
        ("ref-1", "approved"), ("ref-2", "declined"),
    ]  # fmt: skip
    assert [letter["reason"] for letter in bench.on("dead-letters")] == ["processing-error"]


def test_a_row_of_a_later_release_still_ends_the_worker(bench: Bench) -> None:
    hurt(bench, lambda row: b"\x63" + row[1:])
    for message in (LATER, say.payment(account="acct-2")):
        with pytest.raises(NewerRow):
            bench.run(message)


def test_a_row_is_read_as_that_of_its_account_only(bench: Bench) -> None:
    row = bench.rows[0, b"acct-2"]
    assert rows.account("acct-2", row) == rows.decode(row)
    with pytest.raises(UnreadableRow, match="it is the row of account acct-2"):
        rows.account("acct-1", row)
