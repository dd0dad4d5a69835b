"""Clearing: merchants collect, and give back."""

from __future__ import annotations

from models import hold
from models.account import MAX_PRESENTED, Account, Taken
from models.answers import digest
from models.journal import EntryType
from models.matching import match
from models.messages import JournalEntry, Presentment, Refund
from models.outcomes import UpdateOutcome
from models.result import Result
from models.update import Posted, same_currency, update


def present(account: Account | None, message: Presentment) -> Result:
    """Post what the merchant collects. A debt exists with or without a hold, so the amount always posts."""
    return update(account, message, same_currency, _post_presentment)


def refund(account: Account | None, message: Refund) -> Result:
    """Credit what the merchant gives back; what exceeds its purchase is kept for review, never dropped."""
    return update(account, message, same_currency, _post_refund)


def _post_presentment(account: Account, message: Presentment, now: int) -> Posted:
    found = match(account, message, now)
    consumed: list[JournalEntry] = []
    if found.reference is not None:
        consumed = hold.consume(account, found.reference, message.amount, message.final, now)
        outcome = UpdateOutcome.APPLIED
    else:
        outcome = UpdateOutcome.POSTED_WITHOUT_HOLD if found.rule is None else UpdateOutcome.POSTED_AMBIGUOUS
    account.posted_balance += message.amount
    entry_type = EntryType.PRESENTMENT_POSTED if message.kind == "purchase" else EntryType.CASH_ADVANCE_POSTED
    posted = hold.book(account, entry_type, message.amount, message.message_id, now)
    _remember(account, message, found.reference)
    ambiguous = outcome is UpdateOutcome.POSTED_AMBIGUOUS
    return Posted([*consumed, posted], outcome, ambiguous, found.reference, found.rule)


def _remember(account: Account, message: Presentment, hold_reference: str | None) -> None:
    """For refunds and disputes, which come weeks later; they may also name the authorisation."""
    presented, purchase = account.presented, digest(message.network_reference)
    presented[purchase] = presented.pop(purchase, 0) + message.amount  # to the end: the latest stay
    if hold_reference is not None and hold_reference != message.network_reference:
        account.purchase_of[digest(hold_reference)] = purchase
    if len(presented) > MAX_PRESENTED:
        oldest = next(iter(presented))
        del presented[oldest]
        account.taken.pop(oldest, None)
        account.purchase_of = {held: bought for held, bought in account.purchase_of.items() if bought != oldest}


def _post_refund(account: Account, message: Refund, now: int) -> Posted:
    purchase = account.purchase(message.original_reference) if message.original_reference else None
    if purchase is None:
        return Posted([_credit(account, message, message.amount, now)], UpdateOutcome.POSTED_UNLINKED)
    presented = account.presented[purchase]
    taken = account.taken.setdefault(purchase, Taken())
    credited = min(message.amount, presented - taken.refunded - taken.credited)
    taken.refunded += credited
    entries = [_credit(account, message, credited, now)] if credited else []
    excess = message.amount - credited
    if not excess:
        return Posted(entries)
    entries.append(hold.book(account, EntryType.REFUND_SUSPENDED, excess, message.message_id, now))
    outcome = UpdateOutcome.PARTLY_SUSPENDED if credited else UpdateOutcome.SUSPENDED
    return Posted(entries, outcome, parked=True)


def _credit(account: Account, message: Refund, amount: int, now: int) -> JournalEntry:
    account.posted_balance -= amount
    return hold.book(account, EntryType.REFUND_POSTED, amount, message.message_id, now)
