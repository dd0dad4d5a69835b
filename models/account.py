"""The account: one row that holds everything an authorisation needs.

All amounts are integer minor units of `currency`. Every list here is bounded, because a row is one Kafka record:
holds by MAX_OPEN_HOLDS (a request beyond it is declined), answers by `answers.py`, the profile by itself, the rest by
the constants below.

    open-to-buy = credit limit - posted balance - open holds that have not expired

Rows are arrays: a new field goes to the end and has a default, so that an older row stays readable.
"""

from __future__ import annotations

from typing import Final

import msgspec

from models.answers import Answer, digest
from models.controls import Controls
from models.profile import Profile
from models.status import AccountStatus, CardStatus

MAX_OPEN_HOLDS: Final = 200
MAX_PRESENTED: Final = 32
MAX_EARLY_REVERSALS: Final = 16
MAX_UNSCORED: Final = 8
DAY_MS: Final = 86_400_000
EARLY_REVERSAL_MS: Final = DAY_MS
"""How long a reversal that came first keeps its authorisation out."""
UNKNOWN_CARD: Final = -1
"""Position of a hold's card when the network approved a card that we do not know."""
NEVER_DUE: Final = 2**63 - 1


class Card(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A card of the account; the row never sees its number, only the token."""

    expiry: int  # YYYYMM, the last month in which it is valid
    status: CardStatus = CardStatus.ACTIVE
    controls: Controls | None = None


class Hold(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """Money set aside by an approved authorisation; its id is the request's network reference."""

    amount: int  # what is still held
    placed_at: int
    expires_at: int  # from this moment on it no longer counts, swept or not
    merchant_id: str
    mcc: int
    authorized: int = 0  # approved in all, increments included
    cleared: int = 0  # presented so far
    life_ms: int = 0  # an increment starts it anew
    card: int = 0  # position among the account's cards, or UNKNOWN_CARD
    rrn: str | None = None
    approval_code: str | None = None
    stand_in: bool = False  # approved by the network on our behalf


class Taken(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What refunds and disputes have taken from a presented purchase."""

    refunded: int = 0
    disputed: int = 0  # the first chargeback
    credited: int = 0  # of it, credited at the moment
    stage: str | None = None  # last stage of its dispute


class Unscored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A request that was decided while the model was not to be had, and what the model would have seen."""

    network_reference: str
    decided_at: int
    features: list[float]


class Account(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
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
    posted: bytes  # digests of the messages that must not take effect again, oldest first
    profile: Profile
    time_zone: str = "Etc/UTC"
    controls: Controls | None = None
    presented: dict[bytes, int] = msgspec.field(default_factory=dict)  # digest of reference -> amount, oldest first
    taken: dict[bytes, Taken] = msgspec.field(default_factory=dict)  # by the same digest, where anything was taken
    early_reversals: dict[str, int] = msgspec.field(default_factory=dict)  # network reference -> when it came
    unscored: list[Unscored] = msgspec.field(default_factory=list)
    purchase_of: dict[bytes, bytes] = msgspec.field(default_factory=dict)  # digest of a hold -> of its purchase

    def open_holds(self) -> int:
        """Sum of the holds in the row, expired ones not yet swept included: what the ledger shows as open holds."""
        return sum([hold.amount for hold in self.holds.values()])

    def open_to_buy(self, now: int) -> int:
        """What can still be spent at `now`; negative when over the limit. A hold counts until the moment it expires."""
        held = sum([hold.amount for hold in self.holds.values() if hold.expires_at > now])
        return self.credit_limit - self.posted_balance - held

    def time_of(self, transmitted_at: int) -> int:
        """The time of a message as this account sees it: never before anything it has already seen."""
        return max(self.as_of, transmitted_at)

    def position_of(self, card_token: str) -> int:
        """Of a card among the account's cards, UNKNOWN_CARD when it is none of them."""
        return list(self.cards).index(card_token) if card_token in self.cards else UNKNOWN_CARD

    def is_held(self, reference: str, now: int) -> bool:
        """Whether there is a hold with this reference that has not expired."""
        hold = self.holds.get(reference)
        return hold is not None and hold.expires_at > now

    def has_room_for_hold(self, now: int) -> bool:
        """Whether fewer than MAX_OPEN_HOLDS are open."""
        if len(self.holds) < MAX_OPEN_HOLDS:
            return True
        return sum([hold.expires_at > now for hold in self.holds.values()]) < MAX_OPEN_HOLDS

    def purchase(self, reference: str) -> bytes | None:
        """The key in `presented` of the purchase that was presented with this network reference, or that used up the
        hold of this reference; None when none is remembered."""
        if not self.presented:
            return None
        key = digest(reference)
        if key in self.presented:
            return key
        purchase = self.purchase_of.get(key)
        return purchase if purchase in self.presented else None

    def reversed_early(self, reference: str, now: int) -> bool:
        """Whether a reversal of this authorisation came before it."""
        at = self.early_reversals.get(reference)
        return at is not None and now - at <= EARLY_REVERSAL_MS

    def due_at(self) -> int:
        """From when on a sweep has something to do here; NEVER_DUE when it has not."""
        if self.unscored:
            return 0
        return min([hold.expires_at for hold in self.holds.values()], default=NEVER_DUE)
