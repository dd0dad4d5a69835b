"""Everything that changes an account but awaits no yes or no: openings, presentments, payments, the clock.

The shape is the same for all: a repeat gets the stored answer, other content under the same id is a conflict, a
message that cannot be applied is parked, and the rest is booked and remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from models import hold
from models.account import Account, AccountStatus, Card
from models.answers import (
    UpdateAnswer,
    add_posted,
    is_posted,
    opening_fingerprint,
    payment_fingerprint,
    presentment_fingerprint,
    remember,
)
from models.journal import EntryType
from models.messages import AccountOpened, AccountUpdate, JournalEntry, PaymentReceived, Presentment
from models.money import CURRENCIES
from models.outcomes import UpdateOutcome
from models.profile import Profile
from models.result import Result

Update = Presentment | PaymentReceived | AccountOpened
M = TypeVar("M", Presentment, PaymentReceived)


def open_account(account: Account | None, message: AccountOpened) -> tuple[Account | None, Result]:
    """A new account with its first card; the row comes back because there was none."""
    print_ = opening_fingerprint(message)
    if account is not None:
        return account, _repeat(account, message, print_) or _parked(account, message, UpdateOutcome.ACCOUNT_EXISTS)
    if message.currency not in CURRENCIES:
        return None, _parked(None, message, UpdateOutcome.UNKNOWN_CURRENCY)
    now = message.transmitted_at
    account = Account(
        message.account_id, message.currency, message.credit_limit, message.home_country, AccountStatus.ACTIVE,
        opened_at=now, as_of=now, posted_balance=0, sequence=0, cards={message.card_token: Card(message.card_expiry)},
        holds={}, answers={}, posted=b"", profile=Profile(),
    )  # fmt: skip
    return account, _applied(account, message, print_, UpdateOutcome.APPLIED, [], now)


def present(account: Account | None, message: Presentment) -> Result:
    """Post what the merchant collects. A debt exists with or without a hold, so the amount always posts."""
    return _update(account, message, presentment_fingerprint(message), _post_presentment)


def receive_payment(account: Account | None, message: PaymentReceived) -> Result:
    """Post a payment: the balance falls by its amount, below zero into a credit balance if it is larger."""
    return _update(account, message, payment_fingerprint(message), _post_payment)


def sweep(account: Account, now: int) -> list[JournalEntry]:
    """Write down the expiries up to `now`. They already stopped counting, so no balance changes hands here."""
    return hold.expire(account, now)


def _post_presentment(account: Account, message: Presentment, now: int) -> tuple[UpdateOutcome, list[JournalEntry]]:
    consumed = hold.consume(account, message.network_reference, message.amount, message.final, now)
    account.posted_balance += message.amount
    posted = hold.book(account, EntryType.PRESENTMENT_POSTED, message.amount, message.message_id, now)
    if consumed is None:
        return UpdateOutcome.POSTED_WITHOUT_HOLD, [posted]
    return UpdateOutcome.APPLIED, [*consumed, posted]


def _post_payment(account: Account, message: PaymentReceived, now: int) -> tuple[UpdateOutcome, list[JournalEntry]]:
    account.posted_balance -= message.amount
    return UpdateOutcome.APPLIED, [
        hold.book(account, EntryType.PAYMENT_POSTED, message.amount, message.message_id, now)
    ]


def _update(
    account: Account | None,
    message: M,
    print_: int,
    post: Callable[[Account, M, int], tuple[UpdateOutcome, list[JournalEntry]]],
) -> Result:
    if account is None:
        return _parked(None, message, UpdateOutcome.UNKNOWN_ACCOUNT)
    repeated = _repeat(account, message, print_)
    if repeated is not None:
        return repeated
    if is_posted(account.posted, message.message_id):
        return _rejected(account, message, UpdateOutcome.DUPLICATE)
    if message.currency != account.currency:
        return _parked(account, message, UpdateOutcome.CURRENCY_MISMATCH)
    # After this point it must succeed.
    now = hold.advance(account, message.transmitted_at)
    expired = hold.expire(account, now)
    outcome, entries = post(account, message, now)
    account.posted = add_posted(account.posted, message.message_id)
    return _applied(account, message, print_, outcome, expired + entries, now)


def _repeat(account: Account, message: Update, print_: int) -> Result | None:
    answer = account.answers.get(message.message_id)
    if answer is None:
        return None
    if isinstance(answer, UpdateAnswer) and answer.fingerprint == print_:
        return Result(_reply(message, answer), [], changed=False)
    return _parked(account, message, UpdateOutcome.CONFLICTING_DUPLICATE)


def _applied(
    account: Account, message: Update, print_: int, outcome: UpdateOutcome, entries: list[JournalEntry], now: int
) -> Result:
    answer = UpdateAnswer(print_, now, outcome, account.posted_balance, account.open_holds(), account.open_to_buy(now))
    remember(account.answers, message.message_id, answer, now)
    return Result(_reply(message, answer), entries, changed=True)


def _parked(account: Account | None, message: Update, outcome: UpdateOutcome) -> Result:
    """Rejected, and kept in the dead letters: somebody has to look at it."""
    return _rejected(account, message, outcome)._replace(parked=outcome)


def _rejected(account: Account | None, message: Update, outcome: UpdateOutcome) -> Result:
    if account is None:
        reply = _build_reply(message, outcome, None, None, None, message.transmitted_at)
    else:
        now = account.as_of
        reply = _build_reply(
            message, outcome, account.posted_balance, account.open_holds(), account.open_to_buy(now), now
        )
    return Result(reply, [], changed=False)


def _reply(message: Update, answer: UpdateAnswer) -> AccountUpdate:
    return _build_reply(
        message, answer.outcome, answer.posted_balance, answer.open_holds, answer.open_to_buy, answer.decided_at
    )


def _build_reply(
    message: Update, outcome: str, balance: int | None, open_holds: int | None, open_to_buy: int | None, at: int
) -> AccountUpdate:
    amount = message.credit_limit if isinstance(message, AccountOpened) else message.amount
    return AccountUpdate(
        "account-update", 1, message.message_id, message.account_id, message.type, outcome, amount, message.currency,
        balance, open_holds, open_to_buy, at,
    )  # fmt: skip
