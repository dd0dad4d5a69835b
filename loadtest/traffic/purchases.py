"""What a block's cardholders buy: a window of hours drawn at once, as arrays.

Purchases of an account are a Poisson process whose rate follows the hour and weekday of where its owner is and the days
since payday. Habits, drawn once:

* Category mix: the average mix, each weight times a log-normal factor (sigma 0.8); some eat out, some drive. On a
  journey every category has another weight.
* Favourites: three merchants per category at home; 72 % of purchases there go to one of them.
* Online bias: log-normal factor (sigma 0.4) on each category's share without the card at hand. On a journey, purchases
  online are still made at home.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadtest.traffic import shares
from loadtest.traffic.bills import Bills
from loadtest.traffic.cardholders import HOUR_MS, Cardholder, Plan
from loadtest.traffic.journeys import Journeys
from loadtest.traffic.merchants import CATEGORIES, STEPS, World, amount_table
from loadtest.traffic.places import COUNTRIES, VISITORS_ZONE, ZONES, utc_offsets
from loadtest.traffic.rhythm import PAY_CYCLES, payday, weekly
from loadtest.traffic.seeds import draws
from models.messages import EntryMode

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MODES: Final[tuple[EntryMode, ...]] = ("contactless", "chip", "magstripe", "ecommerce", "manual", "recurring")
_CONTACTLESS, _CHIP, _MAGSTRIPE, _ECOMMERCE, _MANUAL, _RECURRING = range(len(MODES))
_FAVOURITES: Final = 3


Purchase = tuple[int, int, int, int, int, int, float]
"""One that is going to be asked for: time, number in the block, merchant, category, cents, number in MODES, and luck,
uniform from 0 to 1, which says whether it goes the usual way. A plain tuple: there are many."""


class Purchases:
    """Draws windows one after the other; `rate` is the purchases per day and account of average activity."""

    def __init__(self, plan: Plan, world: World, people: Sequence[Cardholder], block: int, rate: float) -> None:
        self._rng, self._world, self._start_ms = draws(plan.seed, "purchases", block), world, plan.start_ms
        habits = draws(plan.seed, "habits", block)
        size = len(people)
        self._rate = rate / 24 * np.array([person.activity for person in people])
        self._level = np.array([person.level for person in people])
        self._home = np.array([COUNTRIES.index(person.home) for person in people])
        self._zone = np.array([ZONES.index(person.time_zone) for person in people])
        self._cycle = np.array([PAY_CYCLES.index(person.paid) for person in people])
        self._second = habits.integers(0, 2, size)
        self._online = habits.lognormal(0.0, 0.4, size)
        weights = np.array([0.0 if category.recurring else category.weight for category in CATEGORIES])
        mix = weights * np.exp(habits.normal(0.0, 0.8, (size, len(CATEGORIES))))
        self._mix = _reach(mix)
        self._mix_away = _reach(mix * np.array([category.away for category in CATEGORIES]))
        shelves = (size, len(CATEGORIES), _FAVOURITES)
        self._favourites = world.pick_many(
            habits.random(shelves),
            np.broadcast_to(self._home[:, None, None], shelves),
            np.broadcast_to(np.arange(len(CATEGORIES))[None, :, None], shelves),
        )
        self.journeys = Journeys(habits, people, plan.start_ms // HOUR_MS)
        self._bills = Bills(habits, plan, world, people)

    def window(self, start_hour: int, hours: int) -> list[Purchase]:
        """All of those hours (since the epoch), in the order of time. `hours`: at most 24."""
        rng = self._rng
        who, hour, away = self._when(start_hour, hours)
        size = len(who)
        at = (start_hour + hour) * HOUR_MS + rng.integers(0, HOUR_MS, size)
        category = self._category(who, away)
        absent = rng.random(size) < _ABSENT[category] * self._online[who]
        merchant = self._merchant(who, category, away, absent)
        amount = self._amount(who, category, merchant)
        mode = self._mode(category, absent)
        who, at, merchant, category, amount, mode = self._sprees(
            (who, at, merchant, category, amount, mode), (start_hour + hours) * HOUR_MS
        )
        luck = rng.random(len(who))
        order = np.argsort(at, kind="stable")
        if start_hour * HOUR_MS < self._start_ms:
            order = order[at[order] >= self._start_ms]
        columns = (at, who, merchant, category, amount, mode, luck)
        found: list[Purchase] = list(zip(*(column[order].tolist() for column in columns), strict=True))
        due = self._bills.due(start_hour, hours)
        if due:
            found += [(*bill, _RECURRING, luck) for bill, luck in zip(due, rng.random(len(due)).tolist(), strict=True)]
            found.sort(key=itemgetter(0))
        return found

    def _when(self, start_hour: int, hours: int) -> tuple[Integers, Integers, Flags]:
        """(account, hour of the window, abroad) of each purchase."""
        times = np.arange(start_hour, start_hour + hours)
        away = self.journeys.away(times)
        zone = np.where(away, np.array(VISITORS_ZONE)[self.journeys.country][:, None], self._zone[:, None])
        local = times + utc_offsets(start_hour, hours)[zone, np.arange(hours)]
        rate = self._rate[:, None] * weekly(local)
        rate *= payday(self._cycle[:, None], self._second[:, None], local // 24)
        count = self._rng.poisson(rate).ravel()
        cell = np.repeat(np.arange(count.size), count)
        return cell // hours, cell % hours, away.ravel()[cell]

    def _category(self, who: Integers, away: Flags) -> Integers:
        mix = np.where(away[:, None], self._mix_away[who], self._mix[who])
        found: Integers = np.minimum((mix <= self._rng.random((len(who), 1))).sum(axis=1), len(CATEGORIES) - 1)
        return found

    def _merchant(self, who: Integers, category: Integers, away: Flags, absent: Flags) -> Integers:
        rng, size = self._rng, len(who)
        draw, home = rng.random(size), self._home[who]
        country = np.where(away & ~absent, self.journeys.country[who], home)
        elsewhere = absent & (draw > 1 - shares.FOREIGN_SHOP)
        country = np.where(elsewhere, rng.integers(0, len(COUNTRIES), size), country)
        picked = self._world.pick_many(rng.random(size), country, category)
        favourite = self._favourites[who, category, rng.integers(0, _FAVOURITES, size)]
        return np.where((country == home) & (draw < shares.FAVOURITE), favourite, picked)

    def _amount(self, who: Integers, category: Integers, merchant: Integers) -> Integers:
        step = self._rng.integers(0, STEPS, len(who))
        ticket = np.where(_ROUND[category] > 1, 1.0, self._world.tickets[merchant])
        amount = np.maximum(_AMOUNTS[category, step] * self._level[who] * ticket, 50).astype(np.int64)
        rounded = np.maximum(amount // _ROUND[category], 1) * _ROUND[category]
        return np.where(_PUMPS[category], np.where(amount > 9_000, 15_000, 10_000), rounded)

    def _mode(self, category: Integers, absent: Flags) -> Integers:
        draw = self._rng.random(len(category))
        present = np.where(draw < 0.58, _CONTACTLESS, np.where(draw < 0.97, _CHIP, _MAGSTRIPE))
        mode = np.where(absent, np.where(draw < 0.04, _MANUAL, _ECOMMERCE), present)
        return np.where(_ROUND[category] > 1, _CHIP, mode)

    def _sprees(self, columns: tuple[Any, ...], end_ms: int) -> tuple[Any, ...]:
        """Some purchases are followed by another one in a shop nearby; not beyond the window."""
        who, at, merchant, category = columns[:4]
        again = self._rng.random(len(at)) < shares.SPREE
        later = at + self._rng.integers(40_000, 900_000, len(at))
        chosen = np.flatnonzero(again & (later < end_ms))
        country = np.array([COUNTRIES.index(self._world.all[number].country) for number in merchant[chosen].tolist()])
        other = category[self._rng.permutation(len(category))][chosen]
        shop = self._world.pick_many(self._rng.random(len(chosen)), country.astype(np.int64), other)
        amount = self._amount(who[chosen], other, shop)
        mode = self._mode(other, np.zeros(len(chosen), bool) | (columns[5][chosen] == _ECOMMERCE))
        more = (who[chosen], later[chosen], shop, other, amount, mode)
        return tuple(np.concatenate(pair) for pair in zip(columns, more, strict=True))


def _reach(mix: Floats) -> Floats:
    found: Floats = mix.cumsum(axis=1)
    return found / found[:, -1:]


_ABSENT: Final = np.array([category.absent for category in CATEGORIES])
_ROUND: Final = np.array([category.round_to for category in CATEGORIES])
_PUMPS: Final = np.array([category.pumps for category in CATEGORIES])
_AMOUNTS: Final = np.array([amount_table(index) for index in range(len(CATEGORIES))])
