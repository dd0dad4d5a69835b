"""What the network, the ledger and the analysts say to each other: the contract of every message.

Plain dataclasses, so that the domain needs no library; `topics/codec.py` validates inbound JSON against them
(strictly, with pydantic) and publishes their JSON Schema. Amounts are integer minor units of `currency`; times are
milliseconds since the epoch, UTC; unknown fields are ignored, unknown `type`s are dead-lettered.

All records are keyed by account id, but clock ticks, which have no key. A field with a default may be left out; new
fields always have one, so that an older producer stays right (docs/lifecycle.md says what each message does).

    topic                    types
    authorizations           authorization-request, authorization-increment, authorization-advice, reversal
    clearings                presentment, refund, dispute-event
    payments                 payment-received
    account-events           account-opened, account-status-changed, card-status-changed, credit-limit-changed,
                             controls-set
    clock                    clock-tick (one per partition)
    authorization-decisions  authorization-decision, advice-acknowledgement, reversal-acknowledgement
    account-updates          account-update
    fraud-scores             fraud-score
    journal-entries          journal-entry
    dead-letters             dead-letter
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticKnownError

from models.money import MAX_MINOR


def _integer(value: object) -> object:
    """A literal is compared by ==, by which true and 1.0 are 1."""
    if type(value) is not int:
        raise PydanticKnownError("int_type")
    return value


Version = Annotated[Literal[1], BeforeValidator(_integer)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Amount = Annotated[int, Field(ge=1, le=MAX_MINOR)]
AmountOrZero = Annotated[int, Field(ge=0, le=MAX_MINOR)]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
CountryCode = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
CategoryCode = Annotated[int, Field(ge=0, le=9999)]
Expiry = Annotated[int, Field(ge=200001, le=299912)]
Milliseconds = Annotated[int, Field(ge=0, le=253402300799000)]
MerchantName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
City = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")]
EntryMode = Literal["chip", "contactless", "magstripe", "manual", "ecommerce", "recurring"]
RequestKind = Literal["purchase", "cash-advance", "quasi-cash", "account-verification", "refund"]
RetrievalReference = Annotated[str, Field(pattern=r"^[A-Za-z0-9 ]{1,12}$")]
TraceNumber = Annotated[str, Field(pattern=r"^[0-9]{6}$")]
ApprovalCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9 ]{1,6}$")]
ResultCode = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,2}$")]
TimeZoneName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$", max_length=40)]
Rate = Annotated[int, Field(ge=1, le=10**15)]
AccountStatusName = Literal["active", "frozen", "delinquent-blocked", "closed", "charged-off", "deceased", "bankrupt"]
CardStatusName = Literal["active", "frozen", "lost", "stolen", "closed"]

_STRICT: Final = ConfigDict(strict=True, extra="ignore")


@dataclass(slots=True)
class AuthorizationRequest:
    """A cardholder's or merchant's request awaiting yes or no (ISO 8583 0100). `network_reference` is its identity: a
    retry repeats it. `amount` is in the billing currency, zero for an account verification and only there."""

    __pydantic_config__ = _STRICT
    type: Literal["authorization-request"]
    version: Version
    network_reference: Identifier
    account_id: Identifier
    card_token: Identifier
    card_expiry: Expiry  # YYYYMM, last month in which the card is valid
    amount: AmountOrZero
    currency: CurrencyCode
    merchant_id: Identifier
    merchant_name: MerchantName
    merchant_country: CountryCode
    mcc: CategoryCode
    entry_mode: EntryMode
    card_present: bool
    transmitted_at: Milliseconds
    kind: RequestKind = "purchase"
    initiated_by: Literal["cardholder", "merchant"] = "cardholder"
    partial_approval: bool = False  # the terminal can take less than it asked for
    pre_authorization: bool = False  # an estimate; the final amount follows
    merchant_city: City | None = None
    stan: TraceNumber | None = None  # system trace audit number
    rrn: RetrievalReference | None = None  # retrieval reference number
    merchant_amount: AmountOrZero | None = None  # in the currency of the merchant
    merchant_currency: CurrencyCode | None = None
    conversion_rate: Rate | None = None  # billing per merchant currency, in units of 10^-8
    avs_result: ResultCode | None = None  # address verification, as the network codes it
    cvv_result: ResultCode | None = None
    pin_result: Literal["verified", "failed", "not-checked"] | None = None
    three_ds_result: ResultCode | None = None  # electronic commerce indicator


@dataclass(slots=True)
class AuthorizationIncrement:
    """More money on an open hold: hotel nights, another drink. Has an identity of its own; answered by a decision."""

    __pydantic_config__ = _STRICT
    type: Literal["authorization-increment"]
    version: Version
    network_reference: Identifier
    original_reference: Identifier  # network reference of the authorisation
    account_id: Identifier
    amount: Amount
    amount_is: Literal["total", "delta"]  # the new total of the authorisation, or what comes on top
    currency: CurrencyCode
    transmitted_at: Milliseconds


@dataclass(slots=True)
class AuthorizationAdvice:
    """What was decided elsewhere and cannot be refused (ISO 8583 0120).

    completion: the final amount of an authorisation of ours (fuel). stand-in: the network decided for us.
    """

    __pydantic_config__ = _STRICT
    type: Literal["authorization-advice"]
    version: Version
    network_reference: Identifier
    account_id: Identifier
    reason: Literal["completion", "stand-in"]
    approved: bool
    card_token: Identifier
    amount: AmountOrZero
    currency: CurrencyCode
    merchant_id: Identifier
    merchant_name: MerchantName
    merchant_country: CountryCode
    mcc: CategoryCode
    entry_mode: EntryMode
    card_present: bool
    transmitted_at: Milliseconds
    original_reference: Identifier | None = None  # completion: network reference of the authorisation
    approval_code: ApprovalCode | None = None
    rrn: RetrievalReference | None = None
    initiated_by: Literal["cardholder", "merchant"] = "cardholder"


@dataclass(slots=True)
class Reversal:
    """The acquirer or the network takes an authorisation back, wholly or in part (ISO 8583 0400, 0420)."""

    __pydantic_config__ = _STRICT
    type: Literal["reversal"]
    version: Version
    message_id: Identifier
    network_reference: Identifier
    account_id: Identifier
    transmitted_at: Milliseconds
    amount: Amount | None = None  # what is taken back; absent: all that is held
    reason: Literal["customer", "timeout", "malfunction", "suspected-fraud"] = "customer"


@dataclass(slots=True)
class Presentment:
    """The merchant collects (clearing): posts to the balance and consumes the hold it matches (models/matching.py)."""

    __pydantic_config__ = _STRICT
    type: Literal["presentment"]
    version: Version
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
    kind: Literal["purchase", "cash-advance", "quasi-cash"] = "purchase"
    card_token: Identifier | None = None
    rrn: RetrievalReference | None = None
    approval_code: ApprovalCode | None = None
    merchant_country: CountryCode | None = None
    merchant_amount: Amount | None = None
    merchant_currency: CurrencyCode | None = None
    conversion_rate: Rate | None = None


@dataclass(slots=True)
class Refund:
    """The merchant gives money back (credit voucher), linked to a cleared purchase or not."""

    __pydantic_config__ = _STRICT
    type: Literal["refund"]
    version: Version
    message_id: Identifier
    account_id: Identifier
    amount: Amount
    currency: CurrencyCode
    merchant_id: Identifier
    merchant_name: MerchantName
    mcc: CategoryCode
    transmitted_at: Milliseconds
    original_reference: Identifier | None = None  # network reference of the purchase


@dataclass(slots=True)
class DisputeEvent:
    """A step of the dispute chain over a cleared purchase, as the network reports it."""

    __pydantic_config__ = _STRICT
    type: Literal["dispute-event"]
    version: Version
    message_id: Identifier
    account_id: Identifier
    original_reference: Identifier  # network reference of the purchase
    stage: Literal["chargeback", "representment", "pre-arbitration", "arbitration-won", "arbitration-lost"]
    amount: Amount
    currency: CurrencyCode
    transmitted_at: Milliseconds


@dataclass(slots=True)
class PaymentReceived:
    """The cardholder paid."""

    __pydantic_config__ = _STRICT
    type: Literal["payment-received"]
    version: Version
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
    version: Version
    message_id: Identifier
    account_id: Identifier
    card_token: Identifier
    card_expiry: Expiry
    credit_limit: Annotated[int, Field(ge=0, le=MAX_MINOR)]
    currency: CurrencyCode
    home_country: CountryCode
    transmitted_at: Milliseconds
    time_zone: TimeZoneName = "Etc/UTC"  # IANA name; calendar limits follow it


@dataclass(slots=True)
class AccountStatusChanged:
    """Somebody entitled to do so moves the account to another status; illegal moves are refused by name."""

    __pydantic_config__ = _STRICT
    type: Literal["account-status-changed"]
    version: Version
    message_id: Identifier
    account_id: Identifier
    status: AccountStatusName
    transmitted_at: Milliseconds


@dataclass(slots=True)
class CardStatusChanged:
    """A card is frozen, reported lost or stolen (by the cardholder, or as the network's advice), or closed."""

    __pydantic_config__ = _STRICT
    type: Literal["card-status-changed"]
    version: Version
    message_id: Identifier
    account_id: Identifier
    card_token: Identifier
    status: CardStatusName
    transmitted_at: Milliseconds


@dataclass(slots=True)
class CreditLimitChanged:
    """The new limit holds for every request that is decided after this message."""

    __pydantic_config__ = _STRICT
    type: Literal["credit-limit-changed"]
    version: Version
    message_id: Identifier
    account_id: Identifier
    credit_limit: AmountOrZero
    currency: CurrencyCode
    transmitted_at: Milliseconds


@dataclass(slots=True)
class VelocityRule:
    """At most `max_count` approvals and `max_amount` minor units in a window; null: that side is not limited."""

    __pydantic_config__ = _STRICT
    name: Identifier  # stands in the decline
    window: Literal["trailing", "day", "week", "month"]  # calendar windows are the account's local ones; weeks are ISO
    seconds: Annotated[int, Field(ge=10, le=31 * 86_400)] | None = None  # of a trailing window
    max_count: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    max_amount: AmountOrZero | None = None


@dataclass(slots=True)
class ListRule:
    """Allow only these values, or deny them: MCCs as four digits, countries, merchant ids or entry modes."""

    __pydantic_config__ = _STRICT
    name: Identifier
    of: Literal["mcc", "country", "merchant", "entry-mode"]
    mode: Literal["allow", "deny"]
    values: Annotated[list[Identifier], Field(min_length=1, max_length=50)]


@dataclass(slots=True)
class ControlsSet:
    """Replaces all controls of the account, or of one card when `card_token` is given."""

    __pydantic_config__ = _STRICT
    type: Literal["controls-set"]
    version: Version
    message_id: Identifier
    account_id: Identifier
    transmitted_at: Milliseconds
    card_token: Identifier | None = None
    velocity: Annotated[list[VelocityRule], Field(max_length=8)] = field(default_factory=list)
    lists: Annotated[list[ListRule], Field(max_length=8)] = field(default_factory=list)
    ecommerce: bool = True  # may be used there
    atm: bool = True
    contactless: bool = True
    single_use: bool = False  # one approval, then none
    merchant_lock: bool = False  # only the merchant of the first approval


@dataclass(slots=True)
class ClockTick:
    """Time has passed on this partition: holds that ended before `transmitted_at` may be swept."""

    __pydantic_config__ = _STRICT
    type: Literal["clock-tick"]
    version: Version
    transmitted_at: Milliseconds


@dataclass(slots=True)
class AuthorizationDecision:
    """The answer to an authorisation request or increment; a replay is answered with an equal record."""

    type: Literal["authorization-decision"]
    version: Literal[1]
    network_reference: str
    account_id: str
    outcome: Literal["approved", "partially-approved", "declined"]
    reason: str | None  # why it was declined: models.outcomes.DeclineReason
    amount: int
    currency: str
    approval_code: str | None
    open_to_buy: int | None  # after the decision; null when the account is unknown
    fraud_score: int | None  # parts per million; null when it was not scored
    fraud_reasons: list[str]  # the features that raised the score most, strongest first
    model_version: str | None
    decided_at: int
    approved_amount: int = 0  # less than `amount` when partially approved
    control: str | None = None  # which control declined it: "account:NAME" or "card:NAME"
    stand_in: bool = False  # no score was to be had: a conservative rule decided (models/authorization.py)
    avs_result: str | None = None  # repeated from the request
    cvv_result: str | None = None
    detail: str | None = None  # of a decline: a status; "count" or "amount" of a velocity limit; ms waited


@dataclass(slots=True)
class AdviceAcknowledgement:
    """What an advice did; every repeat gets an equal acknowledgement."""

    type: Literal["advice-acknowledgement"]
    version: Literal[1]
    network_reference: str
    account_id: str
    outcome: str  # models.outcomes.AdviceOutcome
    amount: int
    held: int  # what the hold holds now
    open_to_buy: int | None
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
    hold_reference: str | None = None  # presentment: the hold it matched
    match_rule: str | None = None  # and by which rule: models.matching.MatchRule


@dataclass(slots=True)
class FraudScored:
    """The score of a request that was decided without one, once the model was there again."""

    type: Literal["fraud-score"]
    version: Literal[1]
    network_reference: str
    account_id: str
    fraud_score: int  # parts per million
    fraud_reasons: list[str]
    model_version: str
    decided_at: int  # when the request was decided
    scored_at: int


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
    """A record that could not be used, kept whole but for digits of what looks like a card number (`masked`)."""

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
    masked: bool = False  # asterisks stand where key or value had the middle digits of a card number


AuthorizationMessage = AuthorizationRequest | AuthorizationIncrement | AuthorizationAdvice | Reversal
ClearingMessage = Presentment | Refund | DisputeEvent
AccountEvent = AccountOpened | AccountStatusChanged | CardStatusChanged | CreditLimitChanged | ControlsSet
Inbound = AuthorizationMessage | ClearingMessage | PaymentReceived | AccountEvent | ClockTick
Outbound = (
    AuthorizationDecision
    | AdviceAcknowledgement
    | ReversalAcknowledgement
    | AccountUpdate
    | FraudScored
    | JournalEntry
    | DeadLetter
)
