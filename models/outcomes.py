"""The names of everything that can happen to a message. A rejection is a value with a name, never an exception."""

from __future__ import annotations

from enum import StrEnum


class DeclineReason(StrEnum):
    """Why an authorisation request or increment was declined; checks run in this order, the first that fails counts."""

    MALFORMED = "malformed"  # it cannot be read, or is from the future
    SYSTEM_MALFUNCTION = "system-malfunction"  # nothing is wrong with it, but we cannot decide it; it is parked
    UNKNOWN_ACCOUNT = "unknown-account"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"  # same network reference, other content
    STALE_DUPLICATE = "stale-duplicate"  # the stored answer has left the row, but not the effect: it stands
    REVERSED_BEFORE_ARRIVAL = "reversed-before-arrival"  # its reversal overtook it
    INVALID_AMOUNT = "invalid-amount"  # zero that is no account verification, or the other way round
    NO_MATCHING_HOLD = "no-matching-hold"  # an increment of nothing
    UNKNOWN_CARD = "unknown-card"
    CARD_NOT_ACTIVE = "card-not-active"
    EXPIRED_CARD = "expired-card"
    CARD_EXPIRY_MISMATCH = "card-expiry-mismatch"
    ACCOUNT_NOT_ACTIVE = "account-not-active"
    CURRENCY_MISMATCH = "currency-mismatch"
    CONTROL = "control"  # the decision's `control` names which
    TOO_MANY_OPEN_HOLDS = "too-many-open-holds"
    TIMED_OUT = "timed-out"  # it waited for so long that the network has given up on the answer
    INSUFFICIENT_OPEN_TO_BUY = "insufficient-open-to-buy"
    SUSPECTED_FRAUD = "suspected-fraud"
    SCORING_UNAVAILABLE = "scoring-unavailable"  # and more than the stand-in rule lets through


class ReversalOutcome(StrEnum):
    RELEASED = "released"
    NOTHING_TO_RELEASE = "nothing-to-release"  # declined, presented, reversed or expired
    REMEMBERED = "remembered"  # it came before its authorisation, which will be refused
    DUPLICATE = "duplicate"  # released long ago; its stored answer has left the row, its effect stands
    UNKNOWN_ACCOUNT = "unknown-account"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"


class AdviceOutcome(StrEnum):
    """What an advice did. It cannot be declined: it tells what happened."""

    ADJUSTED = "adjusted"  # the hold has the final amount
    PLACED = "placed"  # a hold that the network approved on our behalf
    RELEASED = "released"  # the network declined: the hold ended
    NOTED = "noted"  # nothing to do
    SUPERSEDED = "superseded"  # later events have already settled it
    DUPLICATE = "duplicate"  # booked long ago; its stored answer has left the row, its effect stands
    UNKNOWN_ACCOUNT = "unknown-account"
    CURRENCY_MISMATCH = "currency-mismatch"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"


class UpdateOutcome(StrEnum):
    """What became of a clearing, a payment or an account event."""

    APPLIED = "applied"
    POSTED_WITHOUT_HOLD = "posted-without-hold"  # a presentment with no open hold: posted all the same
    POSTED_AMBIGUOUS = "posted-ambiguous"  # more than one hold could be meant: posted, none consumed, parked
    POSTED_UNLINKED = "posted-unlinked"  # a refund without a purchase that is remembered
    PARTLY_SUSPENDED = "partly-suspended"  # a refund larger than what is left of its purchase: the excess is reviewed
    SUSPENDED = "suspended"  # a refund of a purchase of which nothing is left
    DUPLICATE = "duplicate"  # applied long ago; its stored answer has left the row, its effect stands
    UNKNOWN_ACCOUNT = "unknown-account"
    ACCOUNT_EXISTS = "account-exists"
    CURRENCY_MISMATCH = "currency-mismatch"
    UNKNOWN_CURRENCY = "unknown-currency"
    UNKNOWN_TIME_ZONE = "unknown-time-zone"
    UNKNOWN_CARD = "unknown-card"
    UNKNOWN_PURCHASE = "unknown-purchase"
    ILLEGAL_DISPUTE_STAGE = "illegal-dispute-stage"
    AMOUNT_EXCEEDS_PURCHASE = "amount-exceeds-purchase"
    ILLEGAL_STATUS_CHANGE = "illegal-status-change"
    INVALID_CONTROLS = "invalid-controls"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"
