"""The answer on the wire: 0110, 0130, 0210, 0410, 0430, made of the request's own elements and what was decided."""

from __future__ import annotations

from typing import Final

from models.messages import AdviceAcknowledgement, AuthorizationDecision, ReversalAcknowledgement
from topics.iso8583.amounts import write_amount
from topics.iso8583.malformed import Malformed, MalformedReason, Unencodable
from topics.iso8583.packager import MESSAGE_TYPE, Elements, pack, unpack

Reply = AuthorizationDecision | AdviceAcknowledgement | ReversalAcknowledgement

APPROVED: Final = "00"
PARTIALLY_APPROVED: Final = "10"
DO_NOT_HONOUR: Final = "05"
"""For a reason that the tables below don't know."""

DECLINE_CODES: Final = {
    "malformed": "30",  # format error
    "system-malfunction": "96",
    "unknown-account": "14",  # no such card number
    "conflicting-duplicate": "94",  # duplicate transmission
    "stale-duplicate": "94",
    "reversed-before-arrival": "12",  # invalid transaction
    "invalid-amount": "13",
    "unknown-card": "14",
    "card-not-active": "62",  # restricted card; the status says more
    "expired-card": "54",
    "card-expiry-mismatch": "54",
    "account-not-active": "62",
    "currency-mismatch": "12",
    "control": "57",  # not permitted to this cardholder; a velocity limit says more
    "too-many-open-holds": "65",  # exceeds frequency limit
    "timed-out": "68",  # response received too late
    "insufficient-open-to-buy": "51",
    "suspected-fraud": "59",
    "scoring-unavailable": "91",  # issuer inoperative
    "no-matching-hold": "25",  # no such record
}
"""Response code by DeclineReason."""
ACKNOWLEDGEMENT_CODES: Final = {
    "unknown-account": "14",
    "conflicting-duplicate": "94",
    "currency-mismatch": "12",
}
"""Of advices and reversals, which cannot be declined: everything else is 00, done or nothing left to do."""
MALFORMED_CODES: Final = {
    MalformedReason.UNSUPPORTED_TYPE: "12",
    MalformedReason.MISSING_ELEMENT: "30",
    MalformedReason.INVALID_ELEMENT: "30",
    MalformedReason.UNKNOWN_CARD_NUMBER: "14",
    MalformedReason.CARD_NUMBER_EXPOSED: "30",
}
_CARD_CODES: Final[dict[str, str]] = {"lost": "41", "stolen": "43", "closed": "14", "frozen": "62"}
_LIMIT_CODES: Final[dict[str, str]] = {"amount": "61", "count": "65"}

RESPONSE_TYPES: Final = {
    **dict.fromkeys(("0100", "0101"), "0110"),
    **dict.fromkeys(("0120", "0121"), "0130"),
    **dict.fromkeys(("0200", "0201"), "0210"),
    **dict.fromkeys(("0400", "0401"), "0410"),
    **dict.fromkeys(("0420", "0421"), "0430"),
}
ECHOED: Final = (2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 18, 19, 32, 33, 37, 41, 42, 49, 50, 51, 60, 62, 63, 90, 95)
_ANSWERED_BY: Final[dict[str, type[Reply]]] = {
    "0110": AuthorizationDecision,
    "0130": AdviceAcknowledgement,
    "0210": AuthorizationDecision,
    "0410": ReversalAcknowledgement,
    "0430": ReversalAcknowledgement,
}


def response_code(reply: Reply) -> str:
    """Element 39."""
    if not isinstance(reply, AuthorizationDecision):
        return ACKNOWLEDGEMENT_CODES.get(reply.outcome, APPROVED)
    if reply.outcome != "declined":
        return PARTIALLY_APPROVED if reply.outcome == "partially-approved" else APPROVED
    code = DECLINE_CODES.get(reply.reason or "", DO_NOT_HONOUR)
    if reply.reason == "card-not-active":
        return _CARD_CODES.get(reply.detail or "", code)
    if reply.reason == "control":
        return _LIMIT_CODES.get(reply.detail or "", code)
    return code


def encode_response(request_iso: bytes, reply: Reply) -> bytes:
    """The answer to the request in `request_iso`, whose elements it repeats.

    Raises Unencodable when `request_iso` is not one that `reply` can answer: pairing them is the caller's duty.
    """
    request = unpack(request_iso)
    if isinstance(request, Malformed):
        raise Unencodable("request_iso", str(request))
    response_type = RESPONSE_TYPES.get(request[MESSAGE_TYPE])
    if response_type is None or not isinstance(reply, _ANSWERED_BY[response_type]):
        raise Unencodable("request_iso", f"a {request[MESSAGE_TYPE]} is not answered by this {reply.type}")
    response = _echo(request, response_type) | {39: response_code(reply)}
    if isinstance(reply, AuthorizationDecision):
        response |= _decided(request, reply)
    return pack(response)


def refuse(request_iso: bytes, malformed: Malformed) -> bytes | None:
    """The answer to a message that `decode` would not take; None when it cannot be read or is of a type that is not
    answered."""
    request = unpack(request_iso)
    if isinstance(request, Malformed) or request[MESSAGE_TYPE] not in RESPONSE_TYPES:
        return None
    code = MALFORMED_CODES.get(malformed.reason, DECLINE_CODES["malformed"])
    return pack(_echo(request, RESPONSE_TYPES[request[MESSAGE_TYPE]]) | {39: code})


def _echo(request: Elements, response_type: str) -> Elements:
    return {MESSAGE_TYPE: response_type} | {number: request[number] for number in ECHOED if number in request}


def _decided(request: Elements, decision: AuthorizationDecision) -> Elements:
    """Approval code (38), AVS and CVV results (44, two characters each), and a partly approved amount."""
    elements: Elements = {}
    if decision.approval_code is not None:
        elements[38] = f"{decision.approval_code:<6}"
    if decision.avs_result or decision.cvv_result:
        elements[44] = f"{decision.avs_result or '':<2}{decision.cvv_result or '':<2}".rstrip()
    if decision.outcome == "partially-approved":
        elements |= _partial_amounts(request, decision.approved_amount)
    return elements


def _partial_amounts(request: Elements, approved: int) -> Elements:
    """4 (and 6) hold the approved amount, 54 the asked one (amount type 57). With a billing amount, 4 is the same part
    of the merchant's amount, rounded down so that it never costs more than was approved."""
    asked = int(request[4])
    original = f"0057{request[49]}D{request[4]}"
    if 6 not in request:
        return {4: write_amount(approved), 54: original}
    part = asked * approved // max(int(request[6]), 1)
    return {4: write_amount(part), 6: write_amount(approved), 54: original}
