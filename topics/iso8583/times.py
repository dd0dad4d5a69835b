"""Times without a year: data element 7 is MMDDhhmmss, UTC. The year is the one that brings it closest to the moment the
message arrived, so that a message of 31 December that arrives on 1 January keeps its year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HALF_A_YEAR: Final = timedelta(days=183)


def moment(digits: str, received_at: int) -> int | None:
    """Milliseconds since the epoch of MMDDhhmmss; None when there is no such time within half a year of `received_at`
    (milliseconds)."""
    received = _EPOCH + timedelta(milliseconds=received_at)
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(0, 10, 2))
    candidates = []
    for year in (received.year - 1, received.year, received.year + 1):
        try:
            candidates.append(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
        except ValueError:  # 29 February of another year, or no time at all
            continue
    nearest = min(candidates, key=lambda candidate: abs(candidate - received), default=None)
    if nearest is None or abs(nearest - received) > _HALF_A_YEAR:
        return None
    return (nearest - _EPOCH) // timedelta(milliseconds=1)


def month_to_second(at: int) -> str:
    """MMDDhhmmss of milliseconds since the epoch; the milliseconds are cut off."""
    return year_to_second(at)[4:]


def year_to_second(at: int) -> str:
    """YYYYMMDDhhmmss of milliseconds since the epoch."""
    return f"{_EPOCH + timedelta(milliseconds=at):%Y%m%d%H%M%S}"
