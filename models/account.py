"""The account: one row that holds everything an authorisation needs.

All amounts are integer minor units of `currency`. Every list here is bounded, because a row is one Kafka record:
holds by MAX_OPEN_HOLDS (a request beyond it is declined), answers by `answers.py`, the profile by itself.

    open-to-buy = credit limit - posted balance - open holds that have not expired
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from models.answers import Answer
from models.profile import Profile

MAX_OPEN_HOLDS: Final = 200
DAY_MS: Final = 86_400_000


class AccountStatus(StrEnum):
    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


class CardStatus(StrEnum):
    ACTIVE = "active"
    BLOCKED = "blocked"


class Card(msgspec.Struct, array_like=True):
    """A card of the account; the row never sees its number, only the token."""

    expiry: int  # YYYYMM, the last month in which it is valid
    status: CardStatus = CardStatus.ACTIVE


class Hold(msgspec.Struct, array_like=True, gc=False):
    """Money set aside by an approved authorisation; its id is the request's network reference."""

    amount: int  # what is still held
    placed_at: int
    expires_at: int  # from this moment on it no longer counts, swept or not
    merchant_id: str
    mcc: int


class Account(msgspec.Struct, array_like=True):
    """The row. Times are milliseconds since the epoch; `posted_balance` is what is owed (negative: credit balance)."""

    account_id: str
    currency: str
    credit_limit: int
    home_country: str
    status: AccountStatus
    opened_at: int
    as_of: int  # latest time this account has seen; it never runs backwards
    posted_balance: int
    sequence: int  # number of the last journal entry written for this account
    cards: dict[str, Card]  # by token
    holds: dict[str, Hold]  # by network reference, oldest first
    answers: dict[str, Answer]  # by message identity, oldest first
    posted: bytes  # digests of the presentments and payments applied, oldest first
    profile: Profile

    def open_holds(self) -> int:
        """Sum of the holds in the row, expired ones not yet swept included: what the ledger shows as open holds."""
        return sum([hold.amount for hold in self.holds.values()])

    def open_to_buy(self, now: int) -> int:
        """What can still be spent at `now`; negative when over the limit. A hold counts until the moment it expires."""
        held = sum([hold.amount for hold in self.holds.values() if hold.expires_at > now])
        return self.credit_limit - self.posted_balance - held
