"""Who spends: each cardholder's place, income, limit and ways to pay, drawn once from the seed.

* Income: of the household, a month, after tax; log-normal (sigma 0.6) around 5,500.00 (assumed: the median before tax
  was 80,610 dollars a year in 2023, US Census Bureau P60-282). Where accounts are busier than USUAL_PER_DAY, incomes
  are higher in proportion.
* Spending level: income to the power of 0.4, times a log-normal factor (sigma 0.38); scales every amount.
* Activity: income to the power of 0.2, times a log-normal factor (sigma 0.53), normalised so that the accounts together
  make the rate asked for.
* Limit: a log-normal multiple (around 1.5, sigma 0.4) of the income, at least 1.6 months of expected spending, rounded
  to 500.00.
* Habit of payment: see `payments.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar, get_args

import numpy as np

from loadtest.traffic import shares
from loadtest.traffic.merchants import MEAN_AMOUNT
from loadtest.traffic.places import HOME_ZONES, HOMES
from loadtest.traffic.prices import price
from loadtest.traffic.rhythm import PAY_CYCLES, PAY_SHARES, PayCycle
from loadtest.traffic.seeds import draws

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
USUAL_PER_DAY: Final = 3.0  # requests per account
BLOCK: Final = 500
"""Accounts that are played together, with chances of their own: how many processes share the blocks changes nothing."""
_MEDIAN_INCOME: Final = 550_000  # US cents a month
_LIMIT_STEP: Final = 50_000  # US cents

Habit = Literal["full", "revolver", "minimum"]
HABITS: Final[tuple[Habit, ...]] = get_args(Habit)


@dataclass(frozen=True, slots=True)
class Cardholder:
    """An account's owner: identity on the network, means, and ways to pay."""

    number: int
    account_id: str
    card_token: str
    card_expiry: int  # YYYYMM
    card_expired: bool  # from the start: one cardholder in a thousand
    old_expiry: int  # YYYYMM, of the card before this one
    home: str
    time_zone: str
    income: int  # minor units a month
    paid: PayCycle
    credit_limit: int
    level: float
    activity: float  # relative to the average cardholder
    habit: Habit
    careless: float  # share of payments that come late
    statement_day: int  # days after the start of the first statement


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run asks for; the arguments of `Traffic`."""

    seed: int
    accounts: int
    run: str
    currency: str
    start_ms: int
    per_day: float  # requests per account

    @property
    def blocks(self) -> int:
        """Blocks of accounts."""
        return -(-self.accounts // BLOCK)

    @property
    def window_hours(self) -> int:
        """What is drawn at once: about a thousand purchases of a block, at most a day, at least an hour."""
        daily = min(self.accounts, BLOCK) * self.per_day
        return next((hours for hours in (24, 12, 8, 6, 4, 3, 2) if daily * hours <= 24_000), 1)


def cardholders(plan: Plan) -> list[Cardholder]:
    """The cardholders of a run; habits depend on the seed, identifiers on the run."""
    rng, size = draws(plan.seed, "cardholders"), plan.accounts
    homes = _pick(rng, size, [code for code, _ in HOMES], [share for _, share in HOMES])
    zones = {home: _pick(rng, size, *zip(*HOME_ZONES[home], strict=True)) for home, _ in HOMES}
    cycles = _pick(rng, size, PAY_CYCLES, PAY_SHARES)
    relative = rng.lognormal(0.0, 0.6, size)
    income = _MEDIAN_INCOME * relative * max(1.0, plan.per_day / USUAL_PER_DAY)
    level = relative**0.4 * rng.lognormal(-0.1, 0.38, size)
    activity = relative**0.2 * rng.lognormal(0.0, 0.53, size)
    activity /= activity.mean()
    monthly = MEAN_AMOUNT * level * activity * plan.per_day * 30
    limit = np.maximum(income * rng.lognormal(np.log(1.5), 0.4, size), 1.6 * monthly)
    habit = _pick(rng, size, HABITS, shares.HABITS)
    careless = np.where(rng.random(size) < shares.CARELESS, shares.CARELESS_LATE, shares.CAREFUL_LATE)
    statement = rng.integers(1, 31, size)
    ahead, behind = rng.integers(4, 49, size), rng.integers(3, 13, size)
    people = []
    for number in range(size):
        expired = number % 1000 == 500
        people.append(
            Cardholder(
                number=number,
                account_id=f"{plan.run}-{number:06d}",
                card_token=f"{plan.run}-card-{number:06d}",
                card_expiry=_month(plan.start_ms, -2 if expired else int(ahead[number])),
                card_expired=expired,
                old_expiry=_month(plan.start_ms, -int(behind[number])),
                home=homes[number],
                time_zone=zones[homes[number]][number],
                income=price(int(income[number]), plan.currency),
                paid=cycles[number] if homes[number] == "US" else "monthly",
                credit_limit=max(1, round(limit[number] / _LIMIT_STEP)) * price(_LIMIT_STEP, plan.currency),
                level=float(level[number]),
                activity=float(activity[number]),
                habit=habit[number],
                careless=float(careless[number]),
                statement_day=int(statement[number]),
            )
        )
    return people


_T = TypeVar("_T")


def _pick(rng: np.random.Generator, size: int, what: Sequence[_T], weights: Sequence[float]) -> list[_T]:
    reach = np.cumsum(weights) / sum(weights)
    return [what[place] for place in np.minimum(reach.searchsorted(rng.random(size)), len(what) - 1).tolist()]


def _month(start_ms: int, ahead: int) -> int:
    start = datetime.fromtimestamp(start_ms / 1000, UTC)
    months = start.year * 12 + start.month - 1 + ahead
    return months // 12 * 100 + months % 12 + 1
