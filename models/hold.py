"""Holds: placed by an approval, ended once: released, consumed by a presentment, or expired."""

from __future__ import annotations

from models.account import Account, Hold
from models.journal import EntryType, entry
from models.messages import JournalEntry


def book(account: Account, entry_type: EntryType, amount: int, cause: str, now: int) -> JournalEntry:
    """The account's next journal entry."""
    account.sequence += 1
    return entry(
        entry_type, amount, account_id=account.account_id, sequence=account.sequence, cause=cause,
        currency=account.currency, effective_at=now,
    )  # fmt: skip


def advance(account: Account, transmitted_at: int) -> int:
    """The time of a message as this account sees it: never before anything it has already seen."""
    account.as_of = now = max(account.as_of, transmitted_at)
    return now


def expire(account: Account, now: int) -> list[JournalEntry]:
    """End the holds whose time has come. They stopped counting at `expires_at`; this writes it down."""
    ended = [reference for reference, hold in account.holds.items() if hold.expires_at <= now]
    return [
        book(account, EntryType.HOLD_EXPIRED, account.holds.pop(reference).amount, reference, now)
        for reference in ended
    ]


def place(account: Account, reference: str, hold: Hold, now: int) -> JournalEntry:
    account.holds[reference] = hold
    return book(account, EntryType.HOLD_PLACED, hold.amount, reference, now)


def release(account: Account, reference: str, now: int) -> tuple[int, list[JournalEntry]]:
    """Give back all that is still held; (0, []) when nothing is."""
    hold = account.holds.pop(reference, None)
    if hold is None:
        return 0, []
    return hold.amount, [book(account, EntryType.HOLD_RELEASED, hold.amount, reference, now)]


def consume(account: Account, reference: str, amount: int, final: bool, now: int) -> list[JournalEntry] | None:
    """A presentment of `amount` takes its part of the hold; the final one frees the rest. None: there is no hold."""
    hold = account.holds.get(reference)
    if hold is None:
        return None
    taken = min(amount, hold.amount)
    hold.amount -= taken
    entries = [book(account, EntryType.HOLD_CONSUMED, taken, reference, now)]
    if final and hold.amount:
        entries += release(account, reference, now)[1]
    elif not hold.amount:
        del account.holds[reference]
    return entries
