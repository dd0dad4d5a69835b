"""Authorisation requests, complete with what terminals, shops and networks write into them."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Final, Literal

from loadtest.traffic.agenda import Agenda
from loadtest.traffic.cardholders import HOUR_MS, Cardholder, Plan
from loadtest.traffic.merchants import CATEGORIES, Merchant
from loadtest.traffic.places import COUNTRIES, CURRENCY, RATE_UNIT, rate
from loadtest.traffic.prices import price
from models.messages import AuthorizationRequest, EntryMode
from models.money import exponent

_PRESENT: Final = frozenset({"chip", "contactless", "magstripe"})
_NO_MONEY: Final = (None, None, None)

# (address, security code, electronic commerce indicator) of purchases without the card; one of each tuple is drawn.
_Check = tuple[str, str, str]
_HONEST_CHECKS: Final[tuple[_Check, ...]] = (
    *[("Y", "M", "07")] * 40, *[("Y", "M", "05")] * 12, *[("Z", "M", "07")] * 5, *[("A", "M", "07")] * 2,
    *[("U", "M", "06")] * 3, ("U", "P", "07"), ("N", "M", "07"),
)  # fmt: skip
_STOLEN_CHECKS: Final[tuple[_Check, ...]] = (
    *[("Y", "M", "07")] * 24, *[("N", "M", "07")] * 16, *[("U", "P", "07")] * 12, *[("N", "N", "07")] * 8,
    *[("Z", "N", "06")] * 4,
)  # fmt: skip

Pin = Literal["verified", "not-checked"]


class Requests:
    """Writes requests; the caller says who, where, how much and how, this fills in the rest."""

    def __init__(self, rng: Random, agenda: Agenda, plan: Plan) -> None:
        self._rng, self._agenda = rng, agenda
        self._run, self._currency = plan.run, plan.currency
        self._stamp_hour, self._stamp = -1, ""
        self._rates = {country: _rate(country, plan.currency) for country in COUNTRIES}

    def write(
        self, at: int, person: Cardholder, merchant: Merchant, amount: int, mode: EntryMode
    ) -> AuthorizationRequest:
        """A request of the kind that fits the merchant. `amount`: US cents."""
        return self._write(at, person, merchant, price(amount, self._currency), mode)

    def _write(
        self, at: int, person: Cardholder, merchant: Merchant, amount: int, mode: EntryMode
    ) -> AuthorizationRequest:
        number = self._agenda.number()
        hour = at // HOUR_MS
        if hour != self._stamp_hour:
            self._stamp_hour, self._stamp = hour, _hour_stamp(hour)
        stan = "%06d" % (number % 1_000_000)  # noqa: UP031 (a third of the time of an f-string, and 4 in 10 are these)
        category = CATEGORIES[merchant.category]
        avs = cvv = three_ds = pin = merchant_amount = currency = conversion = None
        abroad = merchant.country != person.home
        if abroad:
            merchant_amount, currency, conversion = self._money(merchant.country, amount)
        present = mode in _PRESENT
        if present:
            pin = _pin(category.kind, abroad) if mode == "chip" else None
        elif mode != "recurring":
            avs, cvv, three_ds = self._checks(mode, _HONEST_CHECKS)
        return AuthorizationRequest(
            "authorization-request", 1, f"{self._run}-a{number}", person.account_id, person.card_token,
            person.card_expiry, amount, self._currency, merchant.id, merchant.name, merchant.country, merchant.mcc,
            mode, present, at, category.kind, "merchant" if mode == "recurring" else "cardholder",
            present and merchant.takes_part, category.estimated, merchant.city, stan, self._stamp + stan,
            merchant_amount, currency, conversion, avs, cvv, pin, three_ds,
        )  # fmt: skip

    def stolen(
        self, at: int, person: Cardholder, merchant: Merchant, amount: int, mode: EntryMode
    ) -> AuthorizationRequest:
        """A thief's request, `amount` in US cents: address and security code are often wrong."""
        request = self.write(at, person, merchant, amount, mode)
        if not request.card_present and mode != "recurring":
            request.avs_result, request.cvv_result, request.three_ds_result = self._checks(mode, _STOLEN_CHECKS)
        return request

    def verification(self, at: int, person: Cardholder, merchant: Merchant) -> AuthorizationRequest:
        """A zero amount, to see whether a card is good before it is kept on file."""
        request = self.write(at, person, merchant, 0, "ecommerce")
        request.kind, request.pre_authorization = "account-verification", False
        return request

    def refund(self, at: int, person: Cardholder, merchant: Merchant, amount: int) -> AuthorizationRequest:
        """A merchant asks before it gives money back. `amount`: minor units."""
        request = self._write(at, person, merchant, amount, "ecommerce" if self._rng.random() < 0.5 else "chip")
        request.kind, request.pre_authorization, request.partial_approval = "refund", False, False
        return request

    def _checks(self, mode: EntryMode, table: tuple[_Check, ...]) -> tuple[str, str, str | None]:
        avs, cvv, three_ds = table[int(self._rng.random() * len(table))]
        return avs, cvv, three_ds if mode == "ecommerce" else None

    def _money(self, country: str, amount: int) -> tuple[int, str, int] | tuple[None, None, None]:
        """(amount, currency, rate) in the merchant's money; the rate moves by up to 0.3 % about its level."""
        level = self._rates[country]
        if level is None:
            return _NO_MONEY
        currency = CURRENCY[country]
        conversion = level * (9_970 + int(self._rng.random() * 61)) // 10_000
        in_theirs = amount * 10 ** exponent(currency) * RATE_UNIT // (conversion * 10 ** exponent(self._currency))
        return max(in_theirs, 1 if amount else 0), currency, conversion


def _pin(kind: str, abroad: bool) -> Pin:
    """A cash machine asks for it; in shops, a chip abroad may."""
    return "verified" if abroad or kind == "cash-advance" else "not-checked"


def _rate(country: str, billing_currency: str) -> int | None:
    """None when the merchant bills in the account's currency, or the rate is not known."""
    currency = CURRENCY[country]
    return None if currency == billing_currency else rate(currency, billing_currency)


def _hour_stamp(hour: int) -> str:
    """The first six characters of a retrieval reference: last digit of the year, day of the year, hour."""
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y%j%H")[3:]
