"""Advices and reversals: what tells us about a hold and cannot be refused."""

from __future__ import annotations

from models.messages import AdviceAcknowledgement, AuthorizationAdvice, Reversal, ReversalAcknowledgement
from tests.support.auditor.agreement import Verdict, nothing
from tests.support.auditor.book import Book, Hold
from tests.support.auditor.calendar import life
from tests.support.auditor.memory import request_known
from tests.support.auditor.requests import Rules


def advice(book: Book, message: AuthorizationAdvice, _reply: AdviceAcknowledgement, now: int, rules: Rules) -> Verdict:
    if message.currency != book.opening.currency:
        return nothing("currency-mismatch")
    reference = meant(message)
    hold = book.open_hold(reference, now)
    book.move_to(now)
    if not message.approved:
        outcome = _declined(book, hold, reference)
    elif hold is not None:
        outcome = _adjust(book, hold, message.amount) if message.reason == "completion" else "superseded"
    elif book.purchase(reference) is not None:
        outcome = "superseded"
    elif book.reversed_early(reference, now) or message.amount == 0 or not book.has_room_for_hold(now):
        outcome = "noted"
    else:
        outcome = _place(book, message, reference, now, rules)
    open_hold = book.open_hold(reference, now)
    return Verdict({"outcome": outcome, "held": 0 if open_hold is None else open_hold.held()})


def meant(message: AuthorizationAdvice) -> str:
    """Reference of the hold an advice is about; a completion of nothing we know stands for itself."""
    original = message.original_reference if message.reason == "completion" else None
    return original or message.network_reference


def _declined(book: Book, hold: Hold | None, reference: str) -> str:
    if book.purchase(reference) is not None or (hold is not None and hold.cleared() > 0):
        return "superseded"
    if hold is None:
        return "noted"
    book.move(hold, "hold-released", hold.held())
    return "released"


def _adjust(book: Book, hold: Hold, amount: int) -> str:
    """The final amount of the authorisation is `amount`: what of it is not yet cleared is held."""
    change = max(amount - hold.cleared(), 0) - hold.held()
    hold.authorised = amount
    book.move(hold, "hold-increased" if change > 0 else "hold-reduced", abs(change))
    return "adjusted"


def _place(book: Book, message: AuthorizationAdvice, reference: str, now: int, rules: Rules) -> str:
    lasts = life(message.mcc, message.entry_mode, message.initiated_by, False, now, rules.general_life)
    hold = Hold(
        reference=reference,
        card=message.card_token,
        merchant=message.merchant_id,
        rrn=message.rrn,
        approval_code=message.approval_code,
        placed_at=now,
        life=lasts,
        ends_at=now + lasts,
        authorised=message.amount,
    )
    book.place(hold, message.amount)
    return "placed"


def reversal(book: Book, message: Reversal, reply: ReversalAcknowledgement, now: int, _rules: Rules) -> Verdict:
    reference = message.network_reference
    hold = book.open_hold(reference, now)
    known = request_known(book, reference, now)
    book.move_to(now)
    if hold is not None:
        released = hold.held() if message.amount is None else min(message.amount, hold.held())
        hold.authorised -= released
        book.move(hold, "hold-released", released)
        if reference not in book.holds:
            book.remember_early(reference, now)
        return Verdict({"outcome": "released", "released": released})
    if known is None:  # the account may have forgotten it
        known = reply.outcome == "nothing-to-release"
    if not known:
        book.remember_early(reference, now)
    return Verdict({"outcome": "nothing-to-release" if known else "remembered", "released": 0})
