"""A second, simpler model of an account that checks the engine's replies. It shares no code with `models/`.

It keeps everything for ever and derives every figure anew from a list of facts, so it is slow and hard to get wrong:

    posted balance   what was presented minus what was paid
    open holds       what was approved minus what was released, consumed or expired
    open-to-buy      limit - posted balance - holds that have not ended by now

It cannot know the fraud model's mind: a decline for suspected fraud is taken from the reply if a score stands in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from models.messages import (
    AccountOpened,
    AccountUpdate,
    AuthorizationDecision,
    AuthorizationRequest,
    Inbound,
    JournalEntry,
    PaymentReceived,
    Presentment,
    Reversal,
    ReversalAcknowledgement,
)

Reply = AuthorizationDecision | ReversalAcknowledgement | AccountUpdate
HOLD_LIFE = 7 * 86_400_000
MOST_HOLDS = 200


@dataclass
class Fact:
    """One movement: `account` is the ledger account, debit positive."""

    sequence: int
    account: str
    amount: int


@dataclass
class Book:
    """What the auditor knows of one account."""

    opening: AccountOpened
    latest: int
    holds: dict[str, list[int]] = field(default_factory=dict)  # reference -> [amount still held, end]
    presented: list[int] = field(default_factory=list)
    paid: list[int] = field(default_factory=list)
    answered: dict[str, tuple[Any, Reply]] = field(default_factory=dict)

    def balance(self) -> int:
        return sum(self.presented) - sum(self.paid)

    def held(self, now: int) -> int:
        return sum(amount for amount, end in self.holds.values() if end > now)

    def open_to_buy(self, now: int) -> int:
        return self.opening.credit_limit - self.balance() - self.held(now)


class Disagreement(AssertionError):
    """The engine's reply is not the auditor's."""


class Auditor:
    """Feed it every message with the engine's reply, in the order the engine saw them."""

    def __init__(self, hold_life: int = HOLD_LIFE) -> None:
        self.books: dict[str, Book] = {}
        self.hold_life = hold_life

    def check(self, message: Inbound, reply: Reply) -> None:
        """Raise Disagreement unless `reply` is right; then take the message into the books."""
        if isinstance(message, AuthorizationRequest):
            assert isinstance(reply, AuthorizationDecision)
            self._request(message, reply)
        elif isinstance(message, Reversal):
            assert isinstance(reply, ReversalAcknowledgement)
            self._reversal(message, reply)
        else:
            assert isinstance(reply, AccountUpdate)
            self._update(message, reply)  # type: ignore[arg-type]

    def check_entries(self, account_id: str, entries: list[JournalEntry]) -> None:
        """All journal entries of one account, in order: dense, balanced, and adding up to the books."""
        book = self.books[account_id]
        same(f"{account_id}: sequences", [entry.sequence for entry in entries], list(range(1, len(entries) + 1)))
        totals: dict[str, int] = {}
        for entry in entries:
            same(f"{account_id}: entry {entry.sequence} balances", sum(p.amount for p in entry.postings), 0)
            for posting in entry.postings:
                totals[posting.ledger_account] = totals.get(posting.ledger_account, 0) + posting.amount
        same(f"{account_id}: receivable", totals.get("cardholder-receivable", 0), book.balance())
        unswept = sum(amount for amount, _end in book.holds.values())
        same(f"{account_id}: open holds", totals.get("open-holds", 0), unswept)

    def _request(self, message: AuthorizationRequest, reply: AuthorizationDecision) -> None:
        book = self.books.get(message.account_id)
        if book is None:
            same("unknown account", (reply.outcome, reply.reason), ("declined", "unknown-account"))
            return
        content = replace(message, transmitted_at=0)
        if message.network_reference in book.answered:
            self._repeat(book.answered[message.network_reference], content, reply, "conflicting-duplicate")
            return
        now = max(book.latest, message.transmitted_at)
        fraud = reply.reason == "suspected-fraud" and reply.fraud_score is not None
        expected = self._first_objection(book, message, now) or ("suspected-fraud" if fraud else None)
        same(f"{message.network_reference}: reason", reply.reason, expected)
        same("outcome", reply.outcome, "declined" if expected else "approved")
        self._move_to(book, now)
        if expected is None:
            book.holds[message.network_reference] = [message.amount, now + self.hold_life]
        same("open-to-buy", reply.open_to_buy, book.open_to_buy(now))
        book.answered[message.network_reference] = (content, reply)

    def _first_objection(self, book: Book, message: AuthorizationRequest, now: int) -> str | None:
        opening = book.opening
        live = {reference for reference, (_amount, _end) in book.holds.items()}
        checks = (
            ("unknown-card", message.card_token != opening.card_token),
            ("expired-card", opening.card_expiry < yyyymm(now)),
            ("card-expiry-mismatch", message.card_expiry != opening.card_expiry),
            ("currency-mismatch", message.currency != opening.currency),
            ("too-many-open-holds", len(live) >= MOST_HOLDS),
            ("insufficient-open-to-buy", message.amount > book.open_to_buy(now)),
        )
        return next((reason for reason, failed in checks if failed), None)

    def _reversal(self, message: Reversal, reply: ReversalAcknowledgement) -> None:
        book = self.books.get(message.account_id)
        if book is None:
            same("unknown account", (reply.outcome, reply.released), ("unknown-account", 0))
            return
        content = replace(message, transmitted_at=0)
        if message.message_id in book.answered:
            self._repeat(book.answered[message.message_id], content, reply, "conflicting-duplicate")
            return
        now = max(book.latest, message.transmitted_at)
        self._move_to(book, now)
        amount, _end = book.holds.pop(message.network_reference, [0, 0])
        same("released", (reply.released, reply.outcome), (amount, "released" if amount else "nothing-to-release"))
        same("open-to-buy", reply.open_to_buy, book.open_to_buy(now))
        book.answered[message.message_id] = (content, reply)

    def _update(self, message: AccountOpened | Presentment | PaymentReceived, reply: AccountUpdate) -> None:
        book = self.books.get(message.account_id)
        content = replace(message, transmitted_at=0)
        if book is not None and message.message_id in book.answered:
            self._repeat(book.answered[message.message_id], content, reply, "conflicting-duplicate")
            return
        if isinstance(message, AccountOpened):
            same("opening", reply.outcome, "applied" if book is None else "account-exists")
            if book is None:
                book = self.books[message.account_id] = Book(message, message.transmitted_at)
                book.answered[message.message_id] = (content, reply)
            return
        if book is None or message.currency != book.opening.currency:
            same("parked", reply.outcome, "unknown-account" if book is None else "currency-mismatch")
            return
        now = max(book.latest, message.transmitted_at)
        self._move_to(book, now)
        same("outcome", reply.outcome, self._apply(book, message))
        figures = (book.balance(), sum(amount for amount, _end in book.holds.values()), book.open_to_buy(now))
        same("figures", (reply.posted_balance, reply.open_holds, reply.open_to_buy), figures)
        book.answered[message.message_id] = (content, reply)

    def _apply(self, book: Book, message: Presentment | PaymentReceived) -> str:
        if isinstance(message, PaymentReceived):
            book.paid.append(message.amount)
            return "applied"
        book.presented.append(message.amount)
        hold = book.holds.get(message.network_reference)
        if hold is None:
            return "posted-without-hold"
        hold[0] -= min(hold[0], message.amount)
        if message.final or hold[0] == 0:
            del book.holds[message.network_reference]
        return "applied"

    @staticmethod
    def _move_to(book: Book, now: int) -> None:
        book.latest = now
        for reference in [reference for reference, (_amount, end) in book.holds.items() if end <= now]:
            del book.holds[reference]

    @staticmethod
    def _repeat(first: tuple[Any, Reply], content: Any, reply: Any, conflict: str) -> None:
        if content == first[0]:
            same("a repeat is answered with the first answer", reply, first[1])
        else:
            name = reply.reason if isinstance(reply, AuthorizationDecision) else reply.outcome
            same("other content under the same identity", name, conflict)


def same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Disagreement(f"{what}: engine {found!r}, auditor {expected!r}")


def yyyymm(now: int) -> int:
    """Counts months by hand, on purpose not the way the engine does."""
    days, year, month = now // 86_400_000, 1970, 1
    while True:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        length = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
        if days < length:
            return year * 100 + month
        days -= length
        month += 1
        if month == 13:
            year, month = year + 1, 1
