"""Where cards are used: merchant categories with their price levels, and the merchants themselves.

Amounts are log-normal within a category: `median` minor units times exp(sigma * z) with z a standard normal cut at
±3.7, times the cardholder's spending level. The figures are round numbers chosen to resemble consumer card spending;
they are not fitted to any real data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp
from random import Random
from statistics import NormalDist
from typing import Final, Literal

from loadtest.traffic.places import CITIES, COUNTRIES, SHOPS_PER_CATEGORY
from loadtest.traffic.shares import CASH_ADVANCE, PARTIAL_TERMINALS, QUASI_CASH

STEPS: Final = 4096
"""Entries of a precomputed amount table: one uniform draw picks one."""


@dataclass(frozen=True, slots=True)
class Category:
    """A merchant category code and how people spend there."""

    mcc: int
    noun: str
    weight: float  # share of purchases of an average cardholder, relative
    median: int  # minor units
    sigma: float
    absent: float  # share without the card at hand
    tips: bool = False  # the presentment may exceed the authorisation
    recurring: bool = False  # same merchant, same price, charged by the merchant
    pumps: bool = False  # authorised for a round amount, the real one follows as a completion advice
    grows: Literal["", "nights", "rounds"] = ""  # authorised for an estimate, then increased: a stay, or a tab
    estimated: bool = False  # a pre-authorisation: what is presented may differ
    goods: bool = False  # may be brought back for a refund
    round_to: int = 1  # minor units: what a machine pays out comes in notes
    kind: Literal["purchase", "cash-advance", "quasi-cash"] = "purchase"


CATEGORIES: Final[tuple[Category, ...]] = (
    Category(5411, "Grocers", 17.0, 4300, 0.75, 0.06),
    Category(5814, "Burgers", 13.0, 1150, 0.45, 0.10),
    Category(5812, "Bistro", 9.0, 3900, 0.60, 0.03, tips=True),
    Category(5813, "Taproom", 1.2, 2600, 0.50, 0.0, tips=True, grows="rounds", estimated=True),
    Category(5462, "Bakery", 5.0, 780, 0.40, 0.01),
    Category(5541, "Fuel", 5.0, 4400, 0.35, 0.0),
    Category(5542, "Pumps", 3.0, 4600, 0.35, 0.0, pumps=True, estimated=True),
    Category(5912, "Pharmacy", 4.5, 2100, 0.75, 0.08),
    Category(5310, "Outlet", 4.0, 3400, 0.70, 0.15, goods=True),
    Category(5311, "Department Store", 3.0, 6200, 0.75, 0.25, goods=True),
    Category(5999, "Bazaar", 5.5, 3000, 0.95, 0.70, goods=True),
    Category(5732, "Electronics", 1.3, 14500, 0.95, 0.50, goods=True),
    Category(5944, "Jewellers", 0.25, 19000, 0.90, 0.25, goods=True),
    Category(5947, "Gifts", 0.8, 3200, 0.70, 0.40, goods=True),
    Category(5651, "Clothing", 3.0, 6300, 0.65, 0.45, goods=True),
    Category(5661, "Shoes", 1.0, 8400, 0.45, 0.40, goods=True),
    Category(5942, "Books", 1.2, 2200, 0.60, 0.65, goods=True),
    Category(5815, "Digital Media", 4.0, 690, 0.75, 1.0),
    Category(5968, "Subscriptions", 2.6, 1350, 0.45, 1.0, recurring=True),
    Category(4814, "Telecom", 1.0, 6000, 0.40, 1.0, recurring=True),
    Category(4900, "Utilities", 0.8, 9800, 0.50, 1.0, recurring=True),
    Category(4111, "Transit", 6.0, 340, 0.50, 0.10),
    Category(4121, "Taxi", 2.6, 1850, 0.55, 0.35, tips=True),
    Category(4511, "Airways", 0.45, 33000, 0.70, 0.92),
    Category(7011, "Hotel", 0.6, 19500, 0.65, 0.60, grows="nights", estimated=True),
    Category(7512, "Car Hire", 0.2, 24000, 0.50, 0.40, grows="nights", estimated=True),
    Category(7832, "Cinema", 0.9, 2700, 0.35, 0.45),
    Category(7230, "Barbers", 1.0, 3600, 0.50, 0.0, tips=True),
    Category(8011, "Medical Practice", 0.7, 9500, 0.80, 0.10),
    Category(5200, "Home Supply", 1.6, 7200, 0.95, 0.15, goods=True),
    Category(5712, "Furniture", 0.3, 24000, 0.85, 0.40, goods=True),
    Category(5045, "Computers", 0.35, 27000, 0.95, 0.65, goods=True),
    Category(6011, "Cash Machine", 100 * CASH_ADVANCE, 12000, 0.60, 0.0, round_to=2000, kind="cash-advance"),
    Category(6051, "Money Exchange", 100 * QUASI_CASH, 9000, 0.70, 0.40, kind="quasi-cash"),
)
MEAN_AMOUNT: Final = sum(c.weight * c.median * exp(c.sigma**2 / 2) for c in CATEGORIES) / sum(
    c.weight for c in CATEGORIES
)
"""Expected purchase of a cardholder of spending level 1, minor units."""

_FIRST: Final = (
    "Harbor", "Maple", "Granite", "Sunny", "Old Mill", "Silver", "Northern", "Corner", "Café Été", "Golden",
    "Riverside", "Union", "Lucky", "Blue Door", "Highland", "Prairie", "Summit", "Orchard", "Zürich", "Bright",
    "Cedar", "Juniper",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Merchant:
    """A place to pay. `price` is the amount factor of its subscriptions."""

    id: str
    name: str
    country: str
    mcc: int
    category: int  # index in CATEGORIES
    price: float
    city: str
    takes_part: bool  # its terminal can take less than it asked for


class World:
    """All merchants of a seed; `shops[country][category]` lists them, the popular ones first."""

    def __init__(self, seed: int) -> None:
        rng = Random(f"merchants/{seed}")  # noqa: S311 (a simulation, to be repeated)
        self._rng, self._number = rng, 0
        self.shops = {
            country: [
                [self._found(country, index) for _ in range(SHOPS_PER_CATEGORY[country])]
                for index in range(len(CATEGORIES))
            ]
            for country in COUNTRIES
        }

    def _found(self, country: str, index: int) -> Merchant:
        """A new merchant."""
        rng, category = self._rng, CATEGORIES[index]
        self._number += 1
        name = f"{rng.choice(_FIRST)} {category.noun} {rng.randint(1, 999)}"
        return Merchant(
            f"m-{self._number:06d}", name, country, category.mcc, index, rng.uniform(0.5, 2.0),
            rng.choice(CITIES[country]), category.kind == "purchase" and rng.random() < PARTIAL_TERMINALS,
        )  # fmt: skip

    def pick(self, rng: Random, country: str, category: int) -> Merchant:
        """A merchant of that place and kind; the first of a list is the most popular."""
        shelf = self.shops[country][category]
        draw = rng.random()
        return shelf[int(len(shelf) * draw * draw)]


@cache
def amount_table(category: int) -> tuple[float, ...]:
    """Minor units of a level-1 purchase at STEPS equally likely quantiles of the category's distribution."""
    normal = NormalDist()
    kind = CATEGORIES[category]
    return tuple(kind.median * exp(kind.sigma * normal.inv_cdf((i + 0.5) / STEPS)) for i in range(STEPS))
