"""Countries: who lives there, their clocks, their money and some of their cities.

`_RATES` are round figures of late 2025, US dollars for one unit; only their size matters.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache, lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

RATE_UNIT: Final = 10**8
"""Conversion rates are integers in units of 10^-8."""


class _Country(NamedTuple):
    code: str
    share: float  # of cardholders living there
    visited: float  # as the goal of a journey, relative
    shops: int  # merchants per category
    currency: str
    zones: tuple[tuple[str, float], ...]  # IANA names, all of whole hours, and how many live there; visitors: the first
    cities: tuple[str, ...]


_US = (("America/New_York", 0.47), ("America/Chicago", 0.29), ("America/Los_Angeles", 0.17), ("America/Denver", 0.07))
_CA = (("America/Toronto", 0.65), ("America/Vancouver", 0.17), ("America/Edmonton", 0.18))


def _one(zone: str) -> tuple[tuple[str, float], ...]:
    return ((zone, 1.0),)


_COUNTRIES: Final = (
    _Country("US", 0.72, 20, 60, "USD", _US, ("New York", "Chicago", "Austin", "St. Louis", "Omaha", "Fargo")),
    _Country("CA", 0.08, 12, 20, "CAD", _CA, ("Toronto", "Montréal", "Québec", "Ottawa")),
    _Country("GB", 0.06, 8, 20, "GBP", _one("Europe/London"), ("London", "Leeds", "Glasgow", "Cardiff")),
    _Country("DE", 0.05, 5, 16, "EUR", _one("Europe/Berlin"), ("Berlin", "München", "Köln", "Leipzig")),
    _Country("MX", 0.05, 30, 16, "MXN", _one("America/Mexico_City"), ("Ciudad de México", "Mérida", "Puebla")),
    _Country("FR", 0.04, 7, 16, "EUR", _one("Europe/Paris"), ("Paris", "Orléans", "Nîmes")),
    _Country("ES", 0.0, 6, 8, "EUR", _one("Europe/Madrid"), ("Madrid", "Málaga", "Sevilla")),
    _Country("IT", 0.0, 6, 8, "EUR", _one("Europe/Rome"), ("Roma", "Forlì", "Milano")),
    _Country("NL", 0.0, 3, 8, "EUR", _one("Europe/Amsterdam"), ("Amsterdam", "Utrecht")),
    _Country("PT", 0.0, 3, 6, "EUR", _one("Europe/Lisbon"), ("Lisboa", "Évora")),
    _Country("JP", 0.0, 4, 8, "JPY", _one("Asia/Tokyo"), ("東京", "Osaka", "Kyoto")),
    _Country("TH", 0.0, 2, 6, "THB", _one("Asia/Bangkok"), ("Bangkok", "Chiang Mai")),
    _Country("AE", 0.0, 2, 6, "AED", _one("Asia/Dubai"), ("Dubai", "Sharjah")),
    _Country("TR", 0.0, 2, 6, "TRY", _one("Europe/Istanbul"), ("İstanbul", "İzmir")),
    _Country("BR", 0.0, 2, 8, "BRL", _one("America/Sao_Paulo"), ("São Paulo", "Belém")),
    _Country("ZA", 0.0, 1, 6, "ZAR", _one("Africa/Johannesburg"), ("Cape Town", "Durban")),
    _Country("AU", 0.0, 2, 8, "AUD", _one("Australia/Brisbane"), ("Sydney", "Brisbane", "Perth")),
)
COUNTRIES: Final = tuple(country.code for country in _COUNTRIES)
VISITED: Final = tuple(country.visited for country in _COUNTRIES)
HOMES: Final = tuple((country.code, country.share) for country in _COUNTRIES if country.share > 0)
SHOPS_PER_CATEGORY: Final = {country.code: country.shops for country in _COUNTRIES}
CURRENCY: Final = {country.code: country.currency for country in _COUNTRIES}
HOME_ZONES: Final = {country.code: country.zones for country in _COUNTRIES}
CITIES: Final = {country.code: country.cities for country in _COUNTRIES}
ZONES: Final = tuple(zone for country in _COUNTRIES for zone, _ in country.zones)
VISITORS_ZONE: Final = tuple(ZONES.index(country.zones[0][0]) for country in _COUNTRIES)
"""By country: the index in ZONES of the clock that a visitor lives by."""

_RATES: Final = {
    "USD": RATE_UNIT, "CAD": 72_000_000, "GBP": 131_000_000, "EUR": 115_000_000, "MXN": 5_400_000, "JPY": 640_000,
    "THB": 3_090_000, "AED": 27_230_000, "TRY": 2_360_000, "BRL": 18_700_000, "ZAR": 5_800_000, "AUD": 65_000_000,
    "KWD": 325_000_000, "KRW": 70_000,
}  # fmt: skip


def rate(merchant_currency: str, billing_currency: str) -> int | None:
    """Billing units for one merchant unit, in units of 10^-8; None when one of them is not in the table."""
    if merchant_currency not in _RATES or billing_currency not in _RATES:
        return None
    return max(1, _RATES[merchant_currency] * RATE_UNIT // _RATES[billing_currency])


@lru_cache(maxsize=32)
def utc_offsets(start_hour: int, hours: int) -> npt.NDArray[np.int64]:
    """Local time minus UTC in hours, [zone of ZONES, hour]; hours are counted from the epoch, at most 24 of them."""
    return np.array([_offsets(zone, start_hour, hours) for zone in ZONES], np.int64)


def _offsets(zone: str, start_hour: int, hours: int) -> list[int]:
    """Within a day a clock is changed once at most."""
    first, last = utc_offset(zone, start_hour), utc_offset(zone, start_hour + hours - 1)
    if first == last:
        return [first] * hours
    return [utc_offset(zone, start_hour + hour) for hour in range(hours)]


def utc_offset(zone: str, hour: int) -> int:
    """Local time minus UTC in hours, in that hour since the epoch."""
    offset = datetime.fromtimestamp(hour * 3600, _clock(zone)).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 3600)


@cache
def _clock(zone: str) -> ZoneInfo:
    """Kept: zoneinfo itself keeps only the last eight."""
    return ZoneInfo(zone)
