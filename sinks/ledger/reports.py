"""Questions to the ledger, each answered by one SQL statement and so from one snapshot. Amounts are minor units.

To ask several of the same moment, run them inside one repeatable-read transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from models.journal import LedgerAccount
from sinks.ledger.database import Connection
from sinks.ledger.reconciliation import AccountBalance, reconcile

__all__ = [
    "Counts", "SequenceGap", "TrialBalance", "TrialBalanceRow", "applied_offsets", "balance_as_of",
    "balances_by_account", "counts", "reconcile", "sequence_gaps", "trial_balance",
]  # fmt: skip

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_TRIAL_BALANCE: Final = """
SELECT ledger_account, currency,
       coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS debits,
       coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS credits
  FROM public.postings GROUP BY ledger_account, currency ORDER BY currency, ledger_account"""

# Lines are numbered from 1 without gaps, so first lines are as many as entries.
_BALANCES: Final = """
SELECT account_id,
       array_agg(DISTINCT currency ORDER BY currency) AS currencies,
       coalesce(sum(amount) FILTER (WHERE ledger_account = $2), 0) AS posted_balance,
       coalesce(sum(amount) FILTER (WHERE ledger_account = $3), 0) AS open_holds,
       max(sequence) AS last_sequence,
       count(*) FILTER (WHERE line = 1) AS entry_count
  FROM public.postings
 WHERE $1::text[] IS NULL OR account_id = ANY ($1)
 GROUP BY account_id"""

_AS_OF: Final = """
SELECT coalesce(sum(p.amount), 0)
  FROM public.journal_entries e JOIN public.postings p USING (account_id, sequence)
 WHERE e.account_id = $1 AND e.effective_at <= $2 AND p.ledger_account = $3"""

_GAPS: Final = """
SELECT account_id, previous + 1 AS first_missing, sequence - 1 AS last_missing
  FROM (SELECT account_id, sequence,
               lag(sequence, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY sequence) AS previous
          FROM public.journal_entries) numbered
 WHERE sequence <> previous + 1 ORDER BY account_id, sequence"""

_OFFSETS: Final = "SELECT partition, next_offset FROM public.sink_offsets WHERE topic = $1 ORDER BY partition"

_COUNTS: Final = """
SELECT (SELECT count(*) FROM public.journal_entries) AS entries,
       (SELECT count(*) FROM public.postings) AS postings,
       (SELECT count(DISTINCT account_id) FROM public.journal_entries) AS accounts"""


@dataclass(frozen=True, slots=True)
class TrialBalanceRow:
    """One ledger account in one currency. `debits` and `credits` are both positive; `balance` = debits - credits."""

    ledger_account: str
    currency: str
    debits: int
    credits: int

    @property
    def balance(self) -> int:
        return self.debits - self.credits


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """Every ledger account, and what is left over per currency: all zero, or the ledger is broken."""

    rows: list[TrialBalanceRow]
    imbalance: dict[str, int]

    @property
    def balanced(self) -> bool:
        return not any(self.imbalance.values())


@dataclass(frozen=True, slots=True)
class SequenceGap:
    """Entries of one account that are not in the ledger though a later one is (dead-lettered, or lost)."""

    account_id: str
    first_missing: int
    last_missing: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much the ledger holds."""

    entries: int
    postings: int
    accounts: int


async def trial_balance(connection: Connection) -> TrialBalance:
    """Debits and credits of every ledger account and currency."""
    rows = [
        TrialBalanceRow(row["ledger_account"], row["currency"], int(row["debits"]), int(row["credits"]))
        for row in await connection.fetch(_TRIAL_BALANCE)
    ]
    imbalance: dict[str, int] = {}
    for row in rows:
        imbalance[row.currency] = imbalance.get(row.currency, 0) + row.balance
    return TrialBalance(rows, imbalance)


async def balances_by_account(
    connection: Connection, account_ids: Sequence[str] | None = None
) -> dict[str, AccountBalance]:
    """Account id -> balances, for the accounts asked for or all; an account without entries is left out."""
    wanted = None if account_ids is None else list(account_ids)
    rows = await connection.fetch(
        _BALANCES, wanted, LedgerAccount.CARDHOLDER_RECEIVABLE.value, LedgerAccount.OPEN_HOLDS.value
    )
    return {
        row["account_id"]: AccountBalance(
            row["account_id"], tuple(row["currencies"]), int(row["posted_balance"]), int(row["open_holds"]),
            row["last_sequence"], row["entry_count"],
        )
        for row in rows
    }  # fmt: skip


async def balance_as_of(connection: Connection, ledger_account: LedgerAccount, account_id: str, at_ms: int) -> int:
    """Balance of one ledger account for one account: all entries effective at or before `at_ms`, whenever they were
    posted (milliseconds since the epoch, UTC)."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return int(await connection.fetchval(_AS_OF, account_id, at, ledger_account.value))


async def sequence_gaps(connection: Connection) -> list[SequenceGap]:
    """Where an account's entries are not numbered 1, 2, 3 ...; a full scan."""
    return [SequenceGap(*row) for row in await connection.fetch(_GAPS)]


async def applied_offsets(connection: Connection, topic: str = "journal-entries") -> dict[int, int]:
    """Partition -> first offset of `topic` that is not yet in the ledger."""
    return dict(await connection.fetch(_OFFSETS, topic))


async def counts(connection: Connection) -> Counts:
    """Entries, postings and accounts with at least one entry."""
    return Counts(*await connection.fetchrow(_COUNTS))
