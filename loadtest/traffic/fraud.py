"""How thieves use cards: campaigns of charges, planned at once and played at their times.

* *card-testing*: a stolen card number is tried with 6-24 small online purchases, seconds apart, at one to three
  merchants; then one to three large ones.
* *account-takeover*: someone else spends: 3-9 purchases of goods that sell on, far above the account's usual amount,
  half of them in another country. A third of the takeovers are subtle: at home, in smaller steps.
* *takeover-after-travel*: the card was copied on a journey that has just ended; the copy is used where it was made, or
  its number online, as in a takeover.
* *fraud-ring*: thieves with a list of 10 to 40 cards try each with one or two charges of some cents at a shop of theirs
  within hours, and days later cash out those that worked at two to four other shops, the same for all cards.
* *merchant-bust-out*: a merchant that looked normal charges many cardholders large amounts within a day or two.

Together about FRAUD_SHARE of all requests. Charges of one campaign have the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import Final

from loadtest.traffic import shares
from loadtest.traffic.cardholders import DAY_MS, HOUR_MS, Cardholder, Plan
from loadtest.traffic.merchants import CATEGORIES, MEAN_AMOUNT, Merchant, World
from loadtest.traffic.places import COUNTRIES
from loadtest.traffic.seeds import dice
from models.messages import EntryMode

FRAUD_SHARE: Final = 0.0075
CARD_TESTING: Final = "card-testing"
ACCOUNT_TAKEOVER: Final = "account-takeover"
MERCHANT_BUST_OUT: Final = "merchant-bust-out"
TAKEOVER_AFTER_TRAVEL: Final = "takeover-after-travel"
FRAUD_RING: Final = "fraud-ring"
PATTERNS: Final = (CARD_TESTING, ACCOUNT_TAKEOVER, MERCHANT_BUST_OUT, TAKEOVER_AFTER_TRAVEL, FRAUD_RING)
SHARES: Final = {
    CARD_TESTING: 0.3, ACCOUNT_TAKEOVER: 0.2, MERCHANT_BUST_OUT: 0.2, TAKEOVER_AFTER_TRAVEL: 0.1, FRAUD_RING: 0.2,
}  # fmt: skip
"""Part of the fraudulent requests that each pattern makes."""
_TAKEOVER_SIZE: Final = 6.0  # charges
_PASSED: Final = 0.6  # of the cards that a ring tries

_BY_MCC: Final = {category.mcc: index for index, category in enumerate(CATEGORIES)}
_CHEAP_ONLINE: Final = tuple(_BY_MCC[mcc] for mcc in (5815, 5999, 5942, 5968))
_SELLS_ON: Final = tuple(_BY_MCC[mcc] for mcc in (5732, 5944, 5947, 5045, 5651, 4511, 5311))
_BUST_OUT: Final = tuple(_BY_MCC[mcc] for mcc in (5999, 5712, 5200, 7011, 5732, 8011, 5944))


@dataclass(frozen=True, slots=True)
class Charge:
    """One fraudulent request to come."""

    at: int
    cardholder: Cardholder
    merchant: Merchant
    amount: int  # US cents
    entry_mode: EntryMode
    pattern: str
    campaign: str


class Campaigns:
    """Those aimed at anybody's accounts. Whoever plays some of the accounts asks for all charges and keeps its own."""

    def __init__(self, plan: Plan, world: World, people: Sequence[Cardholder]) -> None:
        self._rng, self._world, self._run = dice(plan.seed, "thieves"), world, plan.run
        self._people = [person for person in people if not person.card_expired] or people
        daily = len(people) * plan.per_day * FRAUD_SHARE
        self._gap = {pattern: DAY_MS * _size(pattern, len(people)) / (daily * SHARES[pattern]) for pattern in _PLANNED}
        self._next = {pattern: plan.start_ms + int(self._rng.uniform(0, self._gap[pattern])) for pattern in _PLANNED}
        self._count = 0

    def until(self, end: int) -> list[Charge]:
        """The charges of all campaigns that start before `end` and were not told yet; some charges come later."""
        found: list[Charge] = []
        for pattern, plan_campaign in _PLANNED.items():
            while (at := self._next[pattern]) < end:
                self._next[pattern] = at + int(self._gap[pattern] * self._rng.uniform(0.5, 1.5))
                self._count += 1
                found += plan_campaign(_Start(at, f"{self._run}-c{self._count}", self._rng, self._world), self._people)
        return found


def after_travel_share(plan: Plan) -> float:
    """Of journeys, how many end in a takeover, so that SHARES comes out."""
    daily = plan.per_day * FRAUD_SHARE * SHARES[TAKEOVER_AFTER_TRAVEL]
    return min(1.0, daily / _TAKEOVER_SIZE / (shares.JOURNEYS_A_YEAR / 365.25))


def takeover_after_travel(at: int, name: str, rng: Random, world: World, trip: tuple[Cardholder, str]) -> list[Charge]:
    """The charges with a card copied on a journey to `trip[1]` that has ended at `at` (ms)."""
    victim, country = trip
    start = _Start(at + int(rng.uniform(0.2, 96) * HOUR_MS), name, rng, world)
    return _spend(start, victim, country, TAKEOVER_AFTER_TRAVEL, subtle=rng.random() < 0.25)


def _size(pattern: str, accounts: int) -> float:
    """Expected charges of one campaign, to space campaigns so that SHARES and FRAUD_SHARE come out."""
    if pattern == CARD_TESTING:
        return 15.0 + 2.0
    if pattern == ACCOUNT_TAKEOVER:
        return _TAKEOVER_SIZE
    if pattern == FRAUD_RING:
        return sum(_ring_victims(accounts)) / 2 * (1.5 + 2 * _PASSED)
    return sum(_bust_out_victims(accounts)) / 2


@dataclass(frozen=True, slots=True)
class _Start:
    """Of a campaign."""

    at: int
    name: str
    rng: Random
    world: World


def _card_testing(start: _Start, people: Sequence[Cardholder]) -> list[Charge]:
    at, rng, world = start.at, start.rng, start.world
    victim = rng.choice(people)
    country = victim.home if rng.random() < 0.6 else rng.choice(COUNTRIES)
    testers = [world.pick(rng, country, rng.choice(_CHEAP_ONLINE)) for _ in range(rng.randint(1, 3))]
    charges = []
    for _ in range(rng.randint(6, 24)):
        at += int(rng.uniform(4_000, 40_000))
        amount = rng.randint(50, 450)
        charges.append(Charge(at, victim, rng.choice(testers), amount, "ecommerce", CARD_TESTING, start.name))
    for _ in range(rng.randint(1, 3)):
        at += int(rng.uniform(1, 25) * 60_000)
        shop = world.pick(rng, country, rng.choice(_SELLS_ON))
        amount = _log_uniform(rng, 15_000, 90_000)
        charges.append(Charge(at, victim, shop, amount, "ecommerce", CARD_TESTING, start.name))
    return charges


def _account_takeover(start: _Start, people: Sequence[Cardholder]) -> list[Charge]:
    rng = start.rng
    victim = rng.choice(people)
    subtle = rng.random() < 0.35
    country = victim.home if subtle or rng.random() < 0.25 else rng.choice(COUNTRIES)
    return _spend(start, victim, country, ACCOUNT_TAKEOVER, subtle=subtle)


def _spend(start: _Start, victim: Cardholder, country: str, pattern: str, *, subtle: bool) -> list[Charge]:
    at, rng, world = start.at, start.rng, start.world
    usual = MEAN_AMOUNT * victim.level
    charges = []
    for _ in range(rng.randint(3, 9)):
        at += _log_uniform(rng, 3 * 60_000, (6 if subtle else 2) * HOUR_MS)
        times = rng.uniform(1.2, 4.0) if subtle else rng.uniform(2.5, 9.0)
        mode: EntryMode = "ecommerce" if country == victim.home or rng.random() < 0.4 else "magstripe"
        if rng.random() < 0.15:
            mode = "chip"
        shop = world.pick(rng, country, rng.choice(_SELLS_ON))
        charges.append(Charge(at, victim, shop, int(usual * times), mode, pattern, start.name))
    return charges


def _merchant_bust_out(start: _Start, people: Sequence[Cardholder]) -> list[Charge]:
    at, rng, world = start.at, start.rng, start.world
    country = rng.choice(people).home
    merchant = rng.choice(world.shops[country][rng.choice(_BUST_OUT)])
    low, high = _bust_out_victims(len(people))
    mode: EntryMode = rng.choice(("manual", "manual", "ecommerce", "chip"))
    span = rng.uniform(4, 36) * HOUR_MS
    charges = []
    for victim in rng.sample(people, min(rng.randint(low, high), len(people))):
        amount = _log_uniform(rng, 12_000, 95_000)
        when = at + int(rng.random() * span)
        charges.append(Charge(when, victim, merchant, amount, mode, MERCHANT_BUST_OUT, start.name))
    return sorted(charges, key=lambda charge: charge.at)


def _fraud_ring(start: _Start, people: Sequence[Cardholder]) -> list[Charge]:
    at, rng, world = start.at, start.rng, start.world
    country = rng.choice(people).home
    tester = world.pick(rng, rng.choice(COUNTRIES), rng.choice(_CHEAP_ONLINE))
    outlets = [world.pick(rng, country, rng.choice(_SELLS_ON)) for _ in range(rng.randint(2, 4))]
    low, high = _ring_victims(len(people))
    charges, tried = [], rng.uniform(0.3, 3) * HOUR_MS
    cash_out = at + int(tried + rng.uniform(6, 96) * HOUR_MS)
    for victim in rng.sample(people, min(rng.randint(low, high), len(people))):
        when = at + int(rng.random() * tried)
        for _ in range(rng.randint(1, 2)):
            charges.append(Charge(when, victim, tester, rng.randint(50, 400), "ecommerce", FRAUD_RING, start.name))
            when += rng.randint(5_000, 60_000)
        if rng.random() >= _PASSED:
            continue
        when = cash_out + int(rng.uniform(0, 8) * HOUR_MS)
        for _ in range(rng.randint(1, 3)):
            amount = _log_uniform(rng, 15_000, 80_000)
            charges.append(Charge(when, victim, rng.choice(outlets), amount, "ecommerce", FRAUD_RING, start.name))
            when += int(rng.uniform(2, 60) * 60_000)
    return sorted(charges, key=lambda charge: charge.at)


_Planner = Callable[[_Start, Sequence[Cardholder]], list[Charge]]
_PLANNED: Final[dict[str, _Planner]] = {
    CARD_TESTING: _card_testing, ACCOUNT_TAKEOVER: _account_takeover, MERCHANT_BUST_OUT: _merchant_bust_out,
    FRAUD_RING: _fraud_ring,
}  # fmt: skip


def _ring_victims(accounts: int) -> tuple[int, int]:
    """Fewest and most cards on a ring's list: 10 to 40, fewer when there are few accounts."""
    return min(10, max(1, accounts // 50)), min(40, max(1, accounts // 20))


def _bust_out_victims(accounts: int) -> tuple[int, int]:
    """Fewest and most cardholders charged: 20 to 60, fewer when there are few accounts."""
    return min(20, max(1, accounts // 50)), min(60, max(1, accounts // 20))


def _log_uniform(rng: Random, low: int, high: int) -> int:
    return int(exp(rng.uniform(log(low), log(high))))
