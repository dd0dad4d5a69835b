"""Money as integer minor units, with the exponents of ISO 4217.

An amount is an `int` beside an ISO 4217 alphabetic code; the code decides how many of its digits are decimals.
Nothing here ever makes a float.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

# ISO 4217:2015 list one (amendment 177). Every active currency not named below has two decimals.
_EXPONENT: Final[dict[str, int]] = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
         "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}  # fmt: skip
_CODES: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP "
    "CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES "
    "KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK "
    "NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB "
    "TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD XCG YER ZAR ZMW ZWG"
)
_TWO_DECIMALS: Final[frozenset[str]] = frozenset(_CODES.split())
CURRENCIES: Final[frozenset[str]] = frozenset(_EXPONENT) | _TWO_DECIMALS

MAX_MINOR: Final = 10**13
"""Largest amount a message may carry, in minor units: far above any card line, far below 64 bits."""


class UnknownCurrency(ValueError):
    """The code is not an active ISO 4217 currency."""


def exponent(currency: str) -> int:
    """Number of decimals of an ISO 4217 alphabetic code; raises UnknownCurrency."""
    if currency in _TWO_DECIMALS:
        return 2
    try:
        return _EXPONENT[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency!r} is not an active ISO 4217 currency") from None


def to_major(amount: int, currency: str) -> Decimal:
    """Minor units to an exact decimal in major units: (12345, "KWD") is 12.345."""
    return Decimal(amount).scaleb(-exponent(currency))


def display(amount: int, currency: str) -> str:
    """For people: (1234567, "USD") is "12,345.67 USD"."""
    return f"{to_major(amount, currency):,} {currency}"


def split(amount: int, parts: int) -> list[int]:
    """Divide so that nothing is lost: the first shares carry the odd minor units (10000 in 3: 3334, 3333, 3333)."""
    if parts < 1:
        raise ValueError("parts must be at least 1")
    share, odd = divmod(abs(amount), parts)
    sign = -1 if amount < 0 else 1
    return [sign * (share + (i < odd)) for i in range(parts)]
