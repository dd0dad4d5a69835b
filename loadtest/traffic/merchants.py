"""Where cards are used: merchant categories with their price levels, and the merchants themselves.

Amounts are log-normal within a category: `median` US cents times exp(sigma * z) with z a standard normal cut at
±3.7, times the cardholder's spending level and the merchant's ticket size. The figures are round numbers chosen to
resemble consumer card spending; they are not fitted to any real data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp
from random import Random
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from loadtest.traffic.places import CITIES, COUNTRIES, SHOPS_PER_CATEGORY
from loadtest.traffic.seeds import dice
from loadtest.traffic.shares import CASH_ADVANCE, PARTIAL_TERMINALS, QUASI_CASH

STEPS: Final = 4096
"""Entries of a precomputed amount table: one uniform draw picks one."""


@dataclass(frozen=True, slots=True)
class Category:
    """A merchant category code and how people spend there."""

    mcc: int
    noun: str
    weight: float  # share of purchases of an average cardholder, relative
    median: int  # US cents
    sigma: float
    absent: float  # share without the card at hand
    tips: bool = False  # the presentment may exceed the authorisation
    recurring: bool = False  # same merchant, same price, charged by the merchant
    pumps: bool = False  # authorised for a round amount, the real one follows as a completion advice
    grows: Literal["", "nights", "rounds"] = ""  # authorised for an estimate, then increased: a stay, or a tab
    estimated: bool = False  # a pre-authorisation: what is presented may differ
    goods: bool = False  # may be brought back for a refund
    away: float = 1.0  # how much more often on a journey
    round_to: int = 1  # US cents: what a machine pays out comes in notes
    kind: Literal["purchase", "cash-advance", "quasi-cash"] = "purchase"


CATEGORIES: Final[tuple[Category, ...]] = (
    Category(5411, "Grocers", 17.0, 4300, 0.75, 0.06, away=0.5),
    Category(5814, "Burgers", 13.0, 1150, 0.45, 0.10, away=1.3),
    Category(5812, "Bistro", 9.0, 3900, 0.60, 0.03, tips=True, away=2.2),
    Category(5813, "Taproom", 1.2, 2600, 0.50, 0.0, tips=True, grows="rounds", estimated=True, away=2.5),
    Category(5462, "Bakery", 5.0, 780, 0.40, 0.01),
    Category(5541, "Fuel", 5.0, 4400, 0.35, 0.0, away=0.4),
    Category(5542, "Pumps", 3.0, 4600, 0.35, 0.0, pumps=True, estimated=True, away=0.3),
    Category(5912, "Pharmacy", 4.5, 2100, 0.75, 0.08, away=0.6),
    Category(5310, "Outlet", 4.0, 3400, 0.70, 0.15, goods=True),
    Category(5311, "Department Store", 3.0, 6200, 0.75, 0.25, goods=True, away=1.2),
    Category(5999, "Bazaar", 5.5, 3000, 0.95, 0.70, goods=True),
    Category(5732, "Electronics", 1.3, 14500, 0.95, 0.50, goods=True),
    Category(5944, "Jewellers", 0.25, 19000, 0.90, 0.25, goods=True),
    Category(5947, "Gifts", 0.8, 3200, 0.70, 0.40, goods=True, away=4.0),
    Category(5651, "Clothing", 3.0, 6300, 0.65, 0.45, goods=True),
    Category(5661, "Shoes", 1.0, 8400, 0.45, 0.40, goods=True),
    Category(5942, "Books", 1.2, 2200, 0.60, 0.65, goods=True),
    Category(5815, "Digital Media", 4.0, 690, 0.75, 1.0),
    Category(5968, "Subscriptions", 2.6, 1350, 0.45, 1.0, recurring=True),
    Category(4814, "Telecom", 1.0, 6000, 0.40, 1.0, recurring=True),
    Category(4900, "Utilities", 0.8, 9800, 0.50, 1.0, recurring=True),
    Category(4111, "Transit", 6.0, 340, 0.50, 0.10, away=1.5),
    Category(4121, "Taxi", 2.6, 1850, 0.55, 0.35, tips=True, away=3.0),
    Category(4511, "Airways", 0.45, 33000, 0.70, 0.92, away=2.0),
    Category(7011, "Hotel", 0.6, 19500, 0.65, 0.60, grows="nights", estimated=True, away=8.0),
    Category(7512, "Car Hire", 0.2, 24000, 0.50, 0.40, grows="nights", estimated=True, away=8.0),
    Category(7832, "Cinema", 0.9, 2700, 0.35, 0.45),
    Category(7230, "Barbers", 1.0, 3600, 0.50, 0.0, tips=True, away=0.1),
    Category(8011, "Medical Practice", 0.7, 9500, 0.80, 0.10, away=0.2),
    Category(5200, "Home Supply", 1.6, 7200, 0.95, 0.15, goods=True, away=0.05),
    Category(5712, "Furniture", 0.3, 24000, 0.85, 0.40, goods=True, away=0.05),
    Category(5045, "Computers", 0.35, 27000, 0.95, 0.65, goods=True, away=0.2),
    Category(6011, "Cash Machine", 100 * CASH_ADVANCE, 12000, 0.60, 0.0, round_to=2000, kind="cash-advance", away=3.0),
    Category(6051, "Money Exchange", 100 * QUASI_CASH, 9000, 0.70, 0.40, kind="quasi-cash", away=3.0),
)
MEAN_AMOUNT: Final = sum(c.weight * c.median * exp(c.sigma**2 / 2) for c in CATEGORIES) / sum(
    c.weight for c in CATEGORIES
)
"""Expected purchase of a cardholder of spending level 1, US cents."""

_FIRST: Final = (
    "Harbor", "Maple", "Granite", "Sunny", "Old Mill", "Silver", "Northern", "Corner", "Café Été", "Golden",
    "Riverside", "Union", "Lucky", "Blue Door", "Highland", "Prairie", "Summit", "Orchard", "Zürich", "Bright",
    "Cedar", "Juniper",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Merchant:
    """A place to pay. `price` is the amount factor of its subscriptions, `number` its place among all."""

    id: str
    name: str
    country: str
    mcc: int
    category: int  # index in CATEGORIES
    price: float
    ticket: float  # what people leave here, relative to the category
    city: str
    takes_part: bool  # its terminal can take less than it asked for
    number: int


class World:
    """All merchants of a seed; `shops[country][category]` lists them, the popular ones first.

    Custom within a list falls with the rank to the power of 0.8: of 60, the first has 14 %, the last 0.5 %.
    """

    def __init__(self, seed: int) -> None:
        self._rng = dice(seed, "merchants")
        self.all: list[Merchant] = []
        self.shops = {
            country: [
                [self._found(country, index) for _ in range(SHOPS_PER_CATEGORY[country])]
                for index in range(len(CATEGORIES))
            ]
            for country in COUNTRIES
        }
        shelves = [shelf for country in COUNTRIES for shelf in self.shops[country]]
        self._reach = np.concatenate([place + _popularity(len(shelf)) for place, shelf in enumerate(shelves)])
        self.tickets = np.array([merchant.ticket for merchant in self.all])
        """By the merchant's number."""

    def _found(self, country: str, index: int) -> Merchant:
        """A new merchant."""
        rng, category, number = self._rng, CATEGORIES[index], len(self.all)
        name = f"{rng.choice(_FIRST)} {category.noun} {rng.randint(1, 999)}"
        merchant = Merchant(
            f"m-{number + 1:06d}", name, country, category.mcc, index, rng.uniform(0.5, 2.0),
            rng.lognormvariate(-0.03, 0.25), rng.choice(CITIES[country]),
            category.kind == "purchase" and rng.random() < PARTIAL_TERMINALS, number,
        )  # fmt: skip
        self.all.append(merchant)
        return merchant

    def pick(self, rng: Random, country: str, category: int) -> Merchant:
        """A merchant of that place and kind, by popularity."""
        shelf = COUNTRIES.index(country) * len(CATEGORIES) + category
        return self.all[int(self._reach.searchsorted(shelf + rng.random(), side="right"))]

    def pick_many(
        self, chance: npt.NDArray[np.float64], country: npt.NDArray[np.int64], category: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """The same for many: numbers of merchants. `chance`: uniform from 0 to 1; `country`: indices in COUNTRIES."""
        return self._reach.searchsorted(country * len(CATEGORIES) + category + chance, side="right")


def _popularity(merchants: int) -> npt.NDArray[np.float64]:
    """Cumulative shares of custom."""
    reach = np.cumsum(np.arange(1, merchants + 1) ** -0.8)
    reach /= reach[-1]
    reach[-1] = 1.0
    return reach


@cache
def amount_table(category: int) -> tuple[float, ...]:
    """US cents of a level-1 purchase at STEPS equally likely quantiles of the category's distribution."""
    kind = CATEGORIES[category]
    return tuple(kind.median * exp(kind.sigma * z) for z in _normal_quantiles())


@cache
def _normal_quantiles() -> tuple[float, ...]:
    normal = NormalDist()
    return tuple(normal.inv_cdf((i + 0.5) / STEPS) for i in range(STEPS))
