"""JSON in, JSON out. Inbound records are untrusted: everything that is not exactly a known message is `Unreadable`.

Most records are read by `topics/quick.py`. What it does not take is read by pydantic's strict JSON parser, and what
that lets through is caught around it: a repeated key (the parser keeps the last), numbers of thousands of digits
(costly to convert), records too large to be messages. A record with exactly as many colons as it has different keys
cannot hide a repeated one; any other is examined.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import orjson
from pydantic import Field, TypeAdapter, ValidationError

from models import card_numbers
from models.messages import (
    AccountUpdate,
    AdviceAcknowledgement,
    AuthorizationDecision,
    DeadLetter,
    FraudScored,
    Inbound,
    JournalEntry,
    Outbound,
    ReversalAcknowledgement,
)
from topics import card_fields, quick
from topics.declarations import (
    ACCOUNT_EVENTS,
    ACCOUNT_UPDATES,
    AUTHORIZATION_DECISIONS,
    AUTHORIZATIONS,
    CLEARINGS,
    CLOCK,
    DEAD_LETTERS,
    FRAUD_SCORES,
    JOURNAL_ENTRIES,
    MAX_RECORD_BYTES,
    PAYMENTS,
)

CAREFUL_BYTES: Final = 2048
MAX_DIGITS: Final = 20

TYPES_BY_TOPIC: Final[dict[str, frozenset[str]]] = {
    AUTHORIZATIONS.name: frozenset(
        {"authorization-request", "authorization-increment", "authorization-advice", "reversal"}
    ),
    CLEARINGS.name: frozenset({"presentment", "refund", "dispute-event"}),
    PAYMENTS.name: frozenset({"payment-received"}),
    ACCOUNT_EVENTS.name: frozenset(
        {"account-opened", "account-status-changed", "card-status-changed", "credit-limit-changed", "controls-set"}
    ),
    CLOCK.name: frozenset({"clock-tick"}),
}

TOPIC_OF_TYPE: Final[dict[str, str]] = {kind: topic for topic, kinds in TYPES_BY_TOPIC.items() for kind in kinds}

DECIDED_TYPES: Final = ("authorization-request", "authorization-increment")
"""Types that are answered by an `AuthorizationDecision`; a tuple, since what is looked for may be anything."""

TOPIC_OF_OUTBOUND: Final[dict[type[Outbound], str]] = {
    AuthorizationDecision: AUTHORIZATION_DECISIONS.name,
    AdviceAcknowledgement: AUTHORIZATION_DECISIONS.name,
    ReversalAcknowledgement: AUTHORIZATION_DECISIONS.name,
    AccountUpdate: ACCOUNT_UPDATES.name,
    FraudScored: FRAUD_SCORES.name,
    JournalEntry: JOURNAL_ENTRIES.name,
    DeadLetter: DEAD_LETTERS.name,
}

_encoder: Final = msgspec.json.Encoder()
_inbound: Final[TypeAdapter[Inbound]] = TypeAdapter(Annotated[Inbound, Field(discriminator="type")])


class Unreadable(ValueError):
    """A record that is no message: `reason` is a name from the list below, `field` the culprit when there is one.

    reasons: empty, too-large, not-json, repeated-key, number-too-long, unknown-type, wrong-topic, invalid-field,
    key-mismatch, card-number, from-the-future, wrong-partition, processing-error, unreadable-row, and the outcomes of
    models.outcomes that park a message
    """

    def __init__(self, reason: str, detail: str, field: str | None = None) -> None:
        super().__init__(f"{reason}: {field + ': ' if field else ''}{detail}")
        self.reason = reason
        self.detail = detail
        self.field = field


def decode(topic: str, key: bytes | None, value: bytes | None) -> Inbound:
    """The message in a record of `topic`; raises Unreadable."""
    if not value:
        raise Unreadable("empty", "the record has no value")
    if len(value) > MAX_RECORD_BYTES:
        raise Unreadable("too-large", f"{len(value)} bytes, at most {MAX_RECORD_BYTES}")
    message = _read(value)
    if message.type not in TYPES_BY_TOPIC[topic]:
        raise Unreadable("wrong-topic", f"{message.type} does not belong on {topic}", "type")
    account_id = getattr(message, "account_id", None)
    if account_id is not None and key != account_id.encode():
        raise Unreadable("key-mismatch", "the record's key is not its account_id", "account_id")
    return message


def encode(message: Outbound | Inbound) -> bytes:
    """Compact UTF-8 JSON with the fields in their declared order."""
    return _encoder.encode(message)


class Refused(NamedTuple):
    """What must be known of a malformed request or increment to answer it."""

    type: str
    network_reference: str
    account_id: str


def refused(value: bytes | None) -> Refused | None:
    """The identity of a malformed message for whose decision somebody waits, if it still has one."""
    try:
        body = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or body.get("type") not in DECIDED_TYPES:
        return None
    identity = body.get("network_reference"), body.get("account_id")
    usable = [part for part in identity if isinstance(part, str) and 0 < len(part) <= 64]
    if len(usable) < len(identity) or any(map(card_numbers.stands_in, usable)):
        return None  # no answer repeats a card number
    return Refused(body["type"], *usable)


def _read(value: bytes) -> Inbound:
    message = quick.read(value) if len(value) <= CAREFUL_BYTES else None
    return read_carefully(value) if message is None else message


def read_carefully(value: bytes) -> Inbound:
    """The message in a record's value, whatever its key and topic; raises Unreadable."""
    if len(value) > CAREFUL_BYTES:
        _examine(value)
        message = _validate(value)
    else:
        message = _validate(value)
        if value.count(b":") != _different_keys(value):
            _examine(value)
    exposed = card_fields.hide(message)
    if exposed is not None:
        raise Unreadable("card-number", "has what looks like a card number in it", exposed)
    return message


def _validate(value: bytes) -> Inbound:
    try:
        return _inbound.validate_json(value)
    except ValidationError as error:
        raise _first_error(error) from None


def _first_error(error: ValidationError) -> Unreadable:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, detail = first["type"], first["msg"]
    if kind == "json_invalid":
        return Unreadable("not-json", detail)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return Unreadable("unknown-type", detail, "type")
    path = ".".join(str(part) for part in first["loc"][1:])
    return Unreadable("invalid-field", detail, path or None)


def _different_keys(value: bytes) -> int:
    """How many; 0 for what orjson does not take, such as NaN in a field that nobody asked for."""
    try:
        return len(orjson.loads(value))
    except orjson.JSONDecodeError:
        return 0


def _examine(value: bytes) -> None:
    """The careful path: no repeated key at any depth and no endless number; converts nothing."""
    try:
        json.loads(value, object_pairs_hook=_no_repeated_key, parse_int=_short, parse_float=_short)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Unreadable("not-json", str(error)) from None


def _no_repeated_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, content in pairs:
        if name in found:
            raise Unreadable("repeated-key", "the key stands twice", name)
        found[name] = content
    return found


def _short(digits: str) -> str:
    if len(digits) > MAX_DIGITS:
        raise Unreadable("number-too-long", f"a number of {len(digits)} characters")
    return digits
