"""What the ledger accepts as a journal entry, and the name of every refusal."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from models.journal import EntryType, LedgerAccount
from sinks.ledger.decoding import MAX_BIGINT, decode
from sinks.ledger.errors import Reason, Unpostable
from tests.ledger_records import TIME, journal, record

GOOD = orjson.dumps(journal())


def refusal(value: bytes | None, key: bytes | None = b"acct-1") -> tuple[Reason, str | None]:
    with pytest.raises(Unpostable) as raised:
        decode(key, value)
    return raised.value.reason, raised.value.field


def changed(**changes: object) -> bytes | None:
    return record(journal(), 0, 0, **changes).value


def test_a_good_record_becomes_a_row() -> None:
    entry = decode(b"acct-1", GOOD)
    assert (entry.account_id, entry.sequence, entry.entry_type) == ("acct-1", 1, EntryType.PRESENTMENT_POSTED)
    assert entry.effective_at == datetime(2025, 11, 25, 10, 2, 16, 123_000, tzinfo=UTC)
    assert entry.ledger_accounts == [LedgerAccount.CARDHOLDER_RECEIVABLE, LedgerAccount.NETWORK_SETTLEMENT]
    assert entry.amounts == [100, -100]


def test_the_digest_never_changes() -> None:
    """It is stored: another recipe would turn every repeat into a conflict."""
    assert decode(b"acct-1", GOOD).digest.hex() == "83a9f0627859f3d1fce1cf1ce730ab9b"


def test_the_digest_covers_the_content_and_only_the_content() -> None:
    entries = [
        journal(), journal(amount=101), journal(sequence=2), journal(cause="ref-2"), journal(effective_at=TIME + 1),
        journal(entry_type=EntryType.HOLD_PLACED), journal("acct-2"),
    ]  # fmt: skip
    digests = {decode(e.account_id.encode(), record(e).value).digest for e in entries}
    assert len(digests) == len(entries)
    spaced = orjson.dumps(orjson.loads(GOOD) | {"unknown": "field"}, option=orjson.OPT_INDENT_2)
    assert decode(b"acct-1", spaced) == decode(b"acct-1", GOOD)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.EMPTY),  # F6: a null value
        (b"", Reason.EMPTY),
        (b"\xff\xfe", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b"[]", Reason.NOT_JSON),
        (b"null", Reason.NOT_JSON),
        (b'"text"', Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (GOOD.replace(b'"ref-1"', b'"\\ud800"'), Reason.NOT_JSON),  # I12: a lone surrogate
        (GOOD.replace(b":100}", b":NaN}"), Reason.NOT_JSON),  # I1
        (GOOD.replace(b":100}", b":Infinity}"), Reason.NOT_JSON),
    ],
)
def test_what_is_not_json(value: bytes | None, reason: Reason) -> None:
    assert refusal(value)[0] is reason


@pytest.mark.parametrize(
    "digits", [b"1e400", b"1e1000000000", b"9" * 5000, b"-" + b"9" * 5000, b"1" + b"0" * 30, b"0." + b"1" * 5000]
)
def test_endless_numbers(digits: bytes) -> None:
    """I2, I3, I4: refused without converting thousands of digits."""
    assert refusal(GOOD.replace(b":100}", b":" + digits + b"}"))[0] in (Reason.INVALID_FIELD, Reason.NOT_JSON)


@pytest.mark.parametrize(
    "repeated",
    [
        GOOD[:-1] + b',"sequence":1}',
        GOOD[:-1] + b',"cause":"ref-9"}',
        GOOD.replace(b'"amount":100}', b'"amount":100,"amount":100}'),
        GOOD[:-1] + b',"x":{"a":1,"a":1}}',
        GOOD[:-1] + b',"\\u0063ause":"ref-1"}',
    ],
)
def test_repeated_keys(repeated: bytes) -> None:
    """I5: at any depth, and however the key is written."""
    assert refusal(repeated)[0] is Reason.REPEATED_KEY


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("version", 2), ("version", True), ("version", 1.0),
        ("account_id", ""), ("account_id", "a" * 65), ("account_id", "acct 1"), ("account_id", "acct-1\n"),
        ("account_id", 7), ("sequence", 0), ("sequence", -1), ("sequence", True), ("sequence", 1.0),
        ("sequence", "1"), ("sequence", 2**63),
        ("entry_type", "gift"), ("entry_type", ["hold-placed"]), ("entry_type", None),
        ("cause", ""), ("cause", "r" * 201), ("cause", "ref\x00"), ("cause", "ref\n"), ("cause", None),
        ("currency", "usd"), ("currency", "XXX"), ("currency", "US"), ("currency", 840),
        ("effective_at", -1), ("effective_at", 253_402_300_799_001), ("effective_at", "now"), ("effective_at", 1e3),
        ("postings", []), ("postings", None), ("postings", {}), ("postings", "postings"),
        ("postings", [{"ledger_account": "open-holds", "amount": 0}]),
    ],
)  # fmt: skip
def test_invalid_fields(field: str, content: object) -> None:
    """E12 among them: a NUL byte cannot stand in PostgreSQL text."""
    assert refusal(changed(**{field: content})) == (Reason.INVALID_FIELD, field)


@pytest.mark.parametrize(
    "field", ["account_id", "sequence", "entry_type", "cause", "currency", "effective_at", "postings", "version"]
)
def test_missing_fields(field: str) -> None:
    document = orjson.loads(GOOD)
    del document[field]
    assert refusal(orjson.dumps(document)) == (Reason.INVALID_FIELD, field)


def pair(first: object, second: object = -100, account: object = "network-settlement") -> list[dict[str, object]]:
    return [{"ledger_account": "cardholder-receivable", "amount": first}, {"ledger_account": account, "amount": second}]


@pytest.mark.parametrize(
    ("postings", "reason", "field"),
    [
        (pair(101), Reason.UNBALANCED, "postings"),
        (pair(100, 100), Reason.UNBALANCED, "postings"),
        (pair(0, 0), Reason.INVALID_FIELD, "postings.0.amount"),
        (pair(100.0), Reason.INVALID_FIELD, "postings.0.amount"),
        (pair("100"), Reason.INVALID_FIELD, "postings.0.amount"),
        (pair(True, -1), Reason.INVALID_FIELD, "postings.0.amount"),
        (pair(MAX_BIGINT + 1), Reason.INVALID_FIELD, "postings.0.amount"),
        (pair(100, None), Reason.INVALID_FIELD, "postings.1.amount"),
        (pair(100, -100, "slush-fund"), Reason.UNKNOWN_LEDGER_ACCOUNT, "postings.1.ledger_account"),
        (pair(100, -100, 7), Reason.INVALID_FIELD, "postings.1.ledger_account"),
        ([*pair(100), "more"], Reason.INVALID_FIELD, "postings.2"),
    ],
)
def test_postings(postings: list[object], reason: Reason, field: str) -> None:
    assert refusal(changed(postings=postings)) == (reason, field)


def test_the_largest_amounts_are_exact() -> None:
    assert decode(b"acct-1", changed(postings=pair(MAX_BIGINT, -MAX_BIGINT))).amounts == [MAX_BIGINT, -MAX_BIGINT]


def test_three_postings_of_one_entry() -> None:
    """E5: 100.00 three ways; the odd cent is not lost."""
    shares = [{"ledger_account": "network-settlement", "amount": -share} for share in (3334, 3333, 3333)]
    postings = [{"ledger_account": "cardholder-receivable", "amount": 10000}, *shares]
    assert decode(b"acct-1", changed(postings=postings)).amounts == [10000, -3334, -3333, -3333]


def test_type_and_key() -> None:
    assert refusal(changed(type="dead-letter")) == (Reason.UNKNOWN_TYPE, "type")
    assert refusal(changed(type={"a": 1})) == (Reason.UNKNOWN_TYPE, "type")
    assert refusal(GOOD, b"acct-2") == (Reason.KEY_MISMATCH, "account_id")
    assert refusal(GOOD, None) == (Reason.KEY_MISMATCH, "account_id")
