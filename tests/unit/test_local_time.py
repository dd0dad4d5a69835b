"""Where days, weeks and months end in time zones that are not simple."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from models.local_time import NEVER_ENDS, is_known_zone, period_end

HOUR = 3_600_000


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("zone", "midday", "start", "hours"),
    [
        ("America/New_York", "2026-03-08T16:00", "2026-03-08T05:00", 23),
        ("America/New_York", "2026-11-01T16:00", "2026-11-01T04:00", 25),
        ("Europe/London", "2026-03-29T12:00", "2026-03-29T00:00", 23),
        ("Europe/London", "2026-10-25T12:00", "2026-10-24T23:00", 25),
        ("Australia/Lord_Howe", "2026-10-04T02:00", "2026-10-03T13:30", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T02:00", "2026-04-04T13:00", 24.5),
        ("Asia/Kolkata", "2026-03-08T06:00", "2026-03-07T18:30", 24),
        ("America/Havana", "2020-11-01T16:00", "2020-11-01T04:00", 25),  # midnight comes twice
        ("Africa/Cairo", "2026-04-24T12:00", "2026-04-23T22:00", 23),  # midnight does not come at all
    ],
)
def test_a_day_lasts_as_long_as_its_clocks_say(zone: str, midday: str, start: str, hours: float) -> None:
    begins = utc(start)
    assert period_end("day", begins - 1, zone) == begins
    assert period_end("day", begins, zone) == begins + hours * HOUR
    assert period_end("day", utc(midday), zone) == begins + hours * HOUR
    assert period_end("day", begins + int(hours * HOUR) - 1, zone) == begins + hours * HOUR


def test_a_day_that_was_left_out() -> None:
    """Samoa went from the 29th of December 2011 to the 31st."""
    last = utc("2011-12-30T10:00")
    assert period_end("day", last - 1, "Pacific/Apia") == last
    assert period_end("day", last, "Pacific/Apia") == last + 24 * HOUR


def test_the_hour_that_comes_again_belongs_to_the_new_day() -> None:
    """Newfoundland, 7 November 2010: one minute after midnight the clocks went back to 23:01 of the day before."""
    midnight = utc("2010-11-07T02:30")
    assert period_end("day", midnight - 1, "America/St_Johns") == midnight
    for later in (0, 60_000, 30 * 60_000, HOUR + 60_000):
        assert period_end("day", midnight + later, "America/St_Johns") == midnight + 25 * HOUR


def test_weeks_begin_on_monday_across_the_year() -> None:
    monday = utc("2026-12-28T00:00")
    assert period_end("week", monday - 1, "Etc/UTC") == monday
    assert period_end("week", monday, "Etc/UTC") == utc("2027-01-04T00:00")
    assert period_end("week", utc("2027-01-03T23:59"), "Etc/UTC") == utc("2027-01-04T00:00")


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-01-31T23:59", "2026-02-01T00:00"),
        ("2026-02-01T00:00", "2026-03-01T00:00"),
        ("2028-02-29T12:00", "2028-03-01T00:00"),
        ("2026-12-01T00:00", "2027-01-01T00:00"),
        ("2026-12-31T23:59", "2027-01-01T00:00"),
    ],
)
def test_months_end_with_their_last_day(now: str, end: str) -> None:
    assert period_end("month", utc(now), "Etc/UTC") == utc(end)


def test_a_month_with_a_change_of_clocks() -> None:
    """March 2026 in New York begins in winter and ends in summer time."""
    assert period_end("month", utc("2026-03-01T05:00"), "America/New_York") == utc("2026-04-01T04:00")
    assert period_end("week", utc("2026-03-02T05:00"), "America/New_York") == utc("2026-03-09T04:00")


@pytest.mark.parametrize("now", [0, 253_370_764_799_999, 253_370_764_800_000, 253_402_300_799_000])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Etc/UTC"])
@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_every_time_a_message_can_carry_has_a_period(now: int, zone: str, period: str) -> None:
    assert now < period_end(period, now, zone) <= NEVER_ENDS


def test_zones_are_those_of_the_database() -> None:
    for known in ("Etc/UTC", "UTC", "America/New_York", "US/Eastern", "America/Argentina/Buenos_Aires"):
        assert is_known_zone(known)
    for unknown in ("", "America", "Europe/Londn", "europe/london", "zones", "../zones", "leapseconds", "America/"):
        assert not is_known_zone(unknown)


def test_a_zone_that_is_not_known_counts_as_utc() -> None:
    assert period_end("day", utc("2026-05-05T12:00"), "Mars/Olympus_Mons") == utc("2026-05-06T00:00")
