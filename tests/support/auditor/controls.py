"""Controls over the full list of approvals: no counters, no buckets.

Names, order and meaning: docs/lifecycle.md and the heads of models/controls.py and models/velocity.py. A trailing
window with more than 32 approvals in it may forget late, by 2/31 of its length at most.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.messages import AuthorizationRequest, ControlsSet, ListRule, VelocityRule
from tests.support.auditor.book import Approval, Book
from tests.support.auditor.calendar import period

COUNTED = {"purchase", "cash-advance", "quasi-cash"}
EXACT_APPROVALS = 32


def refusals(book: Book, request: AuthorizationRequest, now: int) -> Iterator[tuple[str, bool, str | None]]:
    """Controls that refuse, in order: (name, whether it must, what a velocity limit counts: "count", "amount", or
    "either" when the window may have forgotten late). One that may or may not refuse is followed by the next."""
    for card, scope in ((None, "account"), (request.card_token, "card")):
        if card in book.controls:
            rules = book.controls[card].rules
            approvals = list(book.approvals_since(card))
            for name, must, counted in _refusing(rules, approvals, request, now, book.opening.time_zone):
                yield f"{scope}:{name}", must, counted


def _refusing(
    rules: ControlsSet, approvals: list[Approval], request: AuthorizationRequest, now: int, zone: str
) -> Iterator[tuple[str, bool, str | None]]:
    mode, atm = request.entry_mode, request.kind == "cash-advance" or request.mcc in {6010, 6011}
    toggles = (
        ("ecommerce", not rules.ecommerce and mode == "ecommerce"),
        ("atm", not rules.atm and atm),
        ("contactless", not rules.contactless and mode == "contactless"),
        ("single-use", rules.single_use and len(approvals) > 0),
        ("merchant-lock", rules.merchant_lock and len(approvals) > 0 and approvals[0].merchant != request.merchant_id),
    )
    yield from ((name, True, None) for name, refuses in toggles if refuses)
    yield from ((rule.name, True, None) for rule in rules.lists if _listed(rule, request) is (rule.mode == "deny"))
    if request.kind in COUNTED:
        for rule in rules.velocity:
            least, most = _windows(rule, approvals, now, zone)
            if exceeded := _exceeded(rule, most, request.amount):
                surely = _exceeded(rule, least, request.amount)
                yield rule.name, surely is not None, exceeded if surely == exceeded else "either"


def _listed(rule: ListRule, request: AuthorizationRequest) -> bool:
    value = {
        "mcc": f"{request.mcc:04}",
        "country": request.merchant_country,
        "merchant": request.merchant_id,
        "entry-mode": request.entry_mode,
    }[rule.of]
    return value in rule.values


def _windows(
    rule: VelocityRule, approvals: list[Approval], now: int, zone: str
) -> tuple[list[Approval], list[Approval]]:
    """Approvals that must count, and those that may."""
    if rule.seconds is None:
        current = [each for each in approvals if period(rule.window, each.at, zone) == period(rule.window, now, zone)]
        return current, current
    length = rule.seconds * 1000
    least = [each for each in approvals if now < each.at + length]
    most = [each for each in approvals if now <= each.at + length + length * 2 // 31]
    return least, most if len(most) > EXACT_APPROVALS else least


def _exceeded(rule: VelocityRule, counted: list[Approval], amount: int) -> str | None:
    too_many = rule.max_count is not None and len(counted) + 1 > rule.max_count
    too_much = rule.max_amount is not None and sum(each.amount for each in counted) + amount > rule.max_amount
    return "count" if too_many else "amount" if too_much else None


def valid(rules: ControlsSet) -> bool:
    """What the schema of the message cannot say."""
    names = [rule.name for rule in rules.velocity] + [rule.name for rule in rules.lists]
    reserved = {"ecommerce", "atm", "contactless", "single-use", "merchant-lock"}
    return (
        len(set(names)) == len(names)
        and reserved.isdisjoint(names)
        and all((rule.window == "trailing") == (rule.seconds is not None) for rule in rules.velocity)
        and all(rule.max_count is not None or rule.max_amount is not None for rule in rules.velocity)
        and all(_plausible(rule.of, value) for rule in rules.lists for value in rule.values)
    )


def _plausible(of: str, value: str) -> bool:
    if of == "mcc":
        return len(value) == 4 and value.isascii() and value.isdigit()
    if of == "country":
        return len(value) == 2 and value.isascii() and value.isalpha() and value.isupper()
    return of == "merchant" or value in {"chip", "contactless", "magstripe", "manual", "ecommerce", "recurring"}
