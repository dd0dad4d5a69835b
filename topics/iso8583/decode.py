"""ISO 8583:1987 bytes in, our messages out. docs/iso8583.md has the whole table.

The card number is looked up and forgotten: no message and no error holds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from models.messages import AuthorizationMessage
from topics import card_fields
from topics.iso8583 import amounts, names, references
from topics.iso8583 import point_of_service as pos
from topics.iso8583.malformed import Malformed, MalformedReason, Refused
from topics.iso8583.packager import MESSAGE_TYPE, Elements, element_name, unpack
from topics.iso8583.times import moment

APPROVED_CODES: Final = frozenset({"00", "08", "10", "11", "16", "85"})
"""Response codes (element 39) with which an advice says yes."""
REVERSAL_REASONS: Final = {
    "17": "customer",
    "32": "customer",  # partial reversal
    "06": "malfunction",
    "22": "malfunction",
    "34": "suspected-fraud",
    "68": "timeout",
    "82": "timeout",
}
"""Why a reversal comes, by its element 39; the customer's wish when it says nothing else."""

_ELEMENT_OF: Final = {
    "network_reference": 63, "original_reference": 62, "message_id": 60, "account_id": 2, "card_token": 2,
    "card_expiry": 14, "amount": 4, "currency": 49, "merchant_amount": 4, "merchant_currency": 49,
    "conversion_rate": 10, "merchant_id": 42, "merchant_name": 43, "merchant_city": 43, "merchant_country": 43,
    "mcc": 18, "entry_mode": 22, "transmitted_at": 7, "stan": 11, "rrn": 37, "approval_code": 38, "avs_result": 44,
    "cvv_result": 44, "pin_result": 44, "three_ds_result": 61,
}  # fmt: skip
_PIN_RESULTS: Final = {"V": "verified", "F": "failed", "N": "not-checked"}
_contract: Final[TypeAdapter[AuthorizationMessage]] = TypeAdapter(
    Annotated[AuthorizationMessage, Field(discriminator="type")]
)


class Tokenizer(Protocol):
    """From a card number to (account id, card token); None when no card of ours has it. A function without effects: the
    same number always gives the same pair."""

    def __call__(self, pan: str, /) -> tuple[str, str] | None: ...


def decode(raw: bytes, received_at_ms: int, tokenizer: Tokenizer) -> AuthorizationMessage | Malformed:
    """The message in `raw`, or what is wrong with it. `received_at_ms` (since the epoch) lends its year to the times.

    A message that comes back fulfils the contract of models/messages.py in full.
    """
    elements = unpack(raw)
    if isinstance(elements, Malformed):
        return elements
    try:
        return _decode(elements, received_at_ms, tokenizer)
    except Refused as refused:
        return refused.malformed


def _decode(elements: Elements, received_at: int, tokenizer: Tokenizer) -> AuthorizationMessage:
    reader = _READERS.get(elements[MESSAGE_TYPE])
    if reader is None:
        raise Refused(MalformedReason.UNSUPPORTED_TYPE, "MTI", "not a request, advice or reversal that we take")
    pan = _need(elements, 2)
    if not 12 <= len(pan) <= 19:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE2", "a card number has 12 to 19 digits")
    _need(elements, 11)
    transmitted_at = moment(_need(elements, 7), received_at)
    if transmitted_at is None:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE7", "no time within half a year of its arrival")
    fields = reader(elements, transmitted_at, received_at)
    tokens = tokenizer(pan)
    if tokens is None:
        raise Refused(MalformedReason.UNKNOWN_CARD_NUMBER, "DE2", "no card of ours has this number")
    fields |= {"version": 1, "account_id": tokens[0], "card_token": tokens[1], "transmitted_at": transmitted_at}
    _refuse_exposed(fields, pan)
    message = _validate(fields)
    _hide_others(message)
    return message


def _authorization(elements: Elements, transmitted_at: int, received_at: int) -> dict[str, Any]:
    indicators = pos.read_indicators(elements.get(61, ""))
    if indicators.status in (pos.BY_DELTA, pos.TO_TOTAL):
        return _increment(elements, transmitted_at, received_at, indicators)
    if indicators.status == pos.COMPLETION:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE61", "a completion comes as an advice")
    verification = indicators.status == pos.VERIFICATION or elements.get(25) == pos.CONDITION_VERIFICATION
    read = amounts.read_amounts(elements)
    return {
        "type": "authorization-request",
        "network_reference": references.stated(elements, 63) or references.own(elements, transmitted_at),
        "kind": _kind(elements, verification),
        **_acceptance(elements),
        **read._asdict(),
        **_results(elements),
        "card_expiry": _expiry(elements),
        "conversion_rate": amounts.read_rate(elements[10]) if 10 in elements else None,
        "stan": elements[11],
        "rrn": _text(elements, 37),
        "partial_approval": indicators.partial_approval,
        "pre_authorization": indicators.pre_authorization,
        "three_ds_result": indicators.ecommerce_indicator,
    }


def _increment(elements: Elements, transmitted_at: int, received_at: int, indicators: pos.Indicators) -> dict[str, Any]:
    read = amounts.read_amounts(elements)
    original = references.stated(elements, 62) or references.original(elements, received_at)
    if original is None:
        raise Refused(MalformedReason.MISSING_ELEMENT, "DE90", "an increment needs it, or DE62")
    return {
        "type": "authorization-increment",
        "network_reference": references.stated(elements, 63) or references.own(elements, transmitted_at),
        "original_reference": original,
        "amount": read.amount,
        "amount_is": "delta" if indicators.status == pos.BY_DELTA else "total",
        "currency": read.currency,
    }


def _advice(elements: Elements, transmitted_at: int, received_at: int) -> dict[str, Any]:
    indicators = pos.read_indicators(elements.get(61, ""))
    if indicators.status not in (pos.ORDINARY, pos.COMPLETION):
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE61", "an advice completes or stands in")
    completion = indicators.status == pos.COMPLETION or elements.get(25) == pos.CONDITION_COMPLETION
    read = amounts.read_amounts(elements)
    original = references.original(elements, received_at)
    own = references.stated(elements, 63) or (None if completion else original)
    return {
        "type": "authorization-advice",
        "network_reference": own or references.own(elements, transmitted_at),
        "original_reference": references.stated(elements, 62) or (original if completion else None),
        "reason": "completion" if completion else "stand-in",
        "approved": (elements.get(39, "00") if completion else _need(elements, 39)) in APPROVED_CODES,
        **_acceptance(elements),
        "amount": read.amount,
        "currency": read.currency,
        "approval_code": _text(elements, 38),
        "rrn": _text(elements, 37),
    }


def _reversal(elements: Elements, transmitted_at: int, received_at: int) -> dict[str, Any]:
    reference = references.stated(elements, 63) or references.original(elements, received_at)
    if reference is None:
        raise Refused(MalformedReason.MISSING_ELEMENT, "DE90", "a reversal needs it, or DE63")
    return {
        "type": "reversal",
        "message_id": references.stated(elements, 60) or references.own(elements, transmitted_at),
        "network_reference": reference,
        "amount": amounts.read_taken_back(elements),
        "reason": REVERSAL_REASONS.get(elements.get(39, ""), "customer"),
    }


_READERS: Final[dict[str, Callable[[Elements, int, int], dict[str, Any]]]] = {
    **dict.fromkeys(("0100", "0101", "0200", "0201"), _authorization),
    **dict.fromkeys(("0120", "0121"), _advice),
    **dict.fromkeys(("0400", "0401", "0420", "0421"), _reversal),
}


def _kind(elements: Elements, verification: bool) -> str:
    kind = pos.KINDS.get(_need(elements, 3)[:2])
    if kind is None:
        raise Refused(MalformedReason.UNSUPPORTED_TYPE, "DE3", "not a processing code that we take")
    return "account-verification" if verification and kind == "purchase" else kind


def _expiry(elements: Elements) -> int:
    """Element 14 is YYMM of this century."""
    year_month = int(_need(elements, 14))
    if not 1 <= year_month % 100 <= 12:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE14", "no such month")
    return 200_000 + year_month


def _acceptance(elements: Elements) -> dict[str, Any]:
    """Where and how the card was used."""
    entry_mode = pos.ENTRY_MODES.get(_need(elements, 22)[:2])
    if entry_mode is None:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE22", "not an entry mode that we take")
    card_present, initiated_by = pos.condition(elements.get(25), entry_mode)
    acceptor = names.read(_need(elements, 43))
    return {
        "merchant_id": _need(elements, 42).rstrip(" "),
        "merchant_name": acceptor.name,
        "merchant_city": acceptor.city,
        "merchant_country": acceptor.country,
        "mcc": int(_need(elements, 18)),
        "entry_mode": entry_mode,
        "card_present": card_present,
        "initiated_by": initiated_by,
    }


def _results(elements: Elements) -> dict[str, Any]:
    """Element 44 of a request: AVS result (2 characters), CVV result (2), PIN result (V, F or N)."""
    content = f"{elements.get(44, ''):<5}"
    pin = content[4]
    if pin != " " and pin not in _PIN_RESULTS:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE44", "a PIN result that is not in the list")
    return {
        "avs_result": content[:2].strip(" ") or None,
        "cvv_result": content[2:4].strip(" ") or None,
        "pin_result": _PIN_RESULTS.get(pin),
    }


def _need(elements: Elements, number: int) -> str:
    if not elements.get(number):
        raise Refused(MalformedReason.MISSING_ELEMENT, element_name(number), "needed in this message")
    return elements[number]


def _text(elements: Elements, number: int) -> str | None:
    """Without the blanks that fill the element up; None when nothing is left."""
    return elements.get(number, "").rstrip(" ") or None


def _refuse_exposed(fields: dict[str, Any], pan: str) -> None:
    """Somebody writes the card number into a reference or a name: what we keep must not have it, however grouped."""
    for name, value in fields.items():
        if isinstance(value, str) and pan in re.sub(r"[^0-9]", "", value):
            raise Refused(
                MalformedReason.CARD_NUMBER_EXPOSED,
                element_name(_ELEMENT_OF[name]),
                f"{name} has the card number in it",
            )


def _hide_others(message: AuthorizationMessage) -> None:
    """The numbers of other cards: what the engine would refuse for them does not reach its topic, where it is kept."""
    name = card_fields.hide(message)
    if name is not None:
        element = element_name(_ELEMENT_OF[name])
        raise Refused(MalformedReason.CARD_NUMBER_EXPOSED, element, f"{name} has what looks like a card number in it")


def _validate(fields: dict[str, Any]) -> AuthorizationMessage:
    """The contract is one: the same that records of the `authorizations` topic are held to."""
    try:
        return _contract.validate_json(orjson.dumps(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][-1])
        detail = f"{name}: {first['msg']}"
        raise Refused(MalformedReason.INVALID_ELEMENT, element_name(_ELEMENT_OF[name]), detail) from None
