"""The authorisation decision and the reversal.

Two steps, because the fraud score of a whole slice is computed in one model run between them:

    screen(account, request)           -> a Result when no score is needed, else the request as Screened
    decide(screened, score, policy)    -> the Result; books the hold when approved

Both make every check in order, then act; after the last check nothing can fail.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from models import hold
from models.account import DAY_MS, MAX_OPEN_HOLDS, Account, AccountStatus, CardStatus, Hold
from models.answers import (
    AuthorizationAnswer,
    ReversalAnswer,
    approval_code,
    authorization_fingerprint,
    remember,
    reversal_fingerprint,
)
from models.messages import AuthorizationDecision, AuthorizationRequest, Reversal, ReversalAcknowledgement
from models.outcomes import DeclineReason, ReversalOutcome
from models.result import Result


class Policy(NamedTuple):
    """The issuer's rules that are the same for every account."""

    fraud_cut_ppm: int = 900_000  # declined at or above this score
    hold_ms: int = 7 * DAY_MS


class FraudScore(NamedTuple):
    """The model's opinion, already an integer: parts per million, and the features that raised it most."""

    ppm: int
    reasons: list[str]
    model_version: str


class Screened(NamedTuple):
    """A request worth scoring, and what the checks before it found out."""

    account: Account
    request: AuthorizationRequest
    fingerprint: int
    now: int  # the time of the request as the account sees it


def decline_unknown_account(request: AuthorizationRequest) -> Result:
    return Result(unremembered(request, DeclineReason.UNKNOWN_ACCOUNT, None), [], changed=False)


def screen(account: Account, request: AuthorizationRequest) -> Result | Screened:
    """Replays, conflicts, and every decline that needs no score."""
    print_ = authorization_fingerprint(request)
    answer = account.answers.get(request.network_reference)
    if answer is not None:
        return _replay(account, request, answer, print_)
    if request.network_reference in account.holds:
        return Result(unremembered(request, DeclineReason.STALE_DUPLICATE, account), [], changed=False)
    now = max(account.as_of, request.transmitted_at)
    reason = _first_failed_check(account, request, now)
    screened = Screened(account, request, print_, now)
    return screened if reason is None else _answer(screened, account.open_to_buy(now), reason, None)


def decide(screened: Screened, score: FraudScore | None, policy: Policy) -> Result:
    """Approve or decline a request that `screen` let through; `score` None means that no model is configured."""
    account, request, _fingerprint, now = screened
    open_to_buy = account.open_to_buy(now)
    if request.amount > open_to_buy:
        return _answer(screened, open_to_buy, DeclineReason.INSUFFICIENT_OPEN_TO_BUY, score)
    if score is not None and score.ppm >= policy.fraud_cut_ppm:
        return _answer(screened, open_to_buy, DeclineReason.SUSPECTED_FRAUD, score)
    # After this point it must succeed.
    placed = Hold(request.amount, now, now + policy.hold_ms, request.merchant_id, request.mcc)
    return _answer(screened, open_to_buy - request.amount, None, score, placed)


def reverse(account: Account | None, message: Reversal) -> Result:
    """Release the hold in full, once; every repeat is acknowledged alike."""
    if account is None:
        return Result(
            _acknowledge(message, ReversalOutcome.UNKNOWN_ACCOUNT, 0, None, message.transmitted_at), [], False
        )
    print_ = reversal_fingerprint(message)
    answer = account.answers.get(message.message_id)
    if isinstance(answer, ReversalAnswer) and answer.fingerprint == print_:
        reply = _acknowledge(message, answer.outcome, answer.released, answer.open_to_buy, answer.decided_at)
        return Result(reply, [], changed=False)
    if answer is not None:
        outcome = ReversalOutcome.CONFLICTING_DUPLICATE
        return Result(_acknowledge(message, outcome, 0, account.open_to_buy(account.as_of), account.as_of), [], False)
    now = hold.advance(account, message.transmitted_at)
    expired = hold.expire(account, now)
    released, entries = hold.release(account, message.network_reference, now)
    outcome = ReversalOutcome.RELEASED if released else ReversalOutcome.NOTHING_TO_RELEASE
    stored = ReversalAnswer(print_, now, outcome, released, account.open_to_buy(now))
    remember(account.answers, message.message_id, stored, now)
    return Result(_acknowledge(message, outcome, released, stored.open_to_buy, now), expired + entries, changed=True)


def unremembered(
    request: AuthorizationRequest, reason: DeclineReason, account: Account | None
) -> AuthorizationDecision:
    """A decline that leaves no trace in the row, so that it cannot shadow an answer that is already there."""
    now = request.transmitted_at if account is None else account.as_of
    open_to_buy = None if account is None else account.open_to_buy(now)
    return AuthorizationDecision(
        "authorization-decision", 1, request.network_reference, request.account_id, "declined", reason,
        request.amount, request.currency, None, open_to_buy, None, [], None, now,
    )  # fmt: skip


def _first_failed_check(account: Account, request: AuthorizationRequest, now: int) -> DeclineReason | None:
    card = account.cards.get(request.card_token)
    if card is None:
        return DeclineReason.UNKNOWN_CARD
    if card.status is not CardStatus.ACTIVE:
        return DeclineReason.CARD_NOT_ACTIVE
    if card.expiry < _month(now):
        return DeclineReason.EXPIRED_CARD
    if card.expiry != request.card_expiry:
        return DeclineReason.CARD_EXPIRY_MISMATCH
    if account.status is not AccountStatus.ACTIVE:
        return DeclineReason.ACCOUNT_NOT_ACTIVE
    if request.currency != account.currency:
        return DeclineReason.CURRENCY_MISMATCH
    if len(account.holds) >= MAX_OPEN_HOLDS:
        return DeclineReason.TOO_MANY_OPEN_HOLDS
    return None


def _month(now: int) -> int:
    """YYYYMM of a time, UTC."""
    day = datetime.fromtimestamp(now // 1000, UTC)
    return day.year * 100 + day.month


def _answer(
    screened: Screened,
    open_to_buy: int,
    reason: DeclineReason | None,
    score: FraudScore | None,
    placed: Hold | None = None,
) -> Result:
    """Write the decision into the row: expiries, the hold if there is one, the profile, the answer.

    `open_to_buy` is what is left after it; holds that end here had stopped counting before.
    """
    account, request, fingerprint, now = screened
    account.as_of = now
    entries = hold.expire(account, now)
    if placed is not None:
        entries.append(hold.place(account, request.network_reference, placed, now))
    account.profile.observe(request, now, approved=placed is not None)
    ppm, reasons, model_version = (None, [], None) if score is None else score
    answer = AuthorizationAnswer(fingerprint, now, reason, open_to_buy, ppm, reasons, model_version)
    remember(account.answers, request.network_reference, answer, now)
    return Result(_decision(request, answer), entries, changed=True)


def _replay(account: Account, request: AuthorizationRequest, answer: object, print_: int) -> Result:
    if isinstance(answer, AuthorizationAnswer) and answer.fingerprint == print_:
        return Result(_decision(request, answer), [], changed=False)
    return Result(unremembered(request, DeclineReason.CONFLICTING_DUPLICATE, account), [], changed=False)


def _decision(request: AuthorizationRequest, answer: AuthorizationAnswer) -> AuthorizationDecision:
    approved = answer.reason is None
    return AuthorizationDecision(
        "authorization-decision",
        1,
        request.network_reference,
        request.account_id,
        "approved" if approved else "declined",
        answer.reason,
        request.amount,
        request.currency,
        approval_code(answer.fingerprint) if approved else None,
        answer.open_to_buy,
        answer.fraud_score,
        answer.fraud_reasons,
        answer.model_version,
        answer.decided_at,
    )


def _acknowledge(
    message: Reversal, outcome: str, released: int, open_to_buy: int | None, decided_at: int
) -> ReversalAcknowledgement:
    return ReversalAcknowledgement(
        "reversal-acknowledgement", 1, message.message_id, message.network_reference, message.account_id, outcome,
        released, open_to_buy, decided_at,
    )  # fmt: skip
