"""Amounts and rates: data elements 4, 6, 10, 49, 51 and 95. They are minor units on both sides and carried as they are.

The account's currency is that of the billing elements (6, 51) when they are there: 4 and 49 are then the merchant's.
Without them 4 and 49 are the account's. Settlement elements (5, 9, 50) are between network and acquirer: not read.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from topics.iso8583.currencies import ALPHABETIC, NUMERIC
from topics.iso8583.malformed import MalformedReason, Refused, Unencodable
from topics.iso8583.packager import Elements, element_name

MAX_AMOUNT: Final = 10**12 - 1
"""Twelve digits."""
_RATE_DECIMALS: Final = 8
_RATE_LIMIT: Final = 10**7
"""Element 10 has seven digits after the one that says how many of them are decimals."""


class Amounts(NamedTuple):
    amount: int
    currency: str
    merchant_amount: int | None
    merchant_currency: str | None


def read_amounts(elements: Elements) -> Amounts:
    """Raises Refused when an element is missing or a currency is unknown."""
    amount, currency = _read_pair(elements, 4, 49)
    if 6 not in elements and 51 not in elements:
        return Amounts(amount, currency, None, None)
    return Amounts(*_read_pair(elements, 6, 51), amount, currency)


def write_amounts(amount: int, currency: str, merchant: tuple[int, str] | None = None) -> Elements:
    """Raises Unencodable for an amount of more than twelve digits or a currency that ISO 4217 does not list."""
    if merchant is None:
        return {4: write_amount(amount), 49: _numeric(currency, "currency")}
    return {
        4: write_amount(merchant[0], "merchant_amount"),
        49: _numeric(merchant[1], "merchant_currency"),
        6: write_amount(amount),
        51: _numeric(currency, "currency"),
    }


def write_amount(amount: int, field: str = "amount") -> str:
    if not 0 <= amount <= MAX_AMOUNT:
        raise Unencodable(field, "does not fit into twelve digits")
    return f"{amount:012}"


def read_rate(element: str) -> int:
    """In units of 10^-8; a ninth decimal is rounded half up. Element 10 "61234567" is 1.234567."""
    decimals, digits = int(element[0]), int(element[1:])
    if decimals > _RATE_DECIMALS:
        return (digits + 5) // 10
    scale: int = 10 ** (_RATE_DECIMALS - decimals)
    return digits * scale


def write_rate(rate: int) -> str:
    """As many decimals as seven digits leave room for, the last one rounded half up; raises Unencodable."""
    for decimals in range(9, -1, -1):
        unit = 10 ** max(_RATE_DECIMALS - decimals, 0)
        digits = rate * 10 if decimals > _RATE_DECIMALS else (2 * rate + unit) // (2 * unit)
        if digits < _RATE_LIMIT:
            return f"{decimals}{digits:07}"
    raise Unencodable("conversion_rate", "does not fit into seven digits")


def read_taken_back(elements: Elements) -> int | None:
    """What a reversal takes back: the amount less its replacement; None, all of it, without element 95.

    Element 95: replacement of 4, of 5 and of 6 (twelve digits each), six zeros. Raises Refused when a billing amount
    has no replacement beside one of the merchant's amount, and when nothing is taken back.
    """
    if 95 not in elements:
        return None
    content = elements[95]
    merchants, billing = content[:12], content[24:36]
    if not (merchants + billing).isdigit():
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE95", "replacement amounts are not of digits")
    number, replacement = (6, int(billing)) if 6 in elements else (4, int(merchants))
    if number == 6 and replacement == 0 and int(merchants) > 0:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE95", "no replacement for the billing amount")
    if number not in elements:
        raise Refused(MalformedReason.MISSING_ELEMENT, "DE4", "replacement amounts need the original one")
    taken_back = int(elements[number]) - replacement
    if taken_back <= 0:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE95", "the replacement takes nothing back")
    return taken_back


def write_replacement(amount: int) -> str:
    return f"{write_amount(amount)}{0:030}"


def _read_pair(elements: Elements, number: int, currency: int) -> tuple[int, str]:
    for needed in (number, currency):
        if needed not in elements:
            raise Refused(
                MalformedReason.MISSING_ELEMENT, element_name(needed), "an amount and its currency are needed"
            )
    letters = ALPHABETIC.get(elements[currency])
    if letters is None:
        raise Refused(MalformedReason.INVALID_ELEMENT, element_name(currency), "not an active ISO 4217 numeric code")
    return int(elements[number]), letters


def _numeric(currency: str, field: str) -> str:
    if currency not in NUMERIC:
        raise Unencodable(field, "not an active ISO 4217 code")
    return NUMERIC[currency]
