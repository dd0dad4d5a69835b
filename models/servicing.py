"""Everything about an account that is neither an authorisation nor a clearing: opening, payment, limit, status,
controls, and writing down what has ended."""

from __future__ import annotations

from models import controls, hold, status
from models.account import Account, Card
from models.answers import fingerprint_of
from models.journal import EntryType
from models.messages import (
    AccountOpened,
    AccountStatusChanged,
    CardStatusChanged,
    ControlsSet,
    CreditLimitChanged,
    JournalEntry,
    PaymentReceived,
)
from models.money import CURRENCIES
from models.outcomes import UpdateOutcome
from models.profile import Profile
from models.result import Result
from models.status import AccountStatus, CardStatus
from models.update import Posted, applied, parked, repeat, same_currency, update


def open_account(account: Account | None, message: AccountOpened) -> Result:
    """A new account with its first card; the Result carries it."""
    print_ = fingerprint_of(message)
    if account is not None:
        return repeat(account, message, print_) or parked(account, message, UpdateOutcome.ACCOUNT_EXISTS)
    if message.currency not in CURRENCIES:
        return parked(None, message, UpdateOutcome.UNKNOWN_CURRENCY)
    if not controls.is_known_zone(message.time_zone):
        return parked(None, message, UpdateOutcome.UNKNOWN_TIME_ZONE)
    now = message.transmitted_at
    opened = Account(
        message.account_id, message.currency, message.credit_limit, message.home_country, AccountStatus.ACTIVE,
        opened_at=now, as_of=now, posted_balance=0, sequence=0, cards={message.card_token: Card(message.card_expiry)},
        holds={}, answers={}, posted=b"", profile=Profile(), time_zone=message.time_zone,
    )  # fmt: skip
    return applied(opened, message, print_, Posted([]), now)._replace(opened=opened)


def receive_payment(account: Account | None, message: PaymentReceived) -> Result:
    """Post a payment: the balance falls by its amount, below zero into a credit balance if it is larger."""
    return update(account, message, same_currency, _post_payment)


def change_limit(account: Account | None, message: CreditLimitChanged) -> Result:
    """Set the credit limit; open-to-buy may become negative."""
    return update(account, message, same_currency, _set_limit)


def change_account_status(account: Account | None, message: AccountStatusChanged) -> Result:
    return update(account, message, _check_account_status, _set_account_status)


def change_card_status(account: Account | None, message: CardStatusChanged) -> Result:
    return update(account, message, _check_card_status, _set_card_status)


def set_controls(account: Account | None, message: ControlsSet) -> Result:
    """Replace all controls of the account, or of one card; their counters start anew."""
    return update(account, message, _check_controls, _set_controls)


def sweep(account: Account, now: int) -> list[JournalEntry]:
    """Write down the expiries up to `now`. They already stopped counting, so no balance changes hands here."""
    if account.due_at() > now:
        return []
    return hold.expire(account, hold.advance(account, now))


def _post_payment(account: Account, message: PaymentReceived, now: int) -> Posted:
    account.posted_balance -= message.amount
    return Posted([hold.book(account, EntryType.PAYMENT_POSTED, message.amount, message.message_id, now)])


def _set_limit(account: Account, message: CreditLimitChanged, _now: int) -> Posted:
    account.credit_limit = message.credit_limit
    return Posted([])


def _check_account_status(account: Account, message: AccountStatusChanged, _now: int) -> UpdateOutcome | None:
    new = AccountStatus(message.status)
    if new is account.status or status.account_may_become(account.status, new):
        return None
    return UpdateOutcome.ILLEGAL_STATUS_CHANGE


def _set_account_status(account: Account, message: AccountStatusChanged, _now: int) -> Posted:
    account.status = AccountStatus(message.status)
    return Posted([])


def _check_card_status(account: Account, message: CardStatusChanged, _now: int) -> UpdateOutcome | None:
    card = account.cards.get(message.card_token)
    if card is None:
        return UpdateOutcome.UNKNOWN_CARD
    new = CardStatus(message.status)
    if new is card.status or status.card_may_become(card.status, new):
        return None
    return UpdateOutcome.ILLEGAL_STATUS_CHANGE


def _set_card_status(account: Account, message: CardStatusChanged, _now: int) -> Posted:
    account.cards[message.card_token].status = CardStatus(message.status)
    return Posted([])


def _check_controls(account: Account, message: ControlsSet, _now: int) -> UpdateOutcome | None:
    if message.card_token is not None and message.card_token not in account.cards:
        return UpdateOutcome.UNKNOWN_CARD
    invalid = isinstance(controls.from_message(message), controls.InvalidControls)
    return UpdateOutcome.INVALID_CONTROLS if invalid else None


def _set_controls(account: Account, message: ControlsSet, _now: int) -> Posted:
    rules = controls.from_message(message)
    if isinstance(rules, controls.InvalidControls):
        raise TypeError(f"invalid controls got past the check: {rules}")
    if message.card_token is None:
        account.controls = rules
    else:
        account.cards[message.card_token].controls = rules
    return Posted([])
