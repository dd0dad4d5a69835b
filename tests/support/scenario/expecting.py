"""From a step's right side (`expect: approved, approved: 60.00, held: 60.00, ...`) to what the runner compares."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import NoneType
from typing import Any, Final

from models import messages
from tests.support.scenario import values
from tests.support.scenario.sending import VERBS, hints, read_field
from tests.support.scenario.story import After, BadKey, Expected

AFTER: Final = ("held", "balance", "otb", "review", "entries", "flagged", "scored")
_FIGURES: Final = ("held", "balance", "otb")
_SHORT: Final = {
    "approved": "approved_amount", "rule": "match_rule", "hold": "hold_reference", "stand-in": "stand_in",
    "fraud-score": "fraud_score", "hold-left": "held",
}  # fmt: skip
_AMOUNTS: Final = ("amount", "approved_amount", "held", "released", "open_to_buy", "posted_balance", "open_holds")
_REPLIES: Final[Mapping[type[Any], type[Any]]] = {
    messages.AuthorizationRequest: messages.AuthorizationDecision,
    messages.AuthorizationIncrement: messages.AuthorizationDecision,
    messages.AuthorizationAdvice: messages.AdviceAcknowledgement,
    messages.Reversal: messages.ReversalAcknowledgement,
    messages.ClockTick: NoneType,
}


def reply_type(do: str) -> type[Any]:
    """What answers the message of verb `do`; NoneType when nothing does."""
    return _REPLIES.get(VERBS[do].message, messages.AccountUpdate)


def expected(do: str, given: Mapping[str, Any], currency: str, earlier: Collection[str]) -> Expected:
    """What must come of a message; `earlier` are the labels that `same-as` may name. Raises BadKey."""
    outcome = given.get("expect")
    if not outcome:
        raise BadKey("expect", "is missing: every message says what must come of it")
    fields = {key: value for key, value in given.items() if key not in ("expect", "same-as", "dead-letter")}
    _complete(outcome, fields)
    same_as = given.get("same-as")
    if same_as is not None and same_as not in earlier:
        raise BadKey("same-as", f"there is no earlier step {same_as!r}")
    reply = dict(_field(reply_type(do), key, text, currency) for key, text in fields.items())
    return Expected(None if outcome == "nothing" else outcome, reply, same_as, given.get("dead-letter"))


def after(given: Mapping[str, Any], currency: str, exists: bool) -> After:
    """The account after a step; `exists` says whether there is one. Raises BadKey."""
    for key in _FIGURES:
        if exists and key not in given:
            raise BadKey(key, "is missing: every step says what the account looks like after it")
        if not exists and key in given:
            raise BadKey(key, "there is no account yet")
    figures = tuple(_money(key, given[key], currency) for key in _FIGURES if exists)
    return After(
        (figures[0], figures[1], figures[2]) if exists else None,
        _money("review", given["review"], currency) if "review" in given else None,
        _entries(given["entries"], currency) if "entries" in given else None,
        tuple(_names("flagged", given["flagged"])) if "flagged" in given else None,
        tuple((reference, _score(text)) for reference, text in _pairs("scored", given.get("scored", []))),
    )


def _complete(outcome: str, fields: Mapping[str, Any]) -> None:
    if outcome == "nothing" and fields:
        raise BadKey(next(iter(fields)), "nothing comes back, so nothing can be in it")
    if outcome == "declined" and "reason" not in fields:
        raise BadKey("reason", "is missing: a decline says why")
    if outcome == "partially-approved" and "approved" not in fields:
        raise BadKey("approved", "is missing: a partial approval says how much")


def _field(reply: type[Any], key: str, text: Any, currency: str) -> tuple[str, Any]:
    name = _SHORT.get(key, key)
    if reply is NoneType or name not in hints(reply) or name in ("type", "version", "outcome"):
        raise BadKey(key, "is nothing that can be expected here")
    if name in _AMOUNTS and text != "none":
        return name, _money(key, text, currency)
    try:
        return name, read_field(hints(reply)[name], name, text, currency)
    except BadKey as error:
        raise BadKey(key, str(error).partition(": ")[2]) from None


def _money(key: str, text: Any, currency: str) -> int:
    if not isinstance(text, str):
        raise BadKey(key, "wants an amount")
    try:
        return values.amount(text, currency)
    except ValueError as error:
        raise BadKey(key, str(error)) from None


def _score(text: str) -> int:
    try:
        return values.whole(text)
    except ValueError as error:
        raise BadKey("scored", str(error)) from None


def _entries(given: Any, currency: str) -> tuple[tuple[str, int], ...]:
    return tuple((kind, _money("entries", text, currency)) for kind, text in _pairs("entries", given))


def _names(key: str, given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise BadKey(key, "wants a list, [] when there is nothing")
    return given


def _pairs(key: str, given: Any) -> list[tuple[str, str]]:
    """`[hold-consumed 70.00, presentment-posted 70.00]` as pairs."""
    pairs = [tuple(item.split()) for item in _names(key, given)]
    if any(len(pair) != 2 for pair in pairs):
        raise BadKey(key, "every item is a name and a value, such as `hold-placed 100.00`")
    return [(pair[0], pair[1]) for pair in pairs]
