"""From a step's left side (`do: authorize, id: R1, amount: 100.00, mcc: 5542`) to a message with sensible defaults.

A field is given under its own name in models/messages.py or under a short one of this file. The runner sends the
message as JSON, so what the codec refuses is a story to tell, not an error of the format.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, Final, get_type_hints

from models import messages
from models.messages import Inbound, ListRule, VelocityRule
from tests.support.scenario import values
from tests.support.scenario.story import AccountHeader, BadKey


@dataclass(frozen=True)
class Verb:
    """What `do:` may name: the message, its short field names, and the values that follow from the verb."""

    message: type[Any]
    short: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


_REQUEST: Final = {
    "card": "card_token", "expiry": "card_expiry", "merchant": "merchant_id",
    "name": "merchant_name", "city": "merchant_city", "country": "merchant_country", "mode": "entry_mode",
    "partial": "partial_approval", "pre": "pre_authorization", "by": "initiated_by", "avs": "avs_result",
    "cvv": "cvv_result", "pin": "pin_result", "3ds": "three_ds_result", "rate": "conversion_rate",
}  # fmt: skip
_ADVICE: Final = {
    "id": "network_reference", "of": "original_reference", "card": "card_token", "merchant": "merchant_id",
    "name": "merchant_name", "country": "merchant_country", "mode": "entry_mode", "code": "approval_code",
    "by": "initiated_by",
}  # fmt: skip
_CLEARING: Final = {
    "id": "message_id", "of": "network_reference", "card": "card_token", "merchant": "merchant_id",
    "name": "merchant_name", "country": "merchant_country", "code": "approval_code", "rate": "conversion_rate",
}  # fmt: skip

VERBS: Final[Mapping[str, Verb]] = {
    "open": Verb(
        messages.AccountOpened,
        {"id": "message_id", "card": "card_token", "expiry": "card_expiry", "limit": "credit_limit",
         "country": "home_country", "zone": "time_zone"},
    ),
    "authorize": Verb(messages.AuthorizationRequest, {"id": "network_reference", **_REQUEST}),
    "increment": Verb(
        messages.AuthorizationIncrement, {"id": "network_reference", "of": "original_reference"}, {"amount_is": "delta"}
    ),
    "complete": Verb(messages.AuthorizationAdvice, _ADVICE, {"reason": "completion"}),
    "stand-in": Verb(messages.AuthorizationAdvice, _ADVICE, {"reason": "stand-in"}),
    "reverse": Verb(messages.Reversal, {"id": "message_id", "of": "network_reference"}),
    "present": Verb(messages.Presentment, _CLEARING),
    "refund": Verb(
        messages.Refund,
        {"id": "message_id", "of": "original_reference", "merchant": "merchant_id", "name": "merchant_name"},
    ),
    "dispute": Verb(messages.DisputeEvent, {"id": "message_id", "of": "original_reference"}),
    "pay": Verb(messages.PaymentReceived, {"id": "message_id"}),
    "limit": Verb(messages.CreditLimitChanged, {"id": "message_id", "to": "credit_limit"}),
    "status": Verb(messages.AccountStatusChanged, {"id": "message_id", "to": "status"}),
    "card-status": Verb(messages.CardStatusChanged, {"id": "message_id", "card": "card_token", "to": "status"}),
    "controls": Verb(messages.ControlsSet, {"id": "message_id", "card": "card_token"}),
    "tick": Verb(messages.ClockTick),
}  # fmt: skip

_IDENTITIES: Final = ("message_id", "network_reference")
_AMOUNTS: Final = ("amount", "credit_limit", "merchant_amount", "max_amount")
_IN_PERSON: Final = ("chip", "contactless", "magstripe", "manual")
_OWN_READERS: Final[Mapping[str, Callable[[str], int]]] = {
    "card_expiry": values.expiry,
    "conversion_rate": values.rate,
}


def build(
    do: str, given: Mapping[str, Any], header: AccountHeader, at: int, label: str, literal: Collection[str] = ()
) -> Inbound:
    """The message of verb `do`; `given` holds short or full field names. The fields in `literal` are left empty: their
    JSON text is put in when the message is sent. Raises BadKey."""
    verb = VERBS[do]
    named = _full_names(do, given)
    currency = named.get("currency", header.currency)
    content = {name: _read(verb.message, name, value, currency, named) for name, value in named.items()}
    content |= dict.fromkeys(literal)
    defaults = _defaults(do, content, header, label) | {"transmitted_at": at, **verb.fixed}
    missing = [name for name in _required(verb.message) if name not in content and name not in defaults]
    if missing:
        raise BadKey(_short_name(verb, missing[0]), f"is missing, and `{do}` needs it")
    wanted = {item.name for item in fields(verb.message)}
    merged = {name: value for name, value in (defaults | content).items() if name in wanted}
    return verb.message(**merged)  # type: ignore[no-any-return]


def field_of(do: str, key: str) -> str:
    """The field that a key of verb `do` stands for; raises BadKey."""
    name = "amount" if do == "increment" and key in ("total", "delta") else VERBS[do].short.get(key, key)
    if name in ("type", "version", "transmitted_at") or name not in hints(VERBS[do].message):
        raise BadKey(key, f"is no field of `{do}`")
    return name


def hints(of: type[Any]) -> dict[str, Any]:
    """The bare type of each field."""
    return _hints(of.__name__)


@cache
def _hints(name: str) -> dict[str, Any]:
    return get_type_hints(getattr(messages, name))


def read_field(hint: Any, name: str, value: Any, currency: str) -> Any:
    """`value` as a field of that type holds it; "none" is None where that is allowed. Raises BadKey."""
    try:
        return _convert(hint, name, value, currency)
    except BadKey:
        raise
    except ValueError as error:
        raise BadKey(name, str(error)) from None


def _convert(hint: Any, name: str, value: Any, currency: str) -> Any:
    kinds = getattr(hint, "__args__", None) or (hint,)
    if value == "none" and type(None) in kinds:
        return None
    if name in ("velocity", "lists"):
        return [_rule(VelocityRule if name == "velocity" else ListRule, item, currency) for item in _sequence(value)]
    if getattr(hint, "__origin__", None) is list:
        return [str(item) for item in _sequence(value)]
    if not isinstance(value, str):
        raise ValueError("wants a single value")
    if name in _OWN_READERS:
        return _OWN_READERS[name](value)
    if name in _AMOUNTS:
        return values.amount(value, currency)
    if bool in kinds:
        return values.yes_no(value)
    return values.whole(value) if int in kinds else value


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("wants a list")
    return value


def _rule(kind: type[Any], given: Any, currency: str) -> Any:
    if not isinstance(given, dict):
        raise ValueError("wants a list of rules, each {name: ..., ...}")
    unknown = [key for key in given if key not in hints(kind)]
    missing = [name for name in _required(kind) if name not in given]
    if unknown or missing:
        problem = "is no field of a rule" if unknown else "is missing in a rule"
        raise BadKey((unknown or missing)[0], problem)
    return kind(**{name: read_field(hints(kind)[name], name, value, currency) for name, value in given.items()})


def _read(message: type[Any], name: str, value: Any, currency: str, named: Mapping[str, Any]) -> Any:
    if name == "merchant_amount":
        currency = named.get("merchant_currency", currency)
    return read_field(hints(message)[name], name, value, currency)


def _full_names(do: str, given: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, value in given.items():
        name = field_of(do, key)
        if name in named:
            raise BadKey(key, f"gives {name} a second time")
        named[name] = value
        if key in ("total", "delta"):
            named["amount_is"] = key
    return named


def _short_name(verb: Verb, name: str) -> str:
    return next((short for short, full in verb.short.items() if full == name), name)


def _required(message: type[Any]) -> list[str]:
    return [item.name for item in fields(message) if item.default is MISSING and item.default_factory is MISSING]


def _defaults(do: str, content: Mapping[str, Any], header: AccountHeader, label: str) -> dict[str, Any]:
    common = {
        "version": 1, "account_id": header.account_id, "currency": header.currency,
        **dict.fromkeys(_IDENTITIES, f"{do}-{label}"),
        "merchant_id": "M1", "merchant_name": "Corner Shop", "mcc": 5411,
    }  # fmt: skip
    common["type"] = _type_name(VERBS[do].message)
    if do in ("reverse", "present"):
        del common["network_reference"]
    if do in ("authorize", "complete", "stand-in"):
        common |= {
            "card_token": header.card, "card_expiry": header.expiry, "merchant_country": "US", "entry_mode": "chip",
            "card_present": content.get("entry_mode", "chip") in _IN_PERSON, "approved": True,
        }  # fmt: skip
    if do == "open":
        common |= {
            "card_token": header.card, "card_expiry": header.expiry, "home_country": header.country,
            "time_zone": header.zone, "credit_limit": header.limit,
        }  # fmt: skip
    if do == "card-status":
        common["card_token"] = header.card
    return common | ({"final": True} if do == "present" else {})


def _type_name(message: type[Any]) -> str:
    return str(hints(message)["type"].__args__[0])
