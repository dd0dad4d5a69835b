"""The chart of accounts and every kind of journal entry the engine writes.

Debits are positive, credits negative, so an entry balances when its postings add up to zero. Holds are commitments,
not yet debts: they stand in two memorandum accounts outside the balance sheet, so that the ledger can prove the
table's open holds as well as its balance.
"""

from __future__ import annotations

from enum import StrEnum

from models.messages import JournalEntry, Posting


class LedgerAccount(StrEnum):
    CARDHOLDER_RECEIVABLE = "cardholder-receivable"  # asset: what the cardholder owes
    NETWORK_SETTLEMENT = "network-settlement"  # liability: what we owe the network for cleared purchases
    REFUNDS_IN_REVIEW = "refunds-in-review"  # liability: refunds beyond their purchase, until somebody decides
    PAYMENTS_CLEARING = "payments-clearing"  # asset: payments received, on their way to our bank
    OPEN_HOLDS = "open-holds"  # memorandum: authorised, not yet presented
    HOLD_COMMITMENTS = "hold-commitments"  # memorandum: the other side of open-holds


class EntryType(StrEnum):
    HOLD_PLACED = "hold-placed"
    HOLD_INCREASED = "hold-increased"  # by an increment or an advice
    HOLD_REDUCED = "hold-reduced"  # by an advice
    HOLD_RELEASED = "hold-released"  # by a reversal, an advice or a final presentment
    HOLD_EXPIRED = "hold-expired"
    HOLD_CONSUMED = "hold-consumed"  # by a presentment
    PRESENTMENT_POSTED = "presentment-posted"
    CASH_ADVANCE_POSTED = "cash-advance-posted"  # cash advances and quasi-cash, which are priced differently
    REFUND_POSTED = "refund-posted"
    REFUND_SUSPENDED = "refund-suspended"
    CHARGEBACK_CREDITED = "chargeback-credited"
    CHARGEBACK_REVERSED = "chargeback-reversed"
    PAYMENT_POSTED = "payment-posted"


_PLACED = (LedgerAccount.OPEN_HOLDS, LedgerAccount.HOLD_COMMITMENTS)
_FREED = (LedgerAccount.HOLD_COMMITMENTS, LedgerAccount.OPEN_HOLDS)
_OWED = (LedgerAccount.CARDHOLDER_RECEIVABLE, LedgerAccount.NETWORK_SETTLEMENT)
_CREDITED = (LedgerAccount.NETWORK_SETTLEMENT, LedgerAccount.CARDHOLDER_RECEIVABLE)

_SIDES: dict[EntryType, tuple[LedgerAccount, LedgerAccount]] = {  # (debit, credit)
    EntryType.HOLD_PLACED: _PLACED,
    EntryType.HOLD_INCREASED: _PLACED,
    EntryType.HOLD_REDUCED: _FREED,
    EntryType.HOLD_RELEASED: _FREED,
    EntryType.HOLD_EXPIRED: _FREED,
    EntryType.HOLD_CONSUMED: _FREED,
    EntryType.PRESENTMENT_POSTED: _OWED,
    EntryType.CASH_ADVANCE_POSTED: _OWED,
    EntryType.REFUND_POSTED: _CREDITED,
    EntryType.REFUND_SUSPENDED: (LedgerAccount.NETWORK_SETTLEMENT, LedgerAccount.REFUNDS_IN_REVIEW),
    EntryType.CHARGEBACK_CREDITED: _CREDITED,
    EntryType.CHARGEBACK_REVERSED: _OWED,
    EntryType.PAYMENT_POSTED: (LedgerAccount.PAYMENTS_CLEARING, LedgerAccount.CARDHOLDER_RECEIVABLE),
}


def entry(
    entry_type: EntryType, amount: int, *, account_id: str, sequence: int, cause: str, currency: str, effective_at: int
) -> JournalEntry:
    """A balanced two-sided entry of `amount` > 0 minor units."""
    debit, credit = _SIDES[entry_type]
    return JournalEntry(
        "journal-entry", 1, account_id, sequence, entry_type, cause, currency, effective_at,
        [Posting(debit, amount), Posting(credit, -amount)],
    )  # fmt: skip
