"""Which hold a presentment means. The rule that found it is part of the answer; a guess is never made silently.

Networks carry their transaction id through to the clearing, but not always: older terminals, forced posts and some
processors leave only the retrieval reference and the approval code, or nothing but card, merchant and amount.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from models.account import DAY_MS, Account, Hold
from models.messages import Presentment

LEAST_PERCENT: Final = 80
MOST_PERCENT: Final = 125
"""A hold may be this much smaller or larger than the presented amount: tips, tax, exchange rates."""
LONGEST_MS: Final = 31 * DAY_MS


class MatchRule(StrEnum):
    NETWORK_REFERENCE = "network-reference"
    RRN_APPROVAL_CODE = "rrn-approval-code"
    CARD_MERCHANT_AMOUNT = "card-merchant-amount"


class Match(NamedTuple):
    """`reference` is None when no hold matches, or when more than one does: then `rule` says by which."""

    reference: str | None
    rule: MatchRule | None


NO_MATCH: Final = Match(None, None)


def match(account: Account, message: Presentment, now: int) -> Match:
    """The hold meant, among those that are open at `now` (ended ones have left the row before)."""
    if message.network_reference in account.holds:
        return Match(message.network_reference, MatchRule.NETWORK_REFERENCE)
    if message.rrn is not None and message.approval_code is not None:
        found = [reference for reference, hold in account.holds.items() if _same_slip(hold, message)]
        if found:
            return _only(found, MatchRule.RRN_APPROVAL_CODE)
    if message.card_token in account.cards:
        card = account.position_of(message.card_token)
        found = [reference for reference, hold in account.holds.items() if _alike(hold, message, card, now)]
        if found:
            return _only(found, MatchRule.CARD_MERCHANT_AMOUNT)
    return NO_MATCH


def _only(found: list[str], rule: MatchRule) -> Match:
    return Match(found[0] if len(found) == 1 else None, rule)


def _same_slip(hold: Hold, message: Presentment) -> bool:
    return hold.rrn == message.rrn and hold.approval_code == message.approval_code


def _alike(hold: Hold, message: Presentment, card: int, now: int) -> bool:
    return (
        hold.card == card
        and hold.merchant_id == message.merchant_id
        and message.amount * LEAST_PERCENT <= hold.amount * 100 <= message.amount * MOST_PERCENT
        and now - hold.placed_at <= LONGEST_MS
    )
