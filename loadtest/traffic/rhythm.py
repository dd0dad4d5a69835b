"""When people spend: by the hour and the weekday of where they are, and after payday.

The weekly profile is assumed: quiet nights, a lunch and a larger evening peak, most on Fridays and Saturdays. That
spending rises in the days after a regular income is well documented (Gelman, Kariv, Shapiro, Silverman and Tadelis,
Science 345, 2014); the size of the rise here is assumed.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

BY_HOUR: Final = (4, 2, 1, 1, 1, 3, 9, 22, 38, 42, 46, 58, 74, 66, 55, 54, 60, 74, 80, 66, 46, 32, 20, 10)
BY_DAY: Final = (0.9, 0.92, 0.95, 1.0, 1.2, 1.22, 0.81)  # Monday first
PAYDAY: Final = (1.35, 1.2, 1.1)
"""Spending on payday and the two days after it, against other days; all are then scaled to a mean of 1."""

PayCycle = Literal["weekly", "biweekly", "semimonthly", "monthly"]
PAY_CYCLES: Final[tuple[PayCycle, ...]] = get_args(PayCycle)
PAY_SHARES: Final = (0.27, 0.43, 0.20, 0.10)
"""Assumed, near those of US private businesses: 32, 37, 20 and 11 % in March 2013, 34, 42, 19 and 5 % in 2019 (Bureau
of Labor Statistics, Current Employment Statistics). Elsewhere all are paid by the month."""
PAYDAY_OF_MONTH: Final = 28

_MONDAY: Final = 72  # hours: the epoch began on a Thursday
_WEEK: Final = np.outer(BY_DAY, BY_HOUR).ravel()
_PROFILE: Final = _WEEK * 168 / _WEEK.sum()
_LENGTH: Final = np.array([7.0, 14.0, 15.22, 30.44])  # days of each cycle


def weekly(local_hour: Integers) -> npt.NDArray[np.float64]:
    """Activity in that local hour (since the epoch), 1 on average."""
    found: npt.NDArray[np.float64] = _PROFILE[(local_hour + _MONDAY) % 168]
    return found


def payday(cycle: Integers, second: Integers, day: Integers) -> npt.NDArray[np.float64]:
    """Activity on a local day since the epoch, about 1 on average.

    `cycle` indexes PAY_CYCLES; `second` is 1 for those who are paid in the other week of a fortnight.
    """
    since = np.minimum(_since(cycle, second, day), len(PAYDAY))
    mean = (sum(PAYDAY) + _LENGTH[cycle] - len(PAYDAY)) / _LENGTH[cycle]
    found: npt.NDArray[np.float64] = np.array([*PAYDAY, 1.0])[since] / mean
    return found


def _since(cycle: Integers, second: Integers, day: Integers) -> Integers:
    """Days since the last payday. Those paid by the week get it on Fridays, twice a month: on the 1st and the 15th."""
    month = day_of_month(day)
    friday = 1 + 7 * second
    by_month = np.where(month >= PAYDAY_OF_MONTH, month - PAYDAY_OF_MONTH, month + 2)
    twice = (month - 1) % 14 + 14 * (month > 28)
    found: Integers = np.choose(cycle, [(day - 1) % 7, (day - friday) % 14, twice, by_month])
    return found


def day_of_month(day: Integers) -> Integers:
    """1 to 31, of a day since the epoch."""
    date = day.astype("datetime64[D]")
    found: Integers = (date - date.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    return found
