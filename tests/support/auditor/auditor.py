"""Feeds each message to the part that knows it and compares what the engine said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.messages import (
    AccountOpened,
    AccountStatusChanged,
    AccountUpdate,
    AdviceAcknowledgement,
    AuthorizationAdvice,
    AuthorizationDecision,
    AuthorizationIncrement,
    AuthorizationRequest,
    CardStatusChanged,
    ControlsSet,
    CreditLimitChanged,
    DisputeEvent,
    Inbound,
    JournalEntry,
    PaymentReceived,
    Presentment,
    Refund,
    Reversal,
    ReversalAcknowledgement,
)
from tests.support.auditor import clearing, holds, memory, requests, servicing
from tests.support.auditor.agreement import Verdict, same
from tests.support.auditor.book import DAY, Book
from tests.support.auditor.requests import Rules

Reply = AuthorizationDecision | AdviceAcknowledgement | ReversalAcknowledgement | AccountUpdate

PARTS: dict[type, tuple[Callable[..., Verdict], type]] = {  # message -> (its part, the type of its reply)
    AuthorizationRequest: (requests.request, AuthorizationDecision),
    AuthorizationIncrement: (requests.increment, AuthorizationDecision),
    AuthorizationAdvice: (holds.advice, AdviceAcknowledgement),
    Reversal: (holds.reversal, ReversalAcknowledgement),
    Presentment: (clearing.presentment, AccountUpdate),
    Refund: (clearing.refund, AccountUpdate),
    DisputeEvent: (clearing.dispute, AccountUpdate),
    PaymentReceived: (servicing.payment, AccountUpdate),
    AccountOpened: (servicing.opened_again, AccountUpdate),
    AccountStatusChanged: (servicing.account_status, AccountUpdate),
    CardStatusChanged: (servicing.card_status, AccountUpdate),
    CreditLimitChanged: (servicing.limit, AccountUpdate),
    ControlsSet: (servicing.set_controls, AccountUpdate),
}


class Auditor:
    """Feed it every message with the engine's reply, in the order the engine saw them.

    `hold_life`: life of a hold that no rule of the networks names, in milliseconds. `fraud_cut` (parts per million)
    and `stand_in_limit` (minor units): None when not known; then a reply is believed about them. `shed_after`: how many
    milliseconds a request must have waited to be declined for that; how long it did is taken from the reply.
    """

    def __init__(
        self,
        hold_life: int = 7 * DAY,
        fraud_cut: int | None = None,
        stand_in_limit: int | None = None,
        shed_after: int | None = None,
    ) -> None:
        self.books: dict[str, Book] = {}
        self.rules = Rules(hold_life, fraud_cut, stand_in_limit, shed_after)

    def check(self, message: Inbound, reply: Reply) -> str | None:
        """Raise Disagreement unless `reply` is right; then take the message into the books.

        Says how it was settled from memory: as a `repeat`, a `duplicate` or a `conflict`; None: it was decided."""
        part, kind = PARTS[type(message)]
        same(f"{message.type}: type of the reply", type(reply), kind)
        account_id = message.account_id  # type: ignore[union-attr]
        _compare(message, reply, _repeated(message) | {"account_id": account_id})
        book = self.books.get(account_id)
        if book is not None:
            return self._check(book, message, reply, part)
        if isinstance(message, AccountOpened):
            self._open(message, reply)
        else:
            _compare(message, reply, _unknown_account(message))
        return None

    def tick(self, account_id: str, at: int) -> None:
        """A sweep at `at`: it writes down the holds that have ended, and does nothing else."""
        book = self.books[account_id]
        if any(hold.ends_at <= at for hold in book.holds.values()):
            book.move_to(max(book.latest, at))

    def check_entries(self, account_id: str, entries: list[JournalEntry]) -> None:
        """All journal entries of one account, in order: dense, balanced, and one by one what the books say."""
        book = self.books[account_id]
        same(f"{account_id}: sequences", [entry.sequence for entry in entries], list(range(1, len(entries) + 1)))
        totals: dict[str, int] = {}
        for entry in entries:
            same(f"{account_id}: entry {entry.sequence} balances", sum(p.amount for p in entry.postings), 0)
            for posting in entry.postings:
                totals[posting.ledger_account] = totals.get(posting.ledger_account, 0) + posting.amount
        self._check_movements(book, entries)
        same(f"{account_id}: receivable", totals.get("cardholder-receivable", 0), book.balance())
        same(f"{account_id}: open holds", totals.get("open-holds", 0), book.unswept())

    @staticmethod
    def _check_movements(book: Book, entries: list[JournalEntry]) -> None:
        done = 0
        for group in book.journal:
            found = [
                (str(entry.entry_type), max(posting.amount for posting in entry.postings))
                for entry in entries[done : done + len(group)]
            ]
            same(f"{book.opening.account_id}: entries from {done + 1}", sorted(found), sorted(group))
            done += len(group)
        same(f"{book.opening.account_id}: number of entries", len(entries), done)

    def _open(self, message: AccountOpened, reply: Reply) -> None:
        book = servicing.opening(message)
        figures = {"posted_balance": 0, "open_holds": 0, "open_to_buy": message.credit_limit}
        _compare(message, reply, {"outcome": "applied", "decided_at": message.transmitted_at} | figures)
        self.books[message.account_id] = book
        memory.remember(book, message, reply, message.transmitted_at)

    def _check(self, book: Book, message: Any, reply: Reply, part: Callable[..., Verdict]) -> str | None:
        now = max(book.latest, message.transmitted_at)
        settled = memory.settled(book, message, reply, now)
        if settled == "repeat":
            return settled
        if settled is not None:
            _compare(message, reply, {"open_to_buy": book.open_to_buy(now), "decided_at": now})
            return settled
        verdict = part(book, message, reply, now, self.rules)
        figures: dict[str, Any] = {"open_to_buy": book.open_to_buy(now), "decided_at": now}
        if isinstance(reply, AccountUpdate):
            figures |= {"posted_balance": book.balance(), "open_holds": book.unswept()}
        _compare(message, reply, verdict.fields | figures)
        if verdict.changed:
            memory.remember(book, message, reply, now)
        return None


def _compare(message: Any, reply: Reply, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        same(f"{message.type} {memory.identity(message)[1]}: {name}", getattr(reply, name), value)


def _repeated(message: Any) -> dict[str, Any]:
    """Fields of the reply that repeat the message."""
    names = {
        AuthorizationRequest: ("network_reference", "amount", "currency"),
        AuthorizationIncrement: ("network_reference", "amount", "currency"),
        AuthorizationAdvice: ("network_reference", "amount"),
        Reversal: ("message_id", "network_reference"),
        Presentment: ("message_id", "amount", "currency"),
        Refund: ("message_id", "amount", "currency"),
        DisputeEvent: ("message_id", "amount", "currency"),
        PaymentReceived: ("message_id", "amount", "currency"),
    }.get(type(message), ("message_id",))
    return {name: getattr(message, name) for name in names}


def _unknown_account(message: Any) -> dict[str, Any]:
    if isinstance(message, (AuthorizationRequest, AuthorizationIncrement)):
        return {"outcome": "declined", "reason": "unknown-account", "open_to_buy": None, "approved_amount": 0}
    return {"outcome": "unknown-account", "open_to_buy": None}
