"""The advice: what was decided elsewhere. It is booked whatever the open-to-buy says, and flagged."""

from __future__ import annotations

from typing import Final

from models import hold
from models.account import Account, Hold
from models.answers import AdviceAnswer, add_posted, advice_key, fingerprint_of, is_posted, remember
from models.authorization import Policy
from models.hold_life import life_ms
from models.messages import AdviceAcknowledgement, AuthorizationAdvice, JournalEntry
from models.outcomes import AdviceOutcome, DeclineReason
from models.result import Result

_EFFECTS: Final = frozenset({AdviceOutcome.ADJUSTED, AdviceOutcome.PLACED, AdviceOutcome.RELEASED})


def advise(account: Account | None, message: AuthorizationAdvice, policy: Policy) -> Result:
    """Book what happened; every repeat is acknowledged alike."""
    if account is None:
        return _parked(message, AdviceOutcome.UNKNOWN_ACCOUNT, None)
    print_ = fingerprint_of(message)
    key = advice_key(message.network_reference)
    answer = account.answers.get(key)
    if isinstance(answer, AdviceAnswer) and answer.fingerprint == print_:
        reply = _acknowledge(message, answer.outcome, answer.held, answer.open_to_buy, answer.decided_at)
        return Result(reply, [], changed=False)
    if answer is not None:
        return _parked(message, AdviceOutcome.CONFLICTING_DUPLICATE, account)
    if is_posted(account.posted, message.type, message.network_reference):
        return _parked(message, AdviceOutcome.DUPLICATE, account)._replace(parked=None)
    if message.currency != account.currency:
        return _parked(message, AdviceOutcome.CURRENCY_MISMATCH, account)
    # After this point it must succeed.
    now = hold.advance(account, message.transmitted_at)
    entries = hold.expire(account, now)
    reference = _reference(message)
    outcome, booked = _book(account, message, reference, policy, now)
    if outcome in _EFFECTS:
        account.posted = add_posted(account.posted, message.type, message.network_reference)
    held = account.holds[reference].amount if reference in account.holds else 0
    stored = AdviceAnswer(print_, now, outcome, held, account.open_to_buy(now))
    remember(account.answers, key, stored, now)
    reply = _acknowledge(message, outcome, held, stored.open_to_buy, now)
    return Result(reply, entries + booked, changed=True, parked=_not_placed(account, message, outcome, now))


def _reference(message: AuthorizationAdvice) -> str:
    """Of the hold that is meant."""
    if message.reason == "completion" and message.original_reference is not None:
        return message.original_reference
    return message.network_reference


def _book(
    account: Account, message: AuthorizationAdvice, reference: str, policy: Policy, now: int
) -> tuple[AdviceOutcome, list[JournalEntry]]:
    held = account.holds.get(reference)
    if not message.approved:
        return _declined(account, reference, held, now)
    if held is not None:
        if message.reason == "stand-in":
            return AdviceOutcome.SUPERSEDED, []
        held.authorized = message.amount
        final = max(0, message.amount - held.cleared)
        return AdviceOutcome.ADJUSTED, hold.resize(account, reference, held, final, now)
    if account.purchase(reference) is not None:
        return AdviceOutcome.SUPERSEDED, []
    return _place(account, message, reference, policy, now)


def _not_placed(account: Account, message: AuthorizationAdvice, outcome: AdviceOutcome, now: int) -> str | None:
    """Why somebody has to look at an approval that found no room; None for everything else."""
    noted = outcome is AdviceOutcome.NOTED and message.approved
    return DeclineReason.TOO_MANY_OPEN_HOLDS if noted and not account.has_room_for_hold(now) else None


def _declined(
    account: Account, reference: str, held: Hold | None, now: int
) -> tuple[AdviceOutcome, list[JournalEntry]]:
    if account.purchase(reference) is not None or (held is not None and held.cleared):
        return AdviceOutcome.SUPERSEDED, []
    if held is None:
        return AdviceOutcome.NOTED, []
    return AdviceOutcome.RELEASED, hold.release(account, reference, now)[1]


def _place(
    account: Account, message: AuthorizationAdvice, reference: str, policy: Policy, now: int
) -> tuple[AdviceOutcome, list[JournalEntry]]:
    if not message.amount or not account.has_room_for_hold(now) or account.reversed_early(reference, now):
        return AdviceOutcome.NOTED, []
    life = life_ms(
        "purchase", message.mcc, message.entry_mode, message.initiated_by, False, now, policy.hold_ms
    )  # fmt: skip
    card = account.position_of(message.card_token)
    placed = Hold(
        message.amount, now, now + life, message.merchant_id, message.mcc, message.amount, 0, life, card,
        message.rrn, message.approval_code, True,
    )  # fmt: skip
    return AdviceOutcome.PLACED, [hold.place(account, reference, placed, now)]


def _parked(message: AuthorizationAdvice, outcome: AdviceOutcome, account: Account | None) -> Result:
    now = message.transmitted_at if account is None else account.time_of(message.transmitted_at)
    open_to_buy = None if account is None else account.open_to_buy(now)
    return Result(_acknowledge(message, outcome, 0, open_to_buy, now), [], changed=False, parked=outcome)


def _acknowledge(
    message: AuthorizationAdvice, outcome: str, held: int, open_to_buy: int | None, decided_at: int
) -> AdviceAcknowledgement:
    return AdviceAcknowledgement(
        "advice-acknowledgement", 1, message.network_reference, message.account_id, outcome, message.amount, held,
        open_to_buy, decided_at,
    )  # fmt: skip
