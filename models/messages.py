"""What the network, the ledger and the analysts say to each other: the contract of every message.

Plain dataclasses, so that the domain needs no library; `topics/codec.py` validates inbound JSON against them
(strictly, with pydantic) and publishes their JSON Schema. Amounts are integer minor units of `currency`; times are
milliseconds since the epoch, UTC; unknown fields are ignored, unknown `type`s are dead-lettered.

    topic                    type                                         key
    authorizations           authorization-request, reversal              account id
    clearings                presentment                                  account id
    payments                 payment-received                             account id
    account-events           account-opened                               account id
    clock                    clock-tick (one per partition)               none
    authorization-decisions  authorization-decision, reversal-acknowledgement
    account-updates          account-update
    journal-entries          journal-entry
    dead-letters             dead-letter
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from models.money import MAX_MINOR

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Amount = Annotated[int, Field(ge=1, le=MAX_MINOR)]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
CountryCode = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
CategoryCode = Annotated[int, Field(ge=0, le=9999)]
Expiry = Annotated[int, Field(ge=200001, le=299912)]
Milliseconds = Annotated[int, Field(ge=0, le=253402300799000)]
MerchantName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
EntryMode = Literal["chip", "contactless", "magstripe", "manual", "ecommerce", "recurring"]

_STRICT: Final = ConfigDict(strict=True, extra="ignore")


@dataclass(slots=True)
class AuthorizationRequest:
    """A purchase awaiting yes or no (ISO 8583 0100). `network_reference` is its identity: a retry repeats it."""

    __pydantic_config__ = _STRICT
    type: Literal["authorization-request"]
    version: Literal[1]
    network_reference: Identifier
    account_id: Identifier
    card_token: Identifier
    card_expiry: Expiry  # YYYYMM, last month in which the card is valid
    amount: Amount
    currency: CurrencyCode
    merchant_id: Identifier
    merchant_name: MerchantName
    merchant_country: CountryCode
    mcc: CategoryCode
    entry_mode: EntryMode
    card_present: bool
    transmitted_at: Milliseconds


@dataclass(slots=True)
class Reversal:
    """The acquirer takes an authorisation back in full (ISO 8583 0400)."""

    __pydantic_config__ = _STRICT
    type: Literal["reversal"]
    version: Literal[1]
    message_id: Identifier
    network_reference: Identifier
    account_id: Identifier
    transmitted_at: Milliseconds


@dataclass(slots=True)
class Presentment:
    """The merchant collects (clearing): posts to the balance and consumes the hold with the same network reference."""

    __pydantic_config__ = _STRICT
    type: Literal["presentment"]
    version: Literal[1]
    message_id: Identifier
    network_reference: Identifier
    account_id: Identifier
    amount: Amount
    currency: CurrencyCode
    merchant_id: Identifier
    merchant_name: MerchantName
    mcc: CategoryCode
    final: bool  # a non-final presentment leaves the rest of the hold open
    transmitted_at: Milliseconds


@dataclass(slots=True)
class PaymentReceived:
    """The cardholder paid."""

    __pydantic_config__ = _STRICT
    type: Literal["payment-received"]
    version: Literal[1]
    message_id: Identifier
    account_id: Identifier
    amount: Amount
    currency: CurrencyCode
    transmitted_at: Milliseconds


@dataclass(slots=True)
class AccountOpened:
    """An account with its first card starts to exist."""

    __pydantic_config__ = _STRICT
    type: Literal["account-opened"]
    version: Literal[1]
    message_id: Identifier
    account_id: Identifier
    card_token: Identifier
    card_expiry: Expiry
    credit_limit: Annotated[int, Field(ge=0, le=MAX_MINOR)]
    currency: CurrencyCode
    home_country: CountryCode
    transmitted_at: Milliseconds


@dataclass(slots=True)
class ClockTick:
    """Time has passed on this partition: holds that ended before `transmitted_at` may be swept."""

    __pydantic_config__ = _STRICT
    type: Literal["clock-tick"]
    version: Literal[1]
    transmitted_at: Milliseconds


@dataclass(slots=True)
class AuthorizationDecision:
    """The answer to an authorisation request; a replay is answered with an equal record."""

    type: Literal["authorization-decision"]
    version: Literal[1]
    network_reference: str
    account_id: str
    outcome: Literal["approved", "declined"]
    reason: str | None  # why it was declined: models.outcomes.DeclineReason
    amount: int
    currency: str
    approval_code: str | None
    open_to_buy: int | None  # after the decision; null when the account is unknown
    fraud_score: int | None  # parts per million; null when it was not scored
    fraud_reasons: list[str]  # the features that raised the score most, strongest first
    model_version: str | None
    decided_at: int


@dataclass(slots=True)
class ReversalAcknowledgement:
    """Every repeat of a reversal gets an equal acknowledgement; `released` says what the first one freed."""

    type: Literal["reversal-acknowledgement"]
    version: Literal[1]
    message_id: str
    network_reference: str
    account_id: str
    outcome: str  # models.outcomes.ReversalOutcome
    released: int
    open_to_buy: int | None
    decided_at: int


@dataclass(slots=True)
class AccountUpdate:
    """What a clearing, payment or account event did, or why it did nothing."""

    type: Literal["account-update"]
    version: Literal[1]
    message_id: str
    account_id: str
    cause: str  # the inbound message's type
    outcome: str  # models.outcomes.UpdateOutcome
    amount: int
    currency: str
    posted_balance: int | None
    open_holds: int | None
    open_to_buy: int | None
    decided_at: int


@dataclass(slots=True)
class Posting:
    """One side of a journal entry: debit positive, credit negative, minor units."""

    ledger_account: str
    amount: int


@dataclass(slots=True)
class JournalEntry:
    """A balanced set of postings for one account. (account_id, sequence) is its identity; sequences have no gaps."""

    type: Literal["journal-entry"]
    version: Literal[1]
    account_id: str
    sequence: int  # 1, 2, 3 ... per account
    entry_type: str  # models.journal.EntryType
    cause: str  # network reference or message id
    currency: str
    effective_at: int
    postings: list[Posting]


@dataclass(slots=True)
class DeadLetter:
    """A record that could not be used, kept whole."""

    type: Literal["dead-letter"]
    version: Literal[1]
    topic: str
    partition: int
    offset: int
    reason: str  # topics.codec.Unreadable.reason
    field: str | None
    detail: str
    key_base64: str | None
    value_base64: str | None
    timestamp: int


Inbound = AuthorizationRequest | Reversal | Presentment | PaymentReceived | AccountOpened | ClockTick
Outbound = AuthorizationDecision | ReversalAcknowledgement | AccountUpdate | JournalEntry | DeadLetter
