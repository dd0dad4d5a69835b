"""The answers an account remembers, so that a repeated message gets the stored answer and changes nothing.

The identity of an authorisation request is its network reference, of every other message its message id. The
content is compared by fingerprint: the same identity with other content is a conflict, never a second effect.
Times are not content: a network stamps a retry anew.

Whole answers are kept for the minutes in which networks retry. Files of presentments and payments are sent twice days
later, and there a second effect would be money, so of those a short digest is kept for much longer (`posted`).
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from models.messages import AccountOpened, AuthorizationRequest, PaymentReceived, Presentment, Reversal

KEEP_MS: Final = 15 * 60_000
"""Networks repeat within seconds, acquirers within minutes."""
KEEP_AT_LEAST: Final = 4
KEEP_AT_MOST: Final = 128
DIGEST_BYTES: Final = 6
"""One false match in 2 million million messages at KEEP_POSTED."""
KEEP_POSTED: Final = 128
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"


class AuthorizationAnswer(msgspec.Struct, array_like=True, tag=0):
    fingerprint: int
    decided_at: int
    reason: str | None  # None: approved
    open_to_buy: int
    fraud_score: int | None
    fraud_reasons: list[str]
    model_version: str | None


class ReversalAnswer(msgspec.Struct, array_like=True, tag=1, gc=False):
    fingerprint: int
    decided_at: int
    outcome: str
    released: int
    open_to_buy: int


class UpdateAnswer(msgspec.Struct, array_like=True, tag=2, gc=False):
    fingerprint: int
    decided_at: int
    outcome: str
    posted_balance: int
    open_holds: int
    open_to_buy: int


Answer = AuthorizationAnswer | ReversalAnswer | UpdateAnswer


def fingerprint(*content: object) -> int:
    """63 bits of BLAKE2b over the parts; the separator cannot occur in any validated field."""
    text = "\x1f".join([str(part) for part in content])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def authorization_fingerprint(request: AuthorizationRequest) -> int:
    return fingerprint(
        request.card_token, request.card_expiry, request.amount, request.currency, request.merchant_id,
        request.merchant_name, request.merchant_country, request.mcc, request.entry_mode, request.card_present,
    )  # fmt: skip


def reversal_fingerprint(message: Reversal) -> int:
    return fingerprint(message.network_reference)


def presentment_fingerprint(message: Presentment) -> int:
    return fingerprint(
        message.network_reference, message.amount, message.currency, message.merchant_id, message.mcc, message.final
    )


def payment_fingerprint(message: PaymentReceived) -> int:
    return fingerprint(message.amount, message.currency)


def opening_fingerprint(message: AccountOpened) -> int:
    return fingerprint(
        message.card_token, message.card_expiry, message.credit_limit, message.currency, message.home_country
    )


def approval_code(fingerprint: int) -> str:
    """Six characters for the receipt, the same for every repeat of the request (ISO 8583 data element 38)."""
    code = ""
    for _ in range(6):
        fingerprint, digit = divmod(fingerprint, len(_ALPHABET))
        code += _ALPHABET[digit]
    return code


def remember(answers: dict[str, Answer], key: str, answer: Answer, now: int) -> None:
    """Store `answer` and forget the oldest ones beyond the bounds: those older than KEEP_MS down to KEEP_AT_LEAST."""
    answers[key] = answer
    while len(answers) > KEEP_AT_LEAST:
        oldest = next(iter(answers))
        if len(answers) <= KEEP_AT_MOST and now - answers[oldest].decided_at < KEEP_MS:
            break
        del answers[oldest]


def digest(message_id: str) -> bytes:
    """DIGEST_BYTES that stand for a message id in a row."""
    return hashlib.blake2b(message_id.encode(), digest_size=DIGEST_BYTES).digest()


def is_posted(posted: bytes, message_id: str) -> bool:
    """Whether `message_id` is among the digests in `posted`."""
    wanted = digest(message_id)
    at = posted.find(wanted)
    while at >= 0 and at % DIGEST_BYTES:
        at = posted.find(wanted, at + 1)
    return at >= 0


def add_posted(posted: bytes, message_id: str) -> bytes:
    """`posted` with one more digest, the oldest dropped beyond KEEP_POSTED."""
    return (posted + digest(message_id))[-KEEP_POSTED * DIGEST_BYTES :]
