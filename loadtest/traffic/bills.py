"""What merchants collect by themselves: subscriptions, telephone and utilities, on the same day of every month.

Many fall on the 1st, the 15th and the last day of a month (assumed); merchants send them in the small hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from loadtest.traffic.cardholders import HOUR_MS, USUAL_PER_DAY, Cardholder, Plan
from loadtest.traffic.merchants import CATEGORIES, World
from loadtest.traffic.places import COUNTRIES, ZONES, utc_offsets
from loadtest.traffic.rhythm import day_of_month

BILLS: Final = 4.0
"""Assumed: a month and account of average activity, at the usual rate of requests; 4 % of all."""
_RECURRING: Final = tuple(index for index, category in enumerate(CATEGORIES) if category.recurring)
_VARIES: Final = frozenset({4900})  # MCCs billed by use
_LAST: Final = 31  # stands for the last day of a month
_JANUARY: Final = 490_896  # hours to 2026-01-01: bills keep standard time, so none falls into a changing clock


class Bill(NamedTuple):
    """One that is due."""

    at: int
    who: int  # in the block
    merchant: int
    category: int
    amount: int  # US cents


def expected(plan: Plan) -> float:
    """Bills per day and account of average activity."""
    return BILLS / 30.44 * min(1.0, plan.per_day / USUAL_PER_DAY)


class Bills:
    """The contracts of a block's accounts."""

    def __init__(self, rng: np.random.Generator, plan: Plan, world: World, people: Sequence[Cardholder]) -> None:
        self._rng, self._start_ms = rng, plan.start_ms
        activity = np.array([person.activity for person in people])
        count = rng.poisson(expected(plan) * 30.44 * activity)
        who = np.repeat(np.arange(len(people)), count)
        size = len(who)
        weights = np.cumsum([CATEGORIES[index].weight for index in _RECURRING])
        self._who = who
        self._category = np.array(_RECURRING)[weights.searchsorted(rng.random(size) * weights[-1], side="right")]
        homes = np.array([COUNTRIES.index(person.home) for person in people])[who]
        self._merchant = world.pick_many(rng.random(size), homes, self._category)
        self._day = np.choose(
            np.minimum((rng.random(size) * 5).astype(np.int64), 3),
            [np.ones(size, np.int64), np.full(size, 15), np.full(size, _LAST), rng.integers(2, 29, size)],
        )
        self._hour, self._place = rng.integers(2, 8, size), rng.integers(0, HOUR_MS, size)
        price = np.array([world.all[number].price for number in self._merchant.tolist()])
        self._amount = price * np.array([CATEGORIES[index].median for index in self._category.tolist()])
        self._varies = np.array([CATEGORIES[index].mcc in _VARIES for index in self._category.tolist()], bool)
        standard = utc_offsets(_JANUARY, 1)[:, 0]
        self._offset = np.array([standard[ZONES.index(person.time_zone)] for person in people], np.int64)[who]

    def due(self, start_hour: int, hours: int) -> list[Bill]:
        """Those of a window of at most a day."""
        first = start_hour + self._offset
        found: list[Bill] = []
        for day in (first // 24, first // 24 + 1):
            hour = day * 24 + self._hour
            chosen = np.flatnonzero(self._falls_on(day) & (hour >= first) & (hour < first + hours))
            at = (hour - self._offset)[chosen] * HOUR_MS + self._place[chosen]
            factor = np.where(self._varies[chosen], self._rng.lognormal(0.0, 0.2, len(chosen)), 1.0)
            amount = np.maximum(self._amount[chosen] * factor, 50).astype(np.int64)
            columns = (at, self._who[chosen], self._merchant[chosen], self._category[chosen], amount)
            found += map(Bill._make, zip(*(column.tolist() for column in columns), strict=True))
        return [bill for bill in found if bill.at >= self._start_ms]

    def _falls_on(self, day: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        last = day_of_month(day + 1) == 1
        found: npt.NDArray[np.bool_] = (day_of_month(day) == self._day) | (last & (self._day == _LAST))
        return found
