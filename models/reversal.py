"""The reversal: takes an authorisation back, wholly or in part, once; also when it overtakes its authorisation."""

from __future__ import annotations

from models import hold
from models.account import EARLY_REVERSAL_MS, MAX_EARLY_REVERSALS, Account
from models.answers import ReversalAnswer, fingerprint_of, remember
from models.messages import Reversal, ReversalAcknowledgement
from models.outcomes import ReversalOutcome
from models.result import Result


def reverse(account: Account | None, message: Reversal) -> Result:
    """Release what is still held, at most the reversed amount; every repeat is acknowledged alike."""
    if account is None:
        reply = _acknowledge(message, ReversalOutcome.UNKNOWN_ACCOUNT, 0, None, message.transmitted_at)
        return Result(reply, [], changed=False)
    print_ = fingerprint_of(message)
    answer = account.answers.get(message.message_id)
    if isinstance(answer, ReversalAnswer) and answer.fingerprint == print_:
        reply = _acknowledge(message, answer.outcome, answer.released, answer.open_to_buy, answer.decided_at)
        return Result(reply, [], changed=False)
    if answer is not None:
        outcome = ReversalOutcome.CONFLICTING_DUPLICATE
        return Result(_acknowledge(message, outcome, 0, account.open_to_buy(account.as_of), account.as_of), [], False)
    now = hold.advance(account, message.transmitted_at)
    expired = hold.expire(account, now)
    released, entries = hold.release(account, message.network_reference, now, message.amount)
    outcome = ReversalOutcome.RELEASED if released else _without_hold(account, message.network_reference, now)
    stored = ReversalAnswer(print_, now, outcome, released, account.open_to_buy(now))
    remember(account.answers, message.message_id, stored, now)
    return Result(_acknowledge(message, outcome, released, stored.open_to_buy, now), expired + entries, changed=True)


def _without_hold(account: Account, reference: str, now: int) -> ReversalOutcome:
    if reference in account.answers or account.was_presented(reference):
        return ReversalOutcome.NOTHING_TO_RELEASE
    early = account.early_reversals
    early.pop(reference, None)  # to the end of the queue
    early[reference] = now
    while len(early) > MAX_EARLY_REVERSALS or now - early[next(iter(early))] > EARLY_REVERSAL_MS:
        del early[next(iter(early))]
    return ReversalOutcome.REMEMBERED


def _acknowledge(
    message: Reversal, outcome: str, released: int, open_to_buy: int | None, decided_at: int
) -> ReversalAcknowledgement:
    return ReversalAcknowledgement(
        "reversal-acknowledgement", 1, message.message_id, message.network_reference, message.account_id, outcome,
        released, open_to_buy, decided_at,
    )  # fmt: skip
