"""What an account or a card is allowed to do beyond its credit: the controls of a `ControlsSet`.

Controls apply to requests, never to increments, advices or presentments. They are looked at in this order, and the
first that refuses is named: the toggles `ecommerce`, `atm`, `contactless`, then `single-use`, `merchant-lock`, then the
lists and the velocity rules as they stand in the message.

* *E-commerce*: entry mode `ecommerce`. *ATM*: a cash advance, or MCC 6010 or 6011. *Contactless*: that entry mode.
* *Single use* is used, and a *merchant lock* closes, with the first approval of money.
* *Velocity* counts approvals at the approved amount, and refuses on the amount asked. An account verification moves no
  money: it counts for nothing and no velocity rule refuses it, but everything else does.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, get_args

import msgspec

from models.local_time import is_known_zone
from models.messages import AuthorizationRequest, ControlsSet, EntryMode, ListRule, VelocityRule
from models.velocity import Calendar, Limited, Trailing

__all__ = ["Controls", "InvalidControls", "ListControl", "count", "from_message", "is_known_zone", "refused_by"]

CASH_MCCS: Final = frozenset({6010, 6011})  # cash at a bank's counter, cash from a machine
COUNTED_KINDS: Final = frozenset({"purchase", "cash-advance", "quasi-cash"})  # the kinds that take money
ECOMMERCE: Final = "ecommerce"
ATM: Final = "atm"
CONTACTLESS: Final = "contactless"
SINGLE_USE: Final = "single-use"
MERCHANT_LOCK: Final = "merchant-lock"
_RESERVED: Final = frozenset({ECOMMERCE, ATM, CONTACTLESS, SINGLE_USE, MERCHANT_LOCK})
_MCC: Final = re.compile(r"[0-9]{4}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_ENTRY_MODES: Final = frozenset(get_args(EntryMode))


class InvalidControls(NamedTuple):
    """Why a `ControlsSet` cannot be used; a value, not an exception."""

    field: str  # where, such as "velocity[0].seconds"
    detail: str


class ListControl(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Only these values (`allow`), or none of them."""

    name: str
    of: str  # "mcc", "country", "merchant" or "entry-mode"
    allow: bool
    values: list[int | str]  # MCCs are numbers, all else is text

    def refuses(self, request: AuthorizationRequest) -> bool:
        of = self.of
        value: int | str
        if of == "mcc":
            value = request.mcc
        elif of == "merchant":
            value = request.merchant_id
        elif of == "country":
            value = request.merchant_country
        else:
            value = request.entry_mode
        return (value in self.values) is not self.allow


class Controls(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The controls of one account or one card, with their counters: part of the account's row."""

    velocity: list[Trailing | Calendar] = msgspec.field(default_factory=list)
    lists: list[ListControl] = msgspec.field(default_factory=list)
    ecommerce: bool = True
    atm: bool = True
    contactless: bool = True
    single_use: bool = False
    used: bool = False
    merchant_lock: bool = False
    locked_merchant: str = ""  # the merchant of the first approval under the lock; empty before it


def from_message(message: ControlsSet) -> Controls | InvalidControls | None:
    """The controls a message asks for, counters at zero; None when it restricts nothing."""
    if invalid := _invalid(message):
        return invalid
    controls = Controls(
        velocity=[_velocity(rule) for rule in message.velocity],
        lists=[_list(rule) for rule in message.lists],
        ecommerce=message.ecommerce,
        atm=message.atm,
        contactless=message.contactless,
        single_use=message.single_use,
        merchant_lock=message.merchant_lock,
    )
    return None if controls == Controls() else controls


class Refusal(NamedTuple):
    """Which control refuses, and what is exceeded if it is a velocity limit."""

    name: str
    exceeded: Limited | None = None


def refused_by(controls: Controls, request: AuthorizationRequest, amount: int, now: int, zone: str) -> Refusal | None:  # noqa: ARG001
    """The first control that refuses a request of `amount` minor units at `now`; None: none does.

    Changes nothing, so that a request declined for another reason leaves no trace. `zone` is the account's time zone;
    a calendar window knows when it ends since its first approval, so refusing does not need it.
    """
    if refusing := _refusing_toggle(controls, request):
        return Refusal(refusing)
    if controls.used:
        return Refusal(SINGLE_USE)
    if controls.locked_merchant and controls.locked_merchant != request.merchant_id:
        return Refusal(MERCHANT_LOCK)
    for listed in controls.lists:
        if listed.refuses(request):
            return Refusal(listed.name)
    if request.kind in COUNTED_KINDS:
        for rule in controls.velocity:
            if exceeded := rule.exceeded_by(amount, now):
                return Refusal(rule.name, exceeded)
    return None


def count(controls: Controls, request: AuthorizationRequest, amount: int, now: int, zone: str) -> None:
    """Take note of an approval of `amount` minor units at `now`; `zone` is the account's IANA time zone.

    Call once for every approval; those that take no money (verification, refund) change nothing.
    """
    if request.kind not in COUNTED_KINDS:
        return
    for rule in controls.velocity:
        rule.add(amount, now, zone)
    if controls.single_use:
        controls.used = True
    if controls.merchant_lock and not controls.locked_merchant:
        controls.locked_merchant = request.merchant_id


def _refusing_toggle(controls: Controls, request: AuthorizationRequest) -> str | None:
    mode = request.entry_mode
    if not controls.ecommerce and mode == "ecommerce":
        return ECOMMERCE
    if not controls.atm and (request.kind == "cash-advance" or request.mcc in CASH_MCCS):
        return ATM
    if not controls.contactless and mode == "contactless":
        return CONTACTLESS
    return None


def _velocity(rule: VelocityRule) -> Trailing | Calendar:
    if rule.seconds is not None:
        return Trailing(rule.name, rule.seconds * 1000, rule.max_count, rule.max_amount)
    return Calendar(rule.name, rule.window, rule.max_count, rule.max_amount)


def _list(rule: ListRule) -> ListControl:
    values: list[int | str] = [int(value) for value in rule.values] if rule.of == "mcc" else [*rule.values]
    return ListControl(rule.name, rule.of, rule.mode == "allow", values)


def _invalid(message: ControlsSet) -> InvalidControls | None:
    """What the schema of the message cannot say."""
    names: set[str] = set(_RESERVED)
    for at, rule in enumerate(message.velocity):
        if invalid := _invalid_name(f"velocity[{at}]", rule.name, names) or _invalid_velocity(f"velocity[{at}]", rule):
            return invalid
    for at, listed in enumerate(message.lists):
        if invalid := _invalid_name(f"lists[{at}]", listed.name, names) or _invalid_list(f"lists[{at}]", listed):
            return invalid
    return None


def _invalid_name(where: str, name: str, names: set[str]) -> InvalidControls | None:
    """A decline names its control, so a name stands for one thing."""
    if name in _RESERVED:
        return InvalidControls(f"{where}.name", f"{name!r} is the name of a control of its own")
    if name in names:
        return InvalidControls(f"{where}.name", f"{name!r} names another rule already")
    names.add(name)
    return None


def _invalid_velocity(where: str, rule: VelocityRule) -> InvalidControls | None:
    if rule.window == "trailing" and rule.seconds is None:
        return InvalidControls(f"{where}.seconds", "a trailing window needs its length")
    if rule.window != "trailing" and rule.seconds is not None:
        return InvalidControls(f"{where}.seconds", f"the length of a {rule.window} is given by the calendar")
    if rule.max_count is None and rule.max_amount is None:
        return InvalidControls(where, "neither max_count nor max_amount is given: the rule limits nothing")
    return None


def _invalid_list(where: str, rule: ListRule) -> InvalidControls | None:
    for at, value in enumerate(rule.values):
        if rule.of == "mcc" and not _MCC.fullmatch(value):
            return InvalidControls(f"{where}.values[{at}]", f"{value!r} is not a merchant category code of four digits")
        if rule.of == "country" and not _COUNTRY.fullmatch(value):
            return InvalidControls(f"{where}.values[{at}]", f"{value!r} is not a country code of two capitals")
        if rule.of == "entry-mode" and value not in _ENTRY_MODES:
            modes = ", ".join(sorted(_ENTRY_MODES))
            return InvalidControls(f"{where}.values[{at}]", f"{value!r} is not an entry mode ({modes})")
    return None
