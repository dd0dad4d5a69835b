"""Countries: who lives there, their clocks, their money and some of their cities.

`_RATES` are round figures of late 2025, US dollars for one unit; only their size matters.
"""

from __future__ import annotations

from typing import Final, NamedTuple

RATE_UNIT: Final = 10**8
"""Conversion rates are integers in units of 10^-8."""


class _Country(NamedTuple):
    code: str
    share: float  # of cardholders living there
    utc_offset: int  # hours
    shops: int  # merchants per category
    currency: str
    zone: str  # IANA name
    cities: tuple[str, ...]


_COUNTRIES: Final = (
    _Country("US", 0.72, -6, 60, "USD", "America/Chicago", ("Chicago", "Austin", "St. Louis", "Omaha", "Fargo")),
    _Country("CA", 0.08, -5, 20, "CAD", "America/Toronto", ("Toronto", "Montréal", "Québec", "Ottawa")),
    _Country("GB", 0.06, 0, 20, "GBP", "Europe/London", ("London", "Leeds", "Glasgow", "Cardiff")),
    _Country("DE", 0.05, 1, 16, "EUR", "Europe/Berlin", ("Berlin", "München", "Köln", "Leipzig")),
    _Country("MX", 0.05, -6, 16, "MXN", "America/Mexico_City", ("Ciudad de México", "Mérida", "Puebla")),
    _Country("FR", 0.04, 1, 16, "EUR", "Europe/Paris", ("Paris", "Orléans", "Nîmes")),
    _Country("ES", 0.0, 1, 8, "EUR", "Europe/Madrid", ("Madrid", "Málaga", "Sevilla")),
    _Country("IT", 0.0, 1, 8, "EUR", "Europe/Rome", ("Roma", "Forlì", "Milano")),
    _Country("NL", 0.0, 1, 8, "EUR", "Europe/Amsterdam", ("Amsterdam", "Utrecht")),
    _Country("PT", 0.0, 0, 6, "EUR", "Europe/Lisbon", ("Lisboa", "Évora")),
    _Country("JP", 0.0, 9, 8, "JPY", "Asia/Tokyo", ("東京", "Osaka", "Kyoto")),
    _Country("TH", 0.0, 7, 6, "THB", "Asia/Bangkok", ("Bangkok", "Chiang Mai")),
    _Country("AE", 0.0, 4, 6, "AED", "Asia/Dubai", ("Dubai", "Sharjah")),
    _Country("TR", 0.0, 3, 6, "TRY", "Europe/Istanbul", ("İstanbul", "İzmir")),
    _Country("BR", 0.0, -3, 8, "BRL", "America/Sao_Paulo", ("São Paulo", "Belém")),
    _Country("ZA", 0.0, 2, 6, "ZAR", "Africa/Johannesburg", ("Cape Town", "Durban")),
    _Country("AU", 0.0, 10, 8, "AUD", "Australia/Brisbane", ("Sydney", "Brisbane", "Perth")),
)
COUNTRIES: Final = tuple(country.code for country in _COUNTRIES)
HOMES: Final = tuple((country.code, country.share) for country in _COUNTRIES if country.share > 0)
UTC_OFFSET_HOURS: Final = {country.code: country.utc_offset for country in _COUNTRIES}
SHOPS_PER_CATEGORY: Final = {country.code: country.shops for country in _COUNTRIES}
CURRENCY: Final = {country.code: country.currency for country in _COUNTRIES}
TIME_ZONE: Final = {country.code: country.zone for country in _COUNTRIES}
CITIES: Final = {country.code: country.cities for country in _COUNTRIES}

_RATES: Final = {
    "USD": RATE_UNIT, "CAD": 72_000_000, "GBP": 131_000_000, "EUR": 115_000_000, "MXN": 5_400_000, "JPY": 640_000,
    "THB": 3_090_000, "AED": 27_230_000, "TRY": 2_360_000, "BRL": 18_700_000, "ZAR": 5_800_000, "AUD": 65_000_000,
}  # fmt: skip


def rate(merchant_currency: str, billing_currency: str) -> int | None:
    """Billing units for one merchant unit, in units of 10^-8; None when one of them is not in the table."""
    if merchant_currency not in _RATES or billing_currency not in _RATES:
        return None
    return max(1, _RATES[merchant_currency] * RATE_UNIT // _RATES[billing_currency])
