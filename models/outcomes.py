"""The names of everything that can happen to a message. A rejection is a value with a name, never an exception."""

from __future__ import annotations

from enum import StrEnum


class DeclineReason(StrEnum):
    """Why an authorisation request was declined; checks run in this order and the first one that fails is named."""

    MALFORMED = "malformed"
    UNKNOWN_ACCOUNT = "unknown-account"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"  # same network reference, other content
    STALE_DUPLICATE = "stale-duplicate"  # the hold is open but the stored answer has left the row
    UNKNOWN_CARD = "unknown-card"
    CARD_NOT_ACTIVE = "card-not-active"
    EXPIRED_CARD = "expired-card"
    CARD_EXPIRY_MISMATCH = "card-expiry-mismatch"
    ACCOUNT_NOT_ACTIVE = "account-not-active"
    CURRENCY_MISMATCH = "currency-mismatch"
    TOO_MANY_OPEN_HOLDS = "too-many-open-holds"
    INSUFFICIENT_OPEN_TO_BUY = "insufficient-open-to-buy"
    SUSPECTED_FRAUD = "suspected-fraud"


class ReversalOutcome(StrEnum):
    RELEASED = "released"
    NOTHING_TO_RELEASE = "nothing-to-release"  # no such hold: declined, expired, presented or never seen
    UNKNOWN_ACCOUNT = "unknown-account"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"


class UpdateOutcome(StrEnum):
    """What became of a clearing, a payment or an account event."""

    APPLIED = "applied"
    POSTED_WITHOUT_HOLD = "posted-without-hold"  # a presentment with no open hold: posted all the same
    DUPLICATE = "duplicate"  # applied long ago; its stored answer has left the row, its effect stands
    UNKNOWN_ACCOUNT = "unknown-account"
    ACCOUNT_EXISTS = "account-exists"
    CURRENCY_MISMATCH = "currency-mismatch"
    UNKNOWN_CURRENCY = "unknown-currency"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"
