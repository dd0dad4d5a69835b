"""Payments, credit limits, statuses and controls."""

from __future__ import annotations

from models.messages import (
    AccountOpened,
    AccountStatusChanged,
    AccountUpdate,
    CardStatusChanged,
    ControlsSet,
    CreditLimitChanged,
    PaymentReceived,
)
from tests.support.auditor import controls
from tests.support.auditor.agreement import Verdict, nothing
from tests.support.auditor.book import Book, Controls
from tests.support.auditor.requests import Rules

OPEN = ["active", "frozen", "delinquent-blocked"]
ACCOUNT_MOVES = {  # models/status.py says why
    **{status: [*OPEN, "closed", "charged-off", "deceased", "bankrupt"] for status in OPEN},
    "closed": ["charged-off", "deceased", "bankrupt"],
    "charged-off": ["closed", "deceased", "bankrupt"],
    "deceased": ["closed", "charged-off"],
    "bankrupt": ["closed", "charged-off", "deceased"],
}
CARD_MOVES: dict[str, list[str]] = {
    "active": ["frozen", "lost", "stolen", "closed"],
    "frozen": ["active", "lost", "stolen", "closed"],
    "lost": ["closed"],
    "stolen": ["closed"],
    "closed": [],
}


def opening(message: AccountOpened) -> Book:
    book = Book(message, message.transmitted_at, message.credit_limit)
    book.cards[message.card_token] = "active"
    return book


def opened_again(_book: Book, _message: AccountOpened, _reply: AccountUpdate, _now: int, _rules: Rules) -> Verdict:
    return nothing("account-exists")


def payment(book: Book, message: PaymentReceived, _reply: AccountUpdate, now: int, _rules: Rules) -> Verdict:
    if message.currency != book.opening.currency:
        return nothing("currency-mismatch")
    book.move_to(now)
    book.write("payment-posted", message.amount)
    return Verdict({"outcome": "applied"})


def limit(book: Book, message: CreditLimitChanged, _reply: AccountUpdate, now: int, _rules: Rules) -> Verdict:
    if message.currency != book.opening.currency:
        return nothing("currency-mismatch")
    book.move_to(now)
    book.credit_limit = message.credit_limit
    return Verdict({"outcome": "applied"})


def account_status(
    book: Book, message: AccountStatusChanged, _reply: AccountUpdate, now: int, _rules: Rules
) -> Verdict:
    if message.status != book.status and message.status not in ACCOUNT_MOVES[book.status]:
        return nothing("illegal-status-change")
    book.move_to(now)
    book.status = message.status
    return Verdict({"outcome": "applied"})


def card_status(book: Book, message: CardStatusChanged, _reply: AccountUpdate, now: int, _rules: Rules) -> Verdict:
    old = book.cards.get(message.card_token)
    if old is None:
        return nothing("unknown-card")
    if message.status != old and message.status not in CARD_MOVES[old]:
        return nothing("illegal-status-change")
    book.move_to(now)
    book.cards[message.card_token] = message.status
    return Verdict({"outcome": "applied"})


def set_controls(book: Book, message: ControlsSet, _reply: AccountUpdate, now: int, _rules: Rules) -> Verdict:
    if message.card_token is not None and message.card_token not in book.cards:
        return nothing("unknown-card")
    if not controls.valid(message):
        return nothing("invalid-controls")
    book.move_to(now)
    book.controls[message.card_token] = Controls(message, len(book.approvals))
    return Verdict({"outcome": "applied"})
