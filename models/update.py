"""What every clearing, payment and account event has in common: identity, replays, rejections, the reply.

A kind of update is two functions: `check` names what stands against it, or None; `post` makes it happen and cannot
fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from models import hold
from models.account import Account
from models.answers import UpdateAnswer, add_posted, fingerprint_of, is_posted, remember
from models.messages import AccountEvent, AccountUpdate, ClearingMessage, JournalEntry, PaymentReceived
from models.outcomes import UpdateOutcome
from models.result import Result

Update = ClearingMessage | PaymentReceived | AccountEvent
M = TypeVar("M", bound=Update)


class Posted(NamedTuple):
    """What a post did."""

    entries: list[JournalEntry]
    outcome: UpdateOutcome = UpdateOutcome.APPLIED
    parked: bool = False
    hold_reference: str | None = None
    match_rule: str | None = None


Check = Callable[[Account, M, int], UpdateOutcome | None]
Post = Callable[[Account, M, int], Posted]
"""(account, message, now)"""


def same_currency(account: Account, message: Any, _now: int) -> UpdateOutcome | None:
    """The check of whatever has an amount."""
    return None if message.currency == account.currency else UpdateOutcome.CURRENCY_MISMATCH


def update(account: Account | None, message: M, check: Check[M], post: Post[M]) -> Result:
    """Apply `message` once, or say why not."""
    if account is None:
        return parked(None, message, UpdateOutcome.UNKNOWN_ACCOUNT)
    print_ = fingerprint_of(message)
    repeated = repeat(account, message, print_)
    if repeated is not None:
        return repeated
    if is_posted(account.posted, message.type, message.message_id):
        return _rejected(account, message, UpdateOutcome.DUPLICATE)
    now = account.time_of(message.transmitted_at)
    against = check(account, message, now)
    if against is not None:
        return parked(account, message, against)
    # After this point it must succeed.
    account.as_of = now
    expired = hold.expire(account, now)
    posted = post(account, message, now)
    account.posted = add_posted(account.posted, message.type, message.message_id)
    return applied(account, message, print_, posted._replace(entries=expired + posted.entries), now)


def repeat(account: Account, message: Update, print_: int) -> Result | None:
    """The stored answer to a message that was here before; a conflict when its content differs."""
    answer = account.answers.get(message.message_id)
    if answer is None:
        return None
    if isinstance(answer, UpdateAnswer) and answer.fingerprint == print_:
        return Result(_reply(message, answer), [], changed=False)
    return parked(account, message, UpdateOutcome.CONFLICTING_DUPLICATE)


def applied(account: Account, message: Update, print_: int, posted: Posted, now: int) -> Result:
    """Remember the answer and give it."""
    answer = UpdateAnswer(
        print_, now, posted.outcome, account.posted_balance, account.open_holds(), account.open_to_buy(now),
        posted.hold_reference, posted.match_rule,
    )  # fmt: skip
    remember(account.answers, message.message_id, answer, now)
    reason = posted.outcome if posted.parked else None
    return Result(_reply(message, answer), posted.entries, changed=True, parked=reason)


def parked(account: Account | None, message: Update, outcome: UpdateOutcome) -> Result:
    """Rejected, and kept in the dead letters: somebody has to look at it."""
    return _rejected(account, message, outcome)._replace(parked=outcome)


def _rejected(account: Account | None, message: Update, outcome: UpdateOutcome) -> Result:
    if account is None:
        reply = _build_reply(message, outcome, None, None, None, message.transmitted_at)
    else:
        now = account.time_of(message.transmitted_at)
        reply = _build_reply(
            message, outcome, account.posted_balance, account.open_holds(), account.open_to_buy(now), now
        )
    return Result(reply, [], changed=False)


def _reply(message: Update, answer: UpdateAnswer) -> AccountUpdate:
    reply = _build_reply(
        message, answer.outcome, answer.posted_balance, answer.open_holds, answer.open_to_buy, answer.decided_at
    )
    reply.hold_reference, reply.match_rule = answer.hold_reference, answer.match_rule
    return reply


def _build_reply(
    message: Update, outcome: str, balance: int | None, open_holds: int | None, open_to_buy: int | None, at: int
) -> AccountUpdate:
    amount: int = getattr(message, "credit_limit", 0) if not hasattr(message, "amount") else message.amount
    return AccountUpdate(
        "account-update", 1, message.message_id, message.account_id, message.type, outcome, amount,
        getattr(message, "currency", ""), balance, open_holds, open_to_buy, at,
    )  # fmt: skip
