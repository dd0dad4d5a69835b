"""A record of the journal topic, checked and made ready to be copied into PostgreSQL.

Hand-written checks instead of a validation library: the sink posts tens of thousands of entries a second, and most of
the rules (balance, known ledger account, 64-bit amounts) are the ledger's own.

A repeated JSON key, which parsers resolve silently, is found by encoding the parsed document again: only a document
that was compact and without repeats gives the same bytes. Any other takes the slow path, which looks at every key.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from models.journal import EntryType, LedgerAccount
from models.money import CURRENCIES
from sinks.ledger.errors import Reason, Unpostable

MAX_BIGINT: Final = 2**63 - 1
MAX_EFFECTIVE_MS: Final = 253_402_300_799_000  # the end of the year 9999
MAX_POSTINGS: Final = 32_767
MAX_NUMBER_CHARACTERS: Final = 20

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_CAUSE: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_ENTRY_TYPES: Final = frozenset(entry_type.value for entry_type in EntryType)
_LEDGER_ACCOUNTS: Final = frozenset(account.value for account in LedgerAccount)


class Entry(NamedTuple):
    """One journal entry in the order of the staging table's columns; amounts are signed minor units, debit positive."""

    account_id: str
    sequence: int
    entry_type: str
    cause: str
    currency: str
    effective_at: datetime
    digest: bytes
    ledger_accounts: list[str]
    amounts: list[int]


def decode(key: bytes | None, value: bytes | None) -> Entry:
    """The journal entry in a record; raises Unpostable."""
    document = _parse(value)
    if document.get("type") != "journal-entry":
        raise Unpostable(Reason.UNKNOWN_TYPE, f"{document.get('type')!r:.100} is not journal-entry", "type")
    _integer(document, "version", 1, 1)
    account_id = _text(document, "account_id", _IDENTIFIER)
    if key != account_id.encode():
        raise Unpostable(Reason.KEY_MISMATCH, "the record's key is not its account_id", "account_id")
    sequence = _integer(document, "sequence", 1, MAX_BIGINT)
    entry_type = _member(document, "entry_type", _ENTRY_TYPES)
    cause = _text(document, "cause", _CAUSE)
    currency = _member(document, "currency", CURRENCIES)
    effective_ms = _integer(document, "effective_at", 0, MAX_EFFECTIVE_MS)
    accounts, amounts = _postings(document)
    digest = content_digest((account_id, sequence, entry_type, cause, currency, effective_ms, accounts, amounts))
    effective_at = _EPOCH + timedelta(milliseconds=effective_ms)
    return Entry(account_id, sequence, entry_type, cause, currency, effective_at, digest, accounts, amounts)


def content_digest(content: tuple[str, int, str, str, str, int, list[str], list[int]]) -> bytes:
    """16 bytes that tell a repeat from a conflict, over account id, sequence, entry type, cause, currency, effective
    time in ms, ledger accounts and amounts. Stored with each entry: the recipe may never change."""
    return blake2b(orjson.dumps(content), digest_size=16).digest()


def _parse(value: bytes | None) -> dict[str, Any]:
    if not value:
        raise Unpostable(Reason.EMPTY, "the record has no value")
    try:
        document = orjson.loads(value)
        plain = orjson.dumps(document) == value
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise Unpostable(Reason.NOT_JSON, str(error)) from None
    if not isinstance(document, dict):
        raise Unpostable(Reason.NOT_JSON, "the record is not a JSON object")
    if not plain:
        _examine(value)
    return document


def _examine(value: bytes) -> None:
    """The slow path: no repeated key at any depth, no endless number; converts no number."""
    try:
        json.loads(value, object_pairs_hook=_no_repeated_key, parse_int=_short, parse_float=_short)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Unpostable(Reason.NOT_JSON, str(error)) from None


def _no_repeated_key(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise Unpostable(Reason.REPEATED_KEY, "the key stands twice", name)
        names.add(name)


def _short(digits: str) -> None:
    if len(digits) > MAX_NUMBER_CHARACTERS:
        raise Unpostable(Reason.INVALID_FIELD, f"a number of {len(digits)} characters")


def _text(document: dict[str, Any], field: str, pattern: re.Pattern[str]) -> str:
    content = document.get(field)
    if type(content) is str and pattern.fullmatch(content):
        return content
    return _refuse(document, field, f"text matching {pattern.pattern}")


def _member(document: dict[str, Any], field: str, known: frozenset[str]) -> str:
    content = document.get(field)
    if type(content) is str and content in known:
        return content
    return _refuse(document, field, "a known name")


def _integer(document: dict[str, Any], field: str, least: int, most: int) -> int:
    content = document.get(field)
    if type(content) is int and least <= content <= most:
        return content
    return _refuse(document, field, f"an integer from {least} to {most}")


def _postings(document: dict[str, Any]) -> tuple[list[str], list[int]]:
    postings = document.get("postings")
    if type(postings) is not list or not 2 <= len(postings) <= MAX_POSTINGS:
        raise Unpostable(Reason.INVALID_FIELD, f"expected a list of 2 to {MAX_POSTINGS} postings", "postings")
    accounts: list[str] = []
    amounts: list[int] = []
    for line, posting in enumerate(postings):
        account, amount = _posting(line, posting)
        accounts.append(account)
        amounts.append(amount)
    if total := sum(amounts):
        raise Unpostable(Reason.UNBALANCED, f"debits less credits are {total}, not 0", "postings")
    return accounts, amounts


def _posting(line: int, posting: object) -> tuple[str, int]:
    if type(posting) is not dict:
        raise Unpostable(Reason.INVALID_FIELD, "expected an object", f"postings.{line}")
    account, amount = posting.get("ledger_account"), posting.get("amount")
    if type(account) is not str:
        raise Unpostable(Reason.INVALID_FIELD, "expected text", f"postings.{line}.ledger_account")
    if account not in _LEDGER_ACCOUNTS:
        detail = f"{account[:100]!r} is not in the chart of accounts"
        raise Unpostable(Reason.UNKNOWN_LEDGER_ACCOUNT, detail, f"postings.{line}.ledger_account")
    if type(amount) is not int or not -MAX_BIGINT <= amount <= MAX_BIGINT or amount == 0:
        raise Unpostable(Reason.INVALID_FIELD, "expected a 64-bit integer other than 0", f"postings.{line}.amount")
    return account, amount


def _refuse(document: dict[str, Any], field: str, expected: str) -> NoReturn:
    found = f"not {document[field]!r:.100}" if field in document else "the field is missing"
    raise Unpostable(Reason.INVALID_FIELD, f"expected {expected}, {found}", field)
