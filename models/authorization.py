"""The authorisation decision.

Two steps, because the fraud scores of many requests are computed in one model run between them:

    screen(account, request, policy)   -> a Result when no score is needed, else the request as Screened
    decide(screened, score, policy)    -> the Result; books the hold when approved

Both make every check in order, then act; after the last check nothing can fail.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from models import controls, hold
from models.account import DAY_MS, MAX_UNSCORED, Account, Card, Hold, Unscored
from models.answers import AuthorizationAnswer, approval_code, fingerprint_of, remember
from models.hold_life import life_ms
from models.messages import AuthorizationDecision, AuthorizationIncrement, AuthorizationRequest
from models.outcomes import DeclineReason
from models.result import Result
from models.status import AccountStatus, CardStatus

UNSCORED_KINDS: Final = frozenset({"account-verification", "refund"})
_TAKES_REFUNDS: Final = frozenset({AccountStatus.ACTIVE, AccountStatus.FROZEN, AccountStatus.DELINQUENT_BLOCKED})


class Policy(NamedTuple):
    """The issuer's rules that are the same for every account."""

    fraud_cut_ppm: int = 900_000  # declined at or above this score
    hold_ms: int = 7 * DAY_MS  # life of a hold where no network rule says otherwise
    stand_in_limit: int = 5_000  # largest amount approved while the model is not to be had, minor units
    shed_after_ms: int | None = None  # a request that has waited longer is declined unscored; None: none is


class FraudScore(NamedTuple):
    """The model's opinion, already an integer: parts per million, and the features that raised it most."""

    ppm: int
    reasons: list[str]
    model_version: str


class ScoreMissing(NamedTuple):
    """The model failed: what it would have seen, to be scored later."""

    features: list[float]


class TooLate(NamedTuple):
    """The request waited for so long that nobody is there for the answer; the model is not asked."""

    waited_ms: int


Opinion = FraudScore | ScoreMissing | TooLate | None
"""None: no model is configured."""


class Screened(NamedTuple):
    """A request worth scoring, and what the checks before it found out."""

    account: Account
    request: AuthorizationRequest
    fingerprint: int
    now: int  # the time of the request as the account sees it


def decline_unknown_account(request: AuthorizationRequest | AuthorizationIncrement) -> Result:
    return Result(unremembered(request, DeclineReason.UNKNOWN_ACCOUNT, None), [], changed=False)


def screen(account: Account, request: AuthorizationRequest) -> Result | Screened:
    """Replays, conflicts, and every decision that needs no score."""
    print_ = fingerprint_of(request)
    answer = account.answers.get(request.network_reference)
    if answer is not None:
        return replay(account, request, answer, print_)
    now = account.time_of(request.transmitted_at)
    if account.is_held(request.network_reference, now) or account.purchase(request.network_reference) is not None:
        return Result(unremembered(request, DeclineReason.STALE_DUPLICATE, account), [], changed=False)
    screened = Screened(account, request, print_, now)
    declined = _first_failed_check(screened)
    if declined is not None:
        return _answer(screened, account.open_to_buy(screened.now), declined, None)
    if request.kind in UNSCORED_KINDS:
        return _answer(screened, account.open_to_buy(screened.now), None, None)
    return screened


def decide(screened: Screened, score: Opinion, policy: Policy) -> Result:
    """Approve or decline a request that `screen` let through."""
    account, request, print_, now = screened
    open_to_buy = account.open_to_buy(now)
    amount = request.amount
    if isinstance(score, TooLate):
        return _answer(screened, open_to_buy, Declined(DeclineReason.TIMED_OUT, str(score.waited_ms)), score)
    if amount > open_to_buy:
        if not request.partial_approval or open_to_buy <= 0 or request.kind != "purchase":
            return _answer(screened, open_to_buy, Declined(DeclineReason.INSUFFICIENT_OPEN_TO_BUY), score)
        amount = open_to_buy
    if isinstance(score, FraudScore) and score.ppm >= policy.fraud_cut_ppm:
        return _answer(screened, open_to_buy, Declined(DeclineReason.SUSPECTED_FRAUD), score)
    if isinstance(score, ScoreMissing) and amount > policy.stand_in_limit:
        return _answer(screened, open_to_buy, Declined(DeclineReason.SCORING_UNAVAILABLE), score)
    # After this point it must succeed.
    life = life_ms(
        request.kind, request.mcc, request.entry_mode, request.initiated_by, request.pre_authorization, now,
        policy.hold_ms,
    )  # fmt: skip
    placed = Hold(
        amount, now, now + life, request.merchant_id, request.mcc, amount, 0, life,
        account.position_of(request.card_token), request.rrn, approval_code(request.network_reference, print_),
    )  # fmt: skip
    return _answer(screened, open_to_buy - amount, None, score, placed)


def unremembered(
    request: AuthorizationRequest | AuthorizationIncrement, reason: DeclineReason, account: Account | None
) -> AuthorizationDecision:
    """A decline that leaves no trace in the row, so that it cannot shadow an answer that is already there."""
    now = request.transmitted_at if account is None else account.time_of(request.transmitted_at)
    open_to_buy = None if account is None else account.open_to_buy(now)
    return AuthorizationDecision(
        "authorization-decision", 1, request.network_reference, request.account_id, "declined", reason,
        request.amount, request.currency, None, open_to_buy, None, [], None, now,
    )  # fmt: skip


def replay(
    account: Account, request: AuthorizationRequest | AuthorizationIncrement, answer: object, print_: int
) -> Result:
    """The stored answer, or a conflict when the content differs."""
    if isinstance(answer, AuthorizationAnswer) and answer.fingerprint == print_:
        return Result(decision(request, answer), [], changed=False)
    return Result(unremembered(request, DeclineReason.CONFLICTING_DUPLICATE, account), [], changed=False)


def decision(
    request: AuthorizationRequest | AuthorizationIncrement, answer: AuthorizationAnswer
) -> AuthorizationDecision:
    """The message that tells the network, from what the account remembers."""
    approved = answer.reason is None
    amount = request.amount if answer.approved is None else answer.approved
    partial = approved and amount < request.amount
    verified = type(request) is AuthorizationRequest
    return AuthorizationDecision(
        "authorization-decision",
        1,
        request.network_reference,
        request.account_id,
        ("partially-approved" if partial else "approved") if approved else "declined",
        answer.reason,
        request.amount,
        request.currency,
        approval_code(request.network_reference, answer.fingerprint) if approved else None,
        answer.open_to_buy,
        answer.fraud_score,
        answer.fraud_reasons,
        answer.model_version,
        answer.decided_at,
        amount if approved else 0,
        answer.control,
        answer.stand_in,
        request.avs_result if verified else None,  # type: ignore[union-attr]
        request.cvv_result if verified else None,  # type: ignore[union-attr]
        answer.detail,
    )


class Declined(NamedTuple):
    """Why a check failed; `detail` as in AuthorizationDecision."""

    reason: DeclineReason
    detail: str | None = None
    control: str | None = None


def _first_failed_check(screened: Screened) -> Declined | None:
    account, request, _print, now = screened
    if account.reversed_early(request.network_reference, now):
        return Declined(DeclineReason.REVERSED_BEFORE_ARRIVAL)
    if (request.amount == 0) != (request.kind == "account-verification"):
        return Declined(DeclineReason.INVALID_AMOUNT)
    card = account.cards.get(request.card_token)
    if card is None:
        return Declined(DeclineReason.UNKNOWN_CARD)
    declined = _failed_of_card(card, request, now)
    if declined is None and account.status is not AccountStatus.ACTIVE and not _takes_refund(account, request):
        declined = Declined(DeclineReason.ACCOUNT_NOT_ACTIVE, account.status)
    if declined is None and request.currency != account.currency:
        declined = Declined(DeclineReason.CURRENCY_MISMATCH)
    if declined is not None or request.kind == "refund":
        return declined
    declined = _refusing_control(account, card, request, now)
    if declined is None and request.kind != "account-verification" and not account.has_room_for_hold(now):
        return Declined(DeclineReason.TOO_MANY_OPEN_HOLDS)
    return declined


def _takes_refund(account: Account, request: AuthorizationRequest) -> bool:
    return request.kind == "refund" and account.status in _TAKES_REFUNDS


def _failed_of_card(card: Card, request: AuthorizationRequest, now: int) -> Declined | None:
    if card.status is not CardStatus.ACTIVE:
        return Declined(DeclineReason.CARD_NOT_ACTIVE, card.status)
    if card.expiry < _month(now):
        return Declined(DeclineReason.EXPIRED_CARD)
    if card.expiry != request.card_expiry:
        return Declined(DeclineReason.CARD_EXPIRY_MISMATCH)
    return None


def _refusing_control(account: Account, card: Card, request: AuthorizationRequest, now: int) -> Declined | None:
    for owner, rules in (("account", account.controls), ("card", card.controls)):
        if rules is not None:
            refused = controls.refused_by(rules, request, request.amount, now, account.time_zone)
            if refused is not None:
                return Declined(DeclineReason.CONTROL, refused.exceeded, f"{owner}:{refused.name}")
    return None


def _month(now: int) -> int:
    """YYYYMM of a time, UTC."""
    day = datetime.fromtimestamp(now // 1000, UTC)
    return day.year * 100 + day.month


def _answer(
    screened: Screened,
    open_to_buy: int,
    declined: Declined | None,
    score: Opinion,
    placed: Hold | None = None,
) -> Result:
    """Write the decision into the row: expiries, the hold if there is one, what is learned from it, the answer.

    `open_to_buy` is what is left after it; holds that end here had stopped counting before.
    """
    account, request, print_, now = screened
    account.as_of = now
    entries = hold.expire(account, now)
    approved = None
    if placed is not None:
        entries.append(hold.place(account, request.network_reference, placed, now))
        _count(account, request, placed.amount, now)
        approved = placed.amount if placed.amount != request.amount else None
    if request.kind not in UNSCORED_KINDS:
        account.profile.observe(request, now, approved=placed is not None)
    ppm, reasons, version = score if isinstance(score, FraudScore) else (None, [], None)
    reason, detail, control = declined or (None, None, None)
    answer = AuthorizationAnswer(
        print_, now, reason, open_to_buy, ppm, reasons, version, approved, control,
        isinstance(score, ScoreMissing), detail,
    )  # fmt: skip
    if isinstance(score, ScoreMissing):
        account.unscored.append(Unscored(request.network_reference, now, score.features))
        del account.unscored[:-MAX_UNSCORED]
    remember(account.answers, request.network_reference, answer, now)
    return Result(decision(request, answer), entries, changed=True)


def _count(account: Account, request: AuthorizationRequest, amount: int, now: int) -> None:
    """Tell the controls of the account and of the card that an amount was approved."""
    for rules in (account.controls, account.cards[request.card_token].controls):
        if rules is not None:
            controls.count(rules, request, amount, now, account.time_zone)
