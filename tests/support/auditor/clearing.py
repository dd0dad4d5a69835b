"""Presentments, refunds and disputes: debts and what comes back of them."""

from __future__ import annotations

from models.messages import AccountUpdate, DisputeEvent, Presentment, Refund
from tests.support.auditor.agreement import OneOf, Verdict, nothing
from tests.support.auditor.book import DAY, Book, Hold, Purchase
from tests.support.auditor.requests import Rules

ONE_STEP_ON = {
    (): {"chargeback"},
    ("chargeback",): {"representment"},
    ("chargeback", "representment"): {"pre-arbitration"},
    ("chargeback", "representment", "pre-arbitration"): {"arbitration-won", "arbitration-lost"},
}
ENTRY_OF_STAGE = {
    "chargeback": "chargeback-credited",
    "representment": "chargeback-reversed",
    "pre-arbitration": "chargeback-credited",
    "arbitration-lost": "chargeback-reversed",
}


def presentment(book: Book, message: Presentment, _reply: AccountUpdate, now: int, _rules: Rules) -> Verdict:
    if message.currency != book.opening.currency:
        return nothing("currency-mismatch")
    book.move_to(now)
    rule, candidates = _candidates(book, message, now)
    book.write("presentment-posted" if message.kind == "purchase" else "cash-advance-posted", message.amount)
    book.present(message.network_reference, message.amount)
    if not candidates:
        return Verdict({"outcome": "posted-without-hold", "hold_reference": None, "match_rule": None})
    if len(candidates) > 1:
        return Verdict({"outcome": "posted-ambiguous", "hold_reference": None, "match_rule": OneOf(None, rule)})
    hold = candidates[0]
    book.consumed[hold.reference] = message.network_reference
    consumed = min(message.amount, hold.held())
    rest = hold.held() - consumed if message.final else 0
    book.move(hold, "hold-consumed", consumed)
    if rest:
        book.move(hold, "hold-released", rest)
    return Verdict({"outcome": "applied", "hold_reference": hold.reference, "match_rule": rule})


def _candidates(book: Book, message: Presentment, now: int) -> tuple[str | None, list[Hold]]:
    """The first rule that finds a hold, and all holds it finds."""
    holds = list(book.holds.values())
    by_reference = [hold for hold in holds if hold.reference == message.network_reference]
    codes = (message.rrn, message.approval_code)
    by_codes = [hold for hold in holds if None not in codes and (hold.rrn, hold.approval_code) == codes]
    by_amount = [hold for hold in holds if _plausible(hold, message, now)]
    for rule, found in (
        ("network-reference", by_reference),
        ("rrn-approval-code", by_codes),
        ("card-merchant-amount", by_amount),
    ):
        if found:
            return rule, found
    return None, []


def _plausible(hold: Hold, message: Presentment, now: int) -> bool:
    return (
        (hold.card, hold.merchant) == (message.card_token, message.merchant_id)
        and 80 * message.amount <= 100 * hold.held() <= 125 * message.amount
        and now - hold.placed_at <= 31 * DAY
    )


def refund(book: Book, message: Refund, _reply: AccountUpdate, now: int, _rules: Rules) -> Verdict:
    if message.currency != book.opening.currency:
        return nothing("currency-mismatch")
    purchase = book.purchase(message.original_reference)
    book.move_to(now)
    if purchase is None:
        book.write("refund-posted", message.amount)
        return Verdict({"outcome": "posted-unlinked"})
    linked = min(message.amount, purchase.left())
    purchase.refunded += linked
    book.write("refund-posted", linked)
    book.write("refund-suspended", message.amount - linked)
    if linked == message.amount:
        return Verdict({"outcome": "applied"})
    return Verdict({"outcome": "partly-suspended" if linked else "suspended"})


def dispute(book: Book, message: DisputeEvent, _reply: AccountUpdate, now: int, _rules: Rules) -> Verdict:
    if message.currency != book.opening.currency:
        return nothing("currency-mismatch")
    purchase = book.purchase(message.original_reference)
    if purchase is None:
        return nothing("unknown-purchase")
    stages = tuple(stage for stage, _amount in purchase.chain)
    if message.stage not in ONE_STEP_ON.get(stages, set()):
        return nothing("illegal-dispute-stage")
    if message.stage != "arbitration-won" and message.amount > _at_most(purchase, message.stage):
        return nothing("amount-exceeds-purchase")
    book.move_to(now)
    purchase.chain.append((message.stage, message.amount))
    if message.stage in ENTRY_OF_STAGE:
        book.write(ENTRY_OF_STAGE[message.stage], message.amount)
    return Verdict({"outcome": "applied"})


def _at_most(purchase: Purchase, stage: str) -> int:
    credited = purchase.charged_back()
    if stage == "chargeback":
        return purchase.presented - purchase.refunded
    if stage == "pre-arbitration":
        first = purchase.chain[0][1]
        return min(first - credited, purchase.presented - purchase.refunded - credited)
    return credited
