"""Months, local calendar periods, and the life of a hold."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

DAY = 86_400_000
APRIL_13_2024 = 1_712_966_400_000
HOTELS = [*range(3501, 4000), 7011, 7012, 7033]
RENTALS = [*range(3351, 3501), 7512, 7513, 7519]
CRUISES = [4411]


def yyyymm(now: int) -> int:
    """The month that `now` lies in, as 202611."""
    return _month_of(now // DAY)


@cache
def _month_of(days: int) -> int:
    """Counts months by hand, on purpose not the way the engine does."""
    year, month = 1970, 1
    while True:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        length = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
        if days < length:
            return year * 100 + month
        days -= length
        month += 1
        if month == 13:
            year, month = year + 1, 1


def period(window: str, now: int, zone: str) -> Any:
    """A name for the local day, ISO week or month that `now` lies in: equal names, same period."""
    local = datetime.fromtimestamp(now / 1000, ZoneInfo(zone))
    return {"day": local.date(), "week": local.isocalendar()[:2], "month": (local.year, local.month)}[window]


def life(mcc: int, entry_mode: str, initiated_by: str, pre_authorization: bool, placed_at: int, general: int) -> int:
    """How long a hold lasts, in milliseconds, as models/hold_life.py publishes it in words."""
    travel = mcc in HOTELS + RENTALS + CRUISES
    if placed_at < APRIL_13_2024:
        return 31 * DAY if travel else 30 * DAY if pre_authorization else general
    if travel or pre_authorization:
        return 30 * DAY
    if initiated_by == "merchant" or entry_mode == "recurring":
        return 5 * DAY
    return 10 * DAY if entry_mode in {"ecommerce", "manual"} else general
