"""Our messages in, ISO 8583:1987 bytes out: what a simulator or a gateway to another issuer sends.

Decoding gives the message back, but for what ISO 8583 has no room for: milliseconds, the tail of long names, characters
beyond ASCII, digits of a rate beyond the seventh, blanks at the end of codes (docs/iso8583.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from models.messages import (
    AuthorizationAdvice,
    AuthorizationIncrement,
    AuthorizationMessage,
    AuthorizationRequest,
    Reversal,
)
from topics.iso8583 import amounts, names, references
from topics.iso8583 import point_of_service as pos
from topics.iso8583.malformed import Unencodable
from topics.iso8583.packager import MESSAGE_TYPE, Elements, pack
from topics.iso8583.times import month_to_second

MESSAGE_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "authorization-request": ("0100", "0101", "0200", "0201"),
    "authorization-increment": ("0100", "0101", "0200", "0201"),
    "authorization-advice": ("0120", "0121"),
    "reversal": ("0400", "0401", "0420", "0421"),
}
"""What each of our messages may be sent as; the first is the usual one."""
REVERSAL_CODES: Final = {"customer": "17", "timeout": "68", "malfunction": "22", "suspected-fraud": "34"}
_PIN_LETTERS: Final = {"verified": "V", "failed": "F", "not-checked": "N", None: " "}
_DECLINED: Final = "05"


@dataclass(frozen=True, slots=True)
class Original:
    """The message that a reversal, increment or completion refers to, as it was sent."""

    message_type: str
    stan: str
    transmitted_at: int
    amount: int | None = None  # a partial reversal says what is left of it


@dataclass(frozen=True, slots=True)
class Origin:
    """What an ISO message has and ours doesn't: the card number and the acquirer's side."""

    pan: str = field(repr=False)
    acquirer_id: str  # up to 11 digits
    stan: str  # used when the message has none of its own
    terminal_id: str | None = None
    original: Original | None = None


def encode_request(message: AuthorizationMessage, origin: Origin, message_type: str | None = None) -> bytes:
    """One ISO message. `message_type` chooses among MESSAGE_TYPES, such as the repeat "0101".

    Raises Unencodable, naming the field, when ISO 8583 cannot say it.
    """
    allowed = MESSAGE_TYPES[message.type]
    chosen = message_type or allowed[0]
    if chosen not in allowed:
        raise Unencodable("message_type", f"a {message.type} is one of {', '.join(allowed)}")
    return pack({MESSAGE_TYPE: chosen, **_frame(message, origin), **_content(message, origin)})


def _content(message: AuthorizationMessage, origin: Origin) -> Elements:
    if isinstance(message, AuthorizationRequest):
        return _request(message)
    if isinstance(message, AuthorizationIncrement):
        return _increment(message)
    if isinstance(message, AuthorizationAdvice):
        return _advice(message)
    return _reversal(message, origin.original)


def _frame(message: AuthorizationMessage, origin: Origin) -> Elements:
    """What every message has. Local time (12, 13) is given as UTC: we don't know the merchant's zone."""
    transmitted = month_to_second(message.transmitted_at)
    elements = {
        2: origin.pan,
        3: pos.PROCESSING_CODES["purchase"],
        7: transmitted,
        11: origin.stan,
        12: transmitted[4:],
        13: transmitted[:4],
        32: origin.acquirer_id,
        63: message.network_reference,
    }
    if origin.terminal_id is not None:
        elements[41] = f"{origin.terminal_id:<8}"
    if origin.original is not None:
        first = origin.original
        elements[90] = references.write_original(
            first.message_type, first.stan, first.transmitted_at, origin.acquirer_id
        )
    return elements


def _request(message: AuthorizationRequest) -> Elements:
    status = pos.VERIFICATION if message.kind == "account-verification" else pos.ORDINARY
    indicators = pos.Indicators(status, message.pre_authorization, message.partial_approval, message.three_ds_result)
    elements = {
        3: pos.PROCESSING_CODES[message.kind],
        **amounts.write_amounts(message.amount, message.currency, _merchant_amount(message)),
        14: _expiry(message.card_expiry),
        **_acceptance(message),
        61: indicators.encode(),
    }
    if message.stan is not None:
        elements[11] = message.stan
    if message.rrn is not None:
        elements[37] = f"{message.rrn:<12}"
    if message.conversion_rate is not None:
        elements[10] = amounts.write_rate(message.conversion_rate)
    results = f"{message.avs_result or '':<2}{message.cvv_result or '':<2}{_PIN_LETTERS[message.pin_result]}"
    if results.strip():
        elements[44] = results
    return elements


def _increment(message: AuthorizationIncrement) -> Elements:
    status = pos.BY_DELTA if message.amount_is == "delta" else pos.TO_TOTAL
    return {
        **amounts.write_amounts(message.amount, message.currency),
        61: pos.Indicators(status).encode(),
        62: message.original_reference,
    }


def _advice(message: AuthorizationAdvice) -> Elements:
    status = pos.COMPLETION if message.reason == "completion" else pos.ORDINARY
    elements = {
        **amounts.write_amounts(message.amount, message.currency),
        **_acceptance(message),
        39: "00" if message.approved else _DECLINED,
        61: pos.Indicators(status).encode(),
    }
    if message.original_reference is not None:
        elements[62] = message.original_reference
    if message.approval_code is not None:
        elements[38] = f"{message.approval_code:<6}"
    if message.rrn is not None:
        elements[37] = f"{message.rrn:<12}"
    return elements


def _reversal(message: Reversal, original: Original | None) -> Elements:
    """Without the original's amount a partial reversal is sent as one of that amount, replaced by nothing."""
    known = original.amount if original is not None else None
    whole = known if known is not None else message.amount or 0
    elements = {
        4: amounts.write_amount(whole),
        39: REVERSAL_CODES[message.reason],
        60: message.message_id,
    }
    if message.amount is not None:
        if message.amount > whole:
            raise Unencodable("amount", "takes back more than the original amount")
        elements[95] = amounts.write_replacement(whole - message.amount)
    return elements


def _acceptance(message: AuthorizationRequest | AuthorizationAdvice) -> Elements:
    if len(message.merchant_id) > 15:
        raise Unencodable("merchant_id", "longer than 15 characters")
    city = message.merchant_city if isinstance(message, AuthorizationRequest) else None
    return {
        18: f"{message.mcc:04}",
        22: pos.ENTRY_CODES[message.entry_mode],
        25: pos.CONDITION_CODES[message.card_present, message.initiated_by],
        42: f"{message.merchant_id:<15}",
        43: names.write(message.merchant_name, city, message.merchant_country),
    }


def _merchant_amount(message: AuthorizationRequest) -> tuple[int, str] | None:
    if message.merchant_amount is None and message.merchant_currency is None:
        return None
    if message.merchant_amount is None or message.merchant_currency is None:
        raise Unencodable("merchant_amount", "goes with merchant_currency")
    return message.merchant_amount, message.merchant_currency


def _expiry(card_expiry: int) -> str:
    if card_expiry // 10_000 != 20:
        raise Unencodable("card_expiry", "not in the years 2000 to 2099")
    return f"{card_expiry % 10_000:04}"
