"""What is said, and what is undone, when no decision came within the deadline.

The network is told 91 (issuer unavailable) and may decide itself. The request may still reach the engine, so whatever
it could do is taken back:

    request      a reversal of its reference, at once. It is safe whichever comes first: a late approval is released,
                 and a request that comes after its reversal is declined (docs/lifecycle.md)
    increment    a reversal of what it added to the original's hold, once its late approval is seen. Before that it may
                 as well be declined, and a reversal would take what is not its own
    advice, reversal, account verification, refund: they leave nothing that a refusal contradicts

The id of such a reversal derives from the reference alone, so that sending it twice is sending it once.
"""

from __future__ import annotations

import hashlib
from typing import Final

from models.messages import (
    AuthorizationDecision,
    AuthorizationIncrement,
    AuthorizationMessage,
    AuthorizationRequest,
    Reversal,
)
from topics.iso8583 import Malformed
from topics.iso8583.packager import MESSAGE_TYPE, Elements, pack, unpack
from topics.iso8583.response import ECHOED, RESPONSE_TYPES

UNAVAILABLE: Final = "91"
_HOLDS_NOTHING: Final = frozenset({"account-verification", "refund"})
_PREFIX: Final = "timeout-"
_ID_LENGTH: Final = 64


def unavailable(raw: bytes) -> bytes:
    """The answer 91 to a request that `topics.iso8583.decode` took."""
    request = unpack(raw)
    if isinstance(request, Malformed):
        raise ValueError(f"not a request that was taken: {request}")
    response: Elements = {MESSAGE_TYPE: RESPONSE_TYPES[request[MESSAGE_TYPE]], 39: UNAVAILABLE}
    return pack(response | {number: request[number] for number in ECHOED if number in request})


def can_hold(message: AuthorizationMessage) -> bool:
    """Whether the message can leave a hold, or add to one, that a refusal contradicts."""
    if isinstance(message, AuthorizationRequest):
        return message.kind not in _HOLDS_NOTHING
    return isinstance(message, AuthorizationIncrement)


def undo_unseen(message: AuthorizationMessage) -> Reversal | None:
    """Takes back what the engine may yet do; None when nothing can be said before its decision is seen."""
    if not isinstance(message, AuthorizationRequest) or not can_hold(message):
        return None
    return _reversal(message, message.network_reference, None)


def undo_decided(message: AuthorizationMessage, reply: object) -> Reversal | None:
    """Takes back what the reply says was done; None when that is nothing, or not known: the answer to an increment to
    a total does not say by how much the hold grew."""
    if not is_approval(reply):
        return None
    if not isinstance(message, AuthorizationIncrement):
        return undo_unseen(message)
    return _reversal(message, message.original_reference, message.amount) if message.amount_is == "delta" else None


def is_approval(reply: object) -> bool:
    return isinstance(reply, AuthorizationDecision) and reply.outcome != "declined"


def reversal_id(reference: str) -> str:
    """The message id of the reversal that takes back what `reference` named; at most 64 characters."""
    if len(_PREFIX) + len(reference) <= _ID_LENGTH:
        return _PREFIX + reference
    return _PREFIX + hashlib.blake2b(reference.encode(), digest_size=16).hexdigest()


def _reversal(message: AuthorizationRequest | AuthorizationIncrement, reference: str, amount: int | None) -> Reversal:
    return Reversal(
        "reversal", 1, reversal_id(message.network_reference), reference, message.account_id, message.transmitted_at,
        amount, "timeout",
    )  # fmt: skip
