"""The dispute chain over a presented purchase, as the network reports it step by step.

    chargeback ─► representment ─► pre-arbitration ─► arbitration-won | arbitration-lost

At every moment refunded + credited <= presented, so a cardholder never gets a purchase back twice.
"""

from __future__ import annotations

from typing import Final

from models import hold
from models.account import Account, Taken
from models.journal import EntryType
from models.messages import DisputeEvent
from models.outcomes import UpdateOutcome
from models.result import Result
from models.update import Posted, same_currency, update

_LEGAL_AFTER: Final[dict[str, str | None]] = {
    "chargeback": None,
    "representment": "chargeback",
    "pre-arbitration": "representment",
    "arbitration-won": "pre-arbitration",
    "arbitration-lost": "pre-arbitration",
}
_CREDITS: Final = frozenset({"chargeback", "pre-arbitration"})
_DEBITS: Final = frozenset({"representment", "arbitration-lost"})
_NOTHING: Final = Taken()


def dispute(account: Account | None, message: DisputeEvent) -> Result:
    """Take one step of the chain: credit or debit the event's amount."""
    return update(account, message, _check, _post)


def _check(account: Account, message: DisputeEvent, now: int) -> UpdateOutcome | None:
    mismatch = same_currency(account, message, now)
    if mismatch is not None:
        return mismatch
    purchase = account.purchase(message.original_reference)
    if purchase is None:
        return UpdateOutcome.UNKNOWN_PURCHASE
    taken = account.taken.get(purchase, _NOTHING)
    if taken.stage != _LEGAL_AFTER[message.stage]:
        return UpdateOutcome.ILLEGAL_DISPUTE_STAGE
    limit = _most(account.presented[purchase], taken, message.stage)
    if limit is not None and message.amount > limit:
        return UpdateOutcome.AMOUNT_EXCEEDS_PURCHASE
    return None


def _most(presented: int, taken: Taken, stage: str) -> int | None:
    """The largest amount this step may move; None when it moves nothing."""
    if stage in _DEBITS:
        return taken.credited
    left = presented - taken.refunded - taken.credited
    if stage == "chargeback":
        return left
    return min(left, taken.disputed - taken.credited) if stage in _CREDITS else None


def _post(account: Account, message: DisputeEvent, now: int) -> Posted:
    purchase = account.purchase(message.original_reference)
    if purchase is None:
        raise LookupError(f"{message.message_id}: an unknown purchase got past the check")
    taken = account.taken.setdefault(purchase, Taken())
    taken.stage = message.stage
    amount = message.amount
    if message.stage in _CREDITS:
        taken.disputed = amount if message.stage == "chargeback" else taken.disputed
        taken.credited += amount
        account.posted_balance -= amount
        return Posted([hold.book(account, EntryType.CHARGEBACK_CREDITED, amount, message.message_id, now)])
    if message.stage in _DEBITS:
        taken.credited -= amount
        account.posted_balance += amount
        return Posted([hold.book(account, EntryType.CHARGEBACK_REVERSED, amount, message.message_id, now)])
    return Posted([])
