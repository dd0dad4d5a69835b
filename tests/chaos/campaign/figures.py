"""How far the auditor has come with an account, for the search of the order in which its pairs were decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from models.messages import (
    AuthorizationRequest,
    DisputeEvent,
    JournalEntry,
    PaymentReceived,
    Presentment,
    Refund,
)
from tests.chaos.campaign.pairing import REFUSALS, Pair
from tests.support.auditor import Auditor
from tests.support.auditor.memory import identity
from tests.support.auditor.requests import TAKES_MONEY

DISPUTED: Final = {
    "chargeback": 1, "representment": -1, "pre-arbitration": 1, "arbitration-won": 0, "arbitration-lost": -1,
}  # fmt: skip
"""What a stage gives back, in amounts of the dispute."""


class Progress:
    """`entries`: all journal entries of the account."""

    def __init__(self, auditor: Auditor, account_id: str, entries: Sequence[JournalEntry]) -> None:
        self._auditor, self._account_id, self._entries = auditor, account_id, entries

    def repeats(self, pair: Pair) -> bool:
        book = self._auditor.books.get(self._account_id)
        answer = None if book is None else book.answered.get(identity(pair.message))
        return answer is not None and bool(answer.reply == pair.reply)

    def fits(self, pair: Pair) -> bool:
        book = self._auditor.books.get(self._account_id)
        if book is None:
            return True
        now = max(book.latest, pair.message.transmitted_at)
        before = open_to_buy_before(pair.message, pair.reply)
        return bool(pair.reply.decided_at == now) and before in {None, book.open_to_buy(now)}

    def causes_left(self) -> list[str]:
        book = self._auditor.books.get(self._account_id)
        written = 0 if book is None else sum(map(len, book.journal))
        return [entry.cause for entry in self._entries[written:]]


def open_to_buy_before(message: Any, reply: Any) -> int | None:
    """What the account had, if its reply tells; None where that depends on the hold."""
    after: int = reply.open_to_buy
    if isinstance(message, AuthorizationRequest):
        return after + (reply.approved_amount if message.kind in TAKES_MONEY else 0)
    if getattr(reply, "reason", None) in {"no-matching-hold", "insufficient-open-to-buy"} | REFUSALS:
        return after
    given = _given(message, reply.outcome)
    return None if given is None else after - given


def _given(message: Any, outcome: str) -> int | None:
    """What an update added to the open-to-buy."""
    if outcome in REFUSALS or outcome == "suspended":
        return 0
    match message, outcome:
        case (PaymentReceived(), "applied") | (Refund(), "applied" | "posted-unlinked"):
            return int(message.amount)
        case Presentment(), "posted-without-hold" | "posted-ambiguous":
            return -int(message.amount)
        case DisputeEvent(), "applied":
            return DISPUTED[message.stage] * int(message.amount)
    return None
