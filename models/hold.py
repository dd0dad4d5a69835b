"""Holds: placed by an approval, changed by increments and advices, ended once: released, consumed or expired."""

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
    """Let the account see a message's time; returns it as the account sees it."""
    account.as_of = now = account.time_of(transmitted_at)
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


def resize(account: Account, reference: str, hold: Hold, amount: int, now: int) -> list[JournalEntry]:
    """Let a hold hold `amount` from now on; one that holds nothing ends."""
    change = amount - hold.amount
    hold.amount = amount
    if not amount:
        del account.holds[reference]
    if not change:
        return []
    kind = EntryType.HOLD_INCREASED if change > 0 else EntryType.HOLD_REDUCED
    return [book(account, kind, abs(change), reference, now)]


def release(account: Account, reference: str, now: int, amount: int | None = None) -> tuple[int, list[JournalEntry]]:
    """Give back `amount`, or all that is still held when that is less or None; (0, []) when nothing is."""
    hold = account.holds.get(reference)
    if hold is None:
        return 0, []
    freed = hold.amount if amount is None else min(amount, hold.amount)
    hold.amount -= freed
    hold.authorized -= freed
    if not hold.amount:
        del account.holds[reference]
    return freed, [book(account, EntryType.HOLD_RELEASED, freed, reference, now)]


def consume(account: Account, reference: str, amount: int, final: bool, now: int) -> list[JournalEntry]:
    """A presentment of `amount` takes its part of the hold; the final one frees the rest."""
    hold = account.holds[reference]
    taken = min(amount, hold.amount)
    hold.amount -= taken
    hold.cleared += amount
    entries = [book(account, EntryType.HOLD_CONSUMED, taken, reference, now)]
    if not hold.amount:
        del account.holds[reference]
    elif final:
        entries += release(account, reference, now)[1]
    return entries
