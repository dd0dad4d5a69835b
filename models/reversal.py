"""The reversal: takes an authorisation back, wholly or in part, once; also when it overtakes its authorisation."""

from __future__ import annotations

from models import hold
from models.account import EARLY_REVERSAL_MS, MAX_EARLY_REVERSALS, Account
from models.answers import ReversalAnswer, add_posted, advice_key, fingerprint_of, is_posted, remember
from models.messages import Reversal, ReversalAcknowledgement
from models.outcomes import ReversalOutcome
from models.result import Result


def reverse(account: Account | None, message: Reversal) -> Result:
    """Release what is still held, at most the reversed amount; every repeat is acknowledged alike."""
    if account is None:
        return _refuse(None, message, ReversalOutcome.UNKNOWN_ACCOUNT, parked=True)
    print_ = fingerprint_of(message)
    answer = account.answers.get(message.message_id)
    if isinstance(answer, ReversalAnswer) and answer.fingerprint == print_:
        reply = _acknowledge(message, answer.outcome, answer.released, answer.open_to_buy, answer.decided_at)
        return Result(reply, [], changed=False)
    if answer is not None:
        return _refuse(account, message, ReversalOutcome.CONFLICTING_DUPLICATE, parked=True)
    if is_posted(account.posted, message.type, message.message_id):
        return _refuse(account, message, ReversalOutcome.DUPLICATE, parked=False)
    now = hold.advance(account, message.transmitted_at)
    expired = hold.expire(account, now)
    released, entries = hold.release(account, message.network_reference, now, message.amount)
    outcome = ReversalOutcome.RELEASED if released else _without_hold(account, message.network_reference, now)
    if released:
        account.posted = add_posted(account.posted, message.type, message.message_id)
        if message.network_reference not in account.holds:
            _keep_out(account, message.network_reference, now)
    stored = ReversalAnswer(
        print_, now, outcome, released, account.open_to_buy(now), message.network_reference if released else None
    )
    remember(account.answers, message.message_id, stored, now)
    return Result(_acknowledge(message, outcome, released, stored.open_to_buy, now), expired + entries, changed=True)


def _without_hold(account: Account, reference: str, now: int) -> ReversalOutcome:
    if _was_here(account, reference):
        return ReversalOutcome.NOTHING_TO_RELEASE
    _keep_out(account, reference, now)
    return ReversalOutcome.REMEMBERED


def _keep_out(account: Account, reference: str, now: int) -> None:
    """An authorisation that comes after its reversal, for the first time or again, must not place a hold."""
    early = account.early_reversals
    early.pop(reference, None)  # to the end of the queue
    early[reference] = now
    while len(early) > MAX_EARLY_REVERSALS or now - early[next(iter(early))] > EARLY_REVERSAL_MS:
        del early[next(iter(early))]


def _was_here(account: Account, reference: str) -> bool:
    """Whether the account remembers the authorisation: its answer, its presentment, or an earlier reversal of it."""
    answers = account.answers
    return (
        reference in answers
        or advice_key(reference) in answers
        or account.purchase(reference) is not None
        or any(isinstance(answer, ReversalAnswer) and answer.reference == reference for answer in answers.values())
    )


def _refuse(account: Account | None, message: Reversal, outcome: ReversalOutcome, parked: bool) -> Result:
    now = message.transmitted_at if account is None else account.time_of(message.transmitted_at)
    open_to_buy = None if account is None else account.open_to_buy(now)
    reply = _acknowledge(message, outcome, 0, open_to_buy, now)
    return Result(reply, [], changed=False, parked=outcome if parked else None)


def _acknowledge(
    message: Reversal, outcome: str, released: int, open_to_buy: int | None, decided_at: int
) -> ReversalAcknowledgement:
    return ReversalAcknowledgement(
        "reversal-acknowledgement", 1, message.message_id, message.network_reference, message.account_id, outcome,
        released, open_to_buy, decided_at,
    )  # fmt: skip
