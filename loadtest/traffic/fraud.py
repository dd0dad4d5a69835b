"""How thieves use cards: campaigns of charges, planned at once and played at their times.

* *card-testing*: a stolen card number is tried with 6-24 small online purchases, seconds apart, at one to three
  merchants; then one to three large ones.
* *account-takeover*: someone else spends: 3-9 purchases of goods that sell on, far above the account's usual amount,
  half of them in another country. A third of the takeovers are subtle: at home, in smaller steps.
* *merchant-bust-out*: a merchant that looked normal charges many cardholders large amounts within a day or two.

Together about FRAUD_SHARE of all requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import Final

from loadtest.traffic.cardholders import HOUR_MS, Cardholder
from loadtest.traffic.merchants import CATEGORIES, MEAN_AMOUNT, Merchant, World
from loadtest.traffic.places import COUNTRIES
from models.messages import EntryMode

FRAUD_SHARE: Final = 0.0075
CARD_TESTING: Final = "card-testing"
ACCOUNT_TAKEOVER: Final = "account-takeover"
MERCHANT_BUST_OUT: Final = "merchant-bust-out"
PATTERNS: Final = (CARD_TESTING, ACCOUNT_TAKEOVER, MERCHANT_BUST_OUT)
SHARES: Final = {CARD_TESTING: 0.4, ACCOUNT_TAKEOVER: 0.3, MERCHANT_BUST_OUT: 0.3}
"""Part of the fraudulent requests that each pattern makes."""

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
    amount: int
    entry_mode: EntryMode
    pattern: str


def campaign_size(pattern: str, accounts: int) -> float:
    """Expected charges of one campaign, to space campaigns so that SHARES and FRAUD_SHARE come out."""
    if pattern == CARD_TESTING:
        return 15.0 + 2.0
    if pattern == ACCOUNT_TAKEOVER:
        return 6.0
    low, high = _bust_out_victims(accounts)
    return (low + high) / 2


def campaign(pattern: str, at: int, rng: Random, world: World, people: Sequence[Cardholder]) -> list[Charge]:
    """The charges of a new campaign that starts at `at` (ms), in time order."""
    if pattern == CARD_TESTING:
        return _card_testing(at, rng, world, rng.choice(people))
    if pattern == ACCOUNT_TAKEOVER:
        return _account_takeover(at, rng, world, rng.choice(people))
    return _merchant_bust_out(at, rng, world, people)


def _card_testing(at: int, rng: Random, world: World, victim: Cardholder) -> list[Charge]:
    country = victim.home if rng.random() < 0.6 else rng.choice(COUNTRIES)
    testers = [world.pick(rng, country, rng.choice(_CHEAP_ONLINE)) for _ in range(rng.randint(1, 3))]
    charges = []
    for _ in range(rng.randint(6, 24)):
        at += int(rng.uniform(4_000, 40_000))
        amount = rng.randint(50, 450)
        charges.append(Charge(at, victim, rng.choice(testers), amount, "ecommerce", CARD_TESTING))
    for _ in range(rng.randint(1, 3)):
        at += int(rng.uniform(1, 25) * 60_000)
        shop = world.pick(rng, country, rng.choice(_SELLS_ON))
        charges.append(Charge(at, victim, shop, _log_uniform(rng, 15_000, 90_000), "ecommerce", CARD_TESTING))
    return charges


def _account_takeover(at: int, rng: Random, world: World, victim: Cardholder) -> list[Charge]:
    subtle = rng.random() < 0.35
    country = victim.home if subtle or rng.random() < 0.25 else rng.choice(COUNTRIES)
    usual = MEAN_AMOUNT * victim.level
    charges = []
    for _ in range(rng.randint(3, 9)):
        at += _log_uniform(rng, 3 * 60_000, (6 if subtle else 2) * HOUR_MS)
        times = rng.uniform(1.2, 4.0) if subtle else rng.uniform(2.5, 9.0)
        mode: EntryMode = "ecommerce" if country == victim.home or rng.random() < 0.4 else "magstripe"
        if rng.random() < 0.15:
            mode = "chip"
        shop = world.pick(rng, country, rng.choice(_SELLS_ON))
        charges.append(Charge(at, victim, shop, int(usual * times), mode, ACCOUNT_TAKEOVER))
    return charges


def _merchant_bust_out(at: int, rng: Random, world: World, people: Sequence[Cardholder]) -> list[Charge]:
    country = rng.choice(people).home
    merchant = rng.choice(world.shops[country][rng.choice(_BUST_OUT)])
    low, high = _bust_out_victims(len(people))
    mode: EntryMode = rng.choice(("manual", "manual", "ecommerce", "chip"))
    span = rng.uniform(4, 36) * HOUR_MS
    charges = []
    for victim in rng.sample(people, min(rng.randint(low, high), len(people))):
        amount = _log_uniform(rng, 12_000, 95_000)
        charges.append(Charge(at + int(rng.random() * span), victim, merchant, amount, mode, MERCHANT_BUST_OUT))
    return sorted(charges, key=lambda charge: charge.at)


def _bust_out_victims(accounts: int) -> tuple[int, int]:
    """Fewest and most cardholders charged: 20 to 60, fewer when there are few accounts."""
    return min(20, max(1, accounts // 50)), min(60, max(1, accounts // 20))


def _log_uniform(rng: Random, low: int, high: int) -> int:
    return int(exp(rng.uniform(log(low), log(high))))
