"""Authorisation requests and increments: what is answered by a decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from models.messages import AuthorizationDecision, AuthorizationIncrement, AuthorizationRequest
from tests.support.auditor import controls
from tests.support.auditor.agreement import OneOf, Verdict
from tests.support.auditor.book import Approval, Book, Hold
from tests.support.auditor.calendar import life, yyyymm

TAKES_MONEY = {"purchase", "cash-advance", "quasi-cash"}


class Rules(NamedTuple):
    """The issuer's rules. A None is not known: then the reply is believed."""

    general_life: int
    fraud_cut: int | None
    stand_in_limit: int | None
    shed_after: int | None = None  # milliseconds; here None means that no request is declined for having waited


def request(book: Book, message: AuthorizationRequest, reply: AuthorizationDecision, now: int, rules: Rules) -> Verdict:
    reference = message.network_reference
    if book.open_hold(reference, now) is not None or book.purchase(reference) is not None:
        return _declined("stale-duplicate", changed=False)
    objection, control, detail = _objection(book, message, reply, now, rules)
    available = book.open_to_buy(now)
    approved = min(message.amount, available) if message.kind in TAKES_MONEY else message.amount
    if objection is None and message.kind in TAKES_MONEY:
        objection = _opinion(approved, reply, rules)
    book.move_to(now)
    fields: dict[str, Any] = {"control": control, "detail": detail}
    if message.kind not in TAKES_MONEY:
        fields |= {"stand_in": False, "fraud_score": None}
    if objection is not None:
        return _declined(objection, **fields)
    if message.kind in TAKES_MONEY:
        _approve(book, message, reply, approved, now, rules)
    if message.kind == "account-verification":
        fields |= {"avs_result": message.avs_result, "cvv_result": message.cvv_result}
    return _approved("approved" if approved == message.amount else "partially-approved", approved, **fields)


def _objection(
    book: Book, message: AuthorizationRequest, reply: AuthorizationDecision, now: int, rules: Rules
) -> tuple[str | None, Any, Any]:
    """The first check that fails, the control behind it, and its detail. A control that may refuse or not is left to
    the reply."""
    for reason, detail in _before_controls(book, message, now):
        return reason, None, detail
    if message.kind != "refund":
        named: dict[str, str | None] = {}
        for name, must, counted in controls.refusals(book, message, now):
            named[name] = counted
            if must:
                return "control", OneOf(*named), _counted(named, reply)
        if named and reply.reason == "control":
            return "control", OneOf(*named), _counted(named, reply)
    reason = next(_after_controls(book, message, reply, now, rules), None)
    return reason, None, reply.detail if reason == "timed-out" else None


def _counted(named: dict[str, str | None], reply: AuthorizationDecision) -> Any:
    counted = named.get(reply.control or "")
    return OneOf("count", "amount") if counted == "either" else counted


def _before_controls(book: Book, message: AuthorizationRequest, now: int) -> Iterator[tuple[str, str | None]]:
    card = book.cards.get(message.card_token)
    statuses = {"active", "frozen", "delinquent-blocked"} if message.kind == "refund" else {"active"}
    checks = (
        ("reversed-before-arrival", book.reversed_early(message.network_reference, now)),
        ("invalid-amount", (message.amount == 0) != (message.kind == "account-verification")),
        ("unknown-card", card is None),
        ("card-not-active", card != "active"),
        ("expired-card", book.opening.card_expiry < yyyymm(now)),
        ("card-expiry-mismatch", message.card_expiry != book.opening.card_expiry),
        ("account-not-active", book.status not in statuses),
        ("currency-mismatch", message.currency != book.opening.currency),
    )
    said = {"card-not-active": card, "account-not-active": book.status}
    yield from ((reason, said.get(reason)) for reason, fails in checks if fails)


def _after_controls(
    book: Book, message: AuthorizationRequest, reply: AuthorizationDecision, now: int, rules: Rules
) -> Iterator[str]:
    if message.kind not in TAKES_MONEY:
        return
    available = book.open_to_buy(now)
    part = message.kind == "purchase" and message.partial_approval and available > 0
    if not book.has_room_for_hold(now):
        yield "too-many-open-holds"
    if reply.reason == "timed-out" and rules.shed_after is not None and int(reply.detail or 0) > rules.shed_after:
        yield "timed-out"
    if message.amount > available and not part:
        yield "insufficient-open-to-buy"


def _opinion(approved: int, reply: AuthorizationDecision, rules: Rules) -> str | None:
    """What the model said, or what is done when it says nothing: the stand-in rule bounds what would be `approved`. As
    far as the rules are not known, the reply is believed."""
    if reply.stand_in:
        if rules.stand_in_limit is None:
            return reply.reason if reply.reason == "scoring-unavailable" else None
        return "scoring-unavailable" if approved > rules.stand_in_limit else None
    if reply.fraud_score is None:
        return None
    if rules.fraud_cut is None:
        return reply.reason if reply.reason == "suspected-fraud" else None
    return "suspected-fraud" if reply.fraud_score >= rules.fraud_cut else None


def _approve(
    book: Book, message: AuthorizationRequest, reply: AuthorizationDecision, amount: int, now: int, rules: Rules
) -> None:
    lasts = life(
        message.mcc, message.entry_mode, message.initiated_by, message.pre_authorization, now, rules.general_life
    )
    hold = Hold(
        reference=message.network_reference,
        card=message.card_token,
        merchant=message.merchant_id,
        rrn=message.rrn,
        approval_code=reply.approval_code,
        placed_at=now,
        life=lasts,
        ends_at=now + lasts,
        authorised=amount,
    )
    book.place(hold, amount)
    book.approvals.append(Approval(now, amount, message.card_token, message.merchant_id))


def increment(
    book: Book, message: AuthorizationIncrement, _reply: AuthorizationDecision, now: int, _rules: Rules
) -> Verdict:
    hold = book.open_hold(message.original_reference, now)
    available = book.open_to_buy(now)
    book.move_to(now)
    fields: dict[str, Any] = {"stand_in": False, "fraud_score": None, "control": None}
    if hold is None:
        return _declined("no-matching-hold", **fields)
    total = message.amount if message.amount_is == "total" else hold.authorised + message.amount
    addition = total - hold.authorised
    checks = (
        ("card-not-active", book.cards.get(hold.card) != "active"),
        ("account-not-active", book.status != "active"),
        ("currency-mismatch", message.currency != book.opening.currency),
        ("insufficient-open-to-buy", addition > 0 and addition > available),
    )
    reason = next((reason for reason, fails in checks if fails), None)
    said = {"card-not-active": book.cards.get(hold.card), "account-not-active": book.status}
    fields["detail"] = said.get(reason or "")
    if reason is not None:
        return _declined(reason, **fields)
    if addition > 0:
        book.move(hold, "hold-increased", addition)
        hold.authorised = total
        hold.ends_at = now + hold.life
    return _approved("approved", hold.authorised, **fields)


def _declined(reason: str, changed: bool = True, **fields: Any) -> Verdict:
    said = {"outcome": "declined", "reason": reason, "approved_amount": 0, "approval_code": None}
    return Verdict(said | fields, changed)


def _approved(outcome: str, amount: int, **fields: Any) -> Verdict:
    return Verdict({"outcome": outcome, "reason": None, "approved_amount": amount} | fields)
