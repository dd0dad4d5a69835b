"""What things cost in another currency: the figures of the simulator are US cents.

A cent becomes a round number (1, 2 or 5 times a power of ten) of minor units, the nearest to the currency's rate and
decimals, so that limits, banknotes and what pumps ask for stay round: 2 yen, 2 thousandths of a Kuwaiti dinar, 20
Mexican centavos, 1 cent of a euro. A currency without a rate in `places.py` is taken for a dollar with other decimals.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import floor, log10

from loadtest.traffic.places import rate
from models.money import exponent


def price(cents: int, currency: str) -> int:
    """In minor units of `currency`; what costs something never costs nothing."""
    ratio = cent(currency)
    return max(cents * ratio.numerator // ratio.denominator, min(cents, 1))


@cache
def cent(currency: str) -> Fraction:
    """Minor units of `currency` for a US cent; raises UnknownCurrency."""
    dollars = rate("USD", currency)
    exact = 10 ** (exponent(currency) - 2) * (1.0 if dollars is None else dollars / 10**8)
    tens = Fraction(10) ** floor(log10(exact))
    return min((step * tens for step in (1, 2, 5, 10)), key=lambda found: abs(log10(found / Fraction(exact))))
