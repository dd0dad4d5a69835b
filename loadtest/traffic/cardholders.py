"""Who spends: each cardholder's habits, drawn once from the seed, and the weekly rhythm they all share.

* Spending level: log-normal around 1 (sigma 0.45); scales every amount, so the own mean differs between accounts.
* Activity: log-normal (sigma 0.55), normalised so that the accounts together make the rate asked for.
* Category mix: the average mix, each weight times a log-normal factor (sigma 0.8): some eat out, some drive.
* Favourites: three merchants per category at home; 70 % of purchases there go to one of them.
* Online bias: log-normal factor (sigma 0.4) on each category's share without the card at hand.
* Limit: one to three months of expected spending, rounded to 500.00, at least 500.00.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from math import exp
from random import Random
from typing import Final

from loadtest.traffic.merchants import CATEGORIES, MEAN_AMOUNT, Merchant, World
from loadtest.traffic.places import HOMES

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
_MONDAY_MS: Final = 4 * DAY_MS  # 1970-01-05, the first Monday of the epoch

_BY_HOUR: Final = (4, 2, 1, 1, 1, 3, 9, 22, 38, 42, 46, 58, 74, 66, 55, 54, 60, 74, 80, 66, 46, 32, 20, 10)
_BY_DAY: Final = (0.9, 0.92, 0.95, 1.0, 1.2, 1.22, 0.81)  # Monday first
_GRID: Final = 2048


@dataclass(frozen=True, slots=True)
class Cardholder:
    """An account's owner: identity on the network, and habits."""

    number: int
    account_id: str
    card_token: str
    card_expiry: int  # YYYYMM
    card_expired: bool  # from the start: one cardholder in a thousand
    old_expiry: int  # YYYYMM, of the card before this one
    home: str
    credit_limit: int
    level: float
    activity: float  # relative to the average cardholder
    online: float
    mix: tuple[float, ...]  # cumulative category weights
    favourites: tuple[tuple[Merchant, ...], ...]  # by category
    pays: float  # share of the debt in a usual payment


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run asks for; the arguments of `Traffic`."""

    seed: int
    accounts: int
    run: str
    currency: str
    start_ms: int
    per_day: float  # requests per account


def cardholders(plan: Plan, world: World) -> list[Cardholder]:
    """The cardholders of a run; habits depend on the seed, identifiers on the run."""
    rng = Random(f"cardholders/{plan.seed}")  # noqa: S311 (a simulation, to be repeated)
    activities = [rng.lognormvariate(0.0, 0.55) for _ in range(plan.accounts)]
    mean = sum(activities) / plan.accounts
    return [_draw(rng, plan, world, number, activity / mean) for number, activity in enumerate(activities)]


def _draw(rng: Random, plan: Plan, world: World, number: int, activity: float) -> Cardholder:
    home = rng.choices([c for c, _ in HOMES], [share for _, share in HOMES])[0]
    level = rng.lognormvariate(-0.1, 0.45)
    expired = number % 1000 == 500
    monthly = MEAN_AMOUNT * level * activity * plan.per_day * 30
    return Cardholder(
        number=number,
        account_id=f"{plan.run}-{number:06d}",
        card_token=f"{plan.run}-card-{number:06d}",
        card_expiry=_month(plan.start_ms, -2 if expired else rng.randint(4, 48)),
        card_expired=expired,
        old_expiry=_month(plan.start_ms, -rng.randint(3, 12)),
        home=home,
        credit_limit=max(1, round(monthly * rng.uniform(1.0, 3.0) / 50_000)) * 50_000,
        level=level,
        activity=activity,
        online=rng.lognormvariate(0.0, 0.4),
        mix=tuple(accumulate(c.weight * exp(rng.gauss(0.0, 0.8)) for c in CATEGORIES)),
        favourites=tuple(tuple(world.pick(rng, home, i) for _ in range(3)) for i in range(len(CATEGORIES))),
        pays=rng.choices((0.97, rng.uniform(0.3, 0.8), 0.12), (0.6, 0.3, 0.1))[0],
    )


def _month(start_ms: int, ahead: int) -> int:
    start = datetime.fromtimestamp(start_ms / 1000, UTC)
    months = start.year * 12 + start.month - 1 + ahead
    return months // 12 * 100 + months % 12 + 1


class Rhythm:
    """Maps between time and *weeks of activity*: equal steps of activity are long at night and short at lunch.

    A Poisson process that is even in activity becomes one with the daily and weekly rhythm in time.
    """

    def __init__(self) -> None:
        hourly = [hour * day for day in _BY_DAY for hour in _BY_HOUR]
        total = sum(hourly)
        self._cumulative = [0.0, *accumulate(weight / total for weight in hourly)]
        self._cumulative[-1] = 1.0
        self._inverse = [self._invert(k / _GRID) for k in range(_GRID)] + [float(WEEK_MS), float(WEEK_MS)]

    def _invert(self, share: float) -> float:
        hour = max(bisect_left(self._cumulative, share) - 1, 0)
        low, high = self._cumulative[hour], self._cumulative[hour + 1]
        return (hour + (share - low) / (high - low)) * HOUR_MS

    def activity_at(self, local_ms: int) -> float:
        """Weeks of activity since the first Monday of the epoch."""
        week, offset = divmod(local_ms - _MONDAY_MS, WEEK_MS)
        hour, rest = divmod(offset, HOUR_MS)
        low, high = self._cumulative[hour], self._cumulative[hour + 1]
        return week + low + (high - low) * rest / HOUR_MS

    def time_at(self, activity: float) -> int:
        """The local time (ms) at which that much activity has passed; the inverse of activity_at, to a few minutes."""
        week = int(activity)
        place = (activity - week) * _GRID
        step = int(place)
        low = self._inverse[step]
        return _MONDAY_MS + week * WEEK_MS + int(low + (self._inverse[step + 1] - low) * (place - step))
