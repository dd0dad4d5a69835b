"""The values in a scenario file: amounts, moments, yes and no. Scalars arrive as text and no float is ever made."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from models.money import exponent, to_major

_AMOUNT: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,4})?")
_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_UNIT_MS: Final = (86_400_000, 3_600_000, 60_000, 1_000, 1)
_LOCAL: Final = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2}(\.\d{3})?)?([+-]\d{2}:\d{2})?")
_RATE_UNITS: Final = 8
_YES_NO: Final = {"yes": True, "no": False}


def amount(text: str, currency: str) -> int:
    """Minor units of `currency` in decimal text with exactly its decimals: ("12.50", "USD") is 1250.

    Raises ValueError, also as UnknownCurrency. Negative amounts are amounts: a credit balance, or a wrong message.
    """
    decimals = exponent(currency)
    if not _AMOUNT.fullmatch(text) or len(text.partition(".")[2]) != decimals:
        raise ValueError(f"{text!r} is not an amount of {currency}, which has {decimals} decimals")
    return int(Decimal(text).scaleb(decimals))


def shown(minor: int | None, currency: str) -> str:
    """The decimal text of an amount, as the scenario would write it."""
    return "none" if minor is None else f"{to_major(minor, currency):.{exponent(currency)}f}"


def duration(text: str) -> int:
    """Milliseconds in `90s`, `5m` or `7d12h`; raises ValueError."""
    given = _DURATION.fullmatch(text)
    if not text or not given:
        raise ValueError(f"{text!r} is no time span such as 90s, 5m or 7d12h")
    return sum(int(digits or 0) * unit for digits, unit in zip(given.groups(), _UNIT_MS, strict=True))


def moment(text: str, start: int, zone: ZoneInfo) -> int:
    """Milliseconds since the epoch of `90s`, `1d12h` (after `start`) or `2026-03-08 01:30` (local; with an offset such
    as `01:30-05:00` when that hour comes twice). Raises ValueError."""
    if text and _DURATION.fullmatch(text):
        return start + duration(text)
    if not _LOCAL.fullmatch(text):
        raise ValueError(f"{text!r} is neither an offset such as 90s, 5m or 7d12h nor a local time YYYY-MM-DD HH:MM")
    given = datetime.fromisoformat(text)
    return _milliseconds(given if given.tzinfo else _local(given, zone, text))


def _local(given: datetime, zone: ZoneInfo, text: str) -> datetime:
    earlier, later = given.replace(tzinfo=zone), given.replace(tzinfo=zone, fold=1)
    if earlier.utcoffset() == later.utcoffset():
        return earlier
    if earlier.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != given:
        raise ValueError(f"{text!r} does not exist in {zone.key}: the clock is put forward over it")
    raise ValueError(f"{text!r} comes twice in {zone.key}: add its offset, such as 01:30-05:00")


def _milliseconds(aware: datetime) -> int:
    since = aware.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def yes_no(text: str) -> bool:
    """yes or no; raises ValueError."""
    try:
        return _YES_NO[text]
    except KeyError:
        raise ValueError(f"{text!r} is neither yes nor no") from None


def whole(text: str) -> int:
    """A whole number, at least 0; raises ValueError."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def expiry(text: str) -> int:
    """2030-12 as 203012; raises ValueError."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
        raise ValueError(f"{text!r} is not a month YYYY-MM")
    return int(text.replace("-", ""))


def rate(text: str) -> int:
    """A conversion rate in units of 10^-8: 1.085 is 108500000; raises ValueError."""
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,8})?", text):
        raise ValueError(f"{text!r} is not a rate with at most 8 decimals")
    return int(Decimal(text).scaleb(_RATE_UNITS))
