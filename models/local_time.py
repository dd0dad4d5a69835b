"""Calendar days, ISO weeks and months in an IANA time zone.

A period begins at the first moment whose local date is in it, so periods follow each other without gap or overlap even
where clocks are set back over midnight: the hour that comes again belongs to the new date. Days have 23, 24 or 25
hours (or 24 1/2, or none at all: Samoa had no 30 December 2011).

The rules are those of the `tzdata` package, never the machine's own, so that every worker turns the day at the same
moment. They are read once for each zone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY: Final = timedelta(days=1)
FALLBACK_ZONE: Final = "Etc/UTC"
NEVER_ENDS: Final = 253_402_300_800_000
"""Where the calendar stops, 10000-01-01T00:00:00Z: the end of every period of the year 9999."""
_LAST_YEAR: Final = 253_370_764_800_000  # 9999-01-01T00:00:00Z


def is_known_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone, an alias such as US/Eastern included."""
    return name in _names()


def period_end(period: str, now: int, zone: str) -> int:
    """The first moment after the `period` ("day", "week" or "month") that `now` is in; milliseconds since the epoch.

    A zone that is not known counts as UTC: accounts are opened with known ones only, and names are never withdrawn.
    """
    if now >= _LAST_YEAR:
        return NEVER_ENDS
    rules = _rules(zone if is_known_zone(zone) else FALLBACK_ZONE)
    first = _following((_EPOCH + now * _MILLISECOND).astimezone(rules).date(), period)
    end = _start_of(first, rules)
    while end <= now:  # clocks went back over midnight: the period of the repeated time has ended already
        first = _following(first, period)
        end = _start_of(first, rules)
    return end


def _following(day: date, period: str) -> date:
    """The first date of the period after the one that `day` is in."""
    if period == "day":
        return day + _DAY
    if period == "week":
        return day + (7 - day.weekday()) * _DAY
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _start_of(day: date, rules: ZoneInfo) -> int:
    """The first moment of a local date.

    Of two midnights `fold=0` is the first; for a midnight that clocks jump over it gives the jump, as all jumps since
    1970 over midnight start there.
    """
    return (datetime(day.year, day.month, day.day, tzinfo=rules).astimezone(UTC) - _EPOCH) // _MILLISECOND


@cache
def _names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@cache
def _rules(name: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
