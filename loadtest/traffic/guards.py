"""Cards made good for one purchase, or for one merchant, while their holder tries an unknown shop.

The network knows one card for an account, so its holder turns the control on, buys, and turns it off hours later; in
between, the shop (or whoever it sold the number to) charges again: against a single-use card in vain, and against a
merchant lock only where the name is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from loadtest.traffic import shares
from loadtest.traffic.agenda import Agenda
from loadtest.traffic.cardholders import DAY_MS, HOUR_MS, Plan
from loadtest.traffic.labels import Labelled
from loadtest.traffic.merchants import CATEGORIES, Merchant, World
from loadtest.traffic.network import Network
from loadtest.traffic.places import COUNTRIES
from loadtest.traffic.requests import Requests
from loadtest.traffic.spender import Spender
from models.messages import ControlsSet

_SHOPS: Final = tuple(index for index, category in enumerate(CATEGORIES) if category.goods and category.absent >= 0.4)


_Play = tuple[World, Requests, Network]
"""What purchases need of the block."""


class Guards:
    """Plans and sends these episodes, one after the other."""

    def __init__(self, rng: Random, agenda: Agenda, plan: Plan, accounts: Sequence[Spender], play: _Play) -> None:
        self._rng, self._agenda, self._accounts = rng, agenda, accounts
        self._world, self._requests, self._network = play
        self._run = plan.run
        self._per_ms = shares.GUARDED * len(accounts) * plan.per_day / DAY_MS

    def start(self, at: int) -> None:
        """Plan the next episode."""
        self._agenda.plan(at + 1 + int(self._rng.expovariate(self._per_ms)), self._guard)

    def _guard(self, at: int, _: None) -> Labelled | None:
        self.start(at)
        rng, account = self._rng, self._rng.choice(self._accounts)
        unusable = account.lost or account.controlled or account.person.card_expired
        if unusable or at < max(account.blocked_until, account.guarded_until):
            return None
        shop = self._world.pick(rng, rng.choice((account.person.home, *COUNTRIES)), rng.choice(_SHOPS))
        account.guarded_until = at + int(rng.uniform(2, 8) * HOUR_MS)
        single = rng.random() < 0.6
        self._agenda.plan(at + rng.randint(30_000, 600_000), self._buy, (account, shop))
        again = shop if single else self._world.pick(rng, shop.country, rng.choice(_SHOPS))
        if rng.random() < 0.3:
            self._agenda.plan(at + int(rng.uniform(0.3, 1.9) * HOUR_MS), self._charge_again, (account, again))
        self._agenda.plan(account.guarded_until, self._end, account)
        return self._controls(at, account, single_use=single, merchant_lock=not single)

    def _buy(self, at: int, subject: tuple[Spender, Merchant]) -> Labelled | None:
        account, shop = subject
        if account.lost:
            return None
        amount = int(self._rng.uniform(0.4, 2.0) * CATEGORIES[shop.category].median * account.person.level)
        truth = Labelled(self._requests.write(at, account.person, shop, max(amount, 50), "ecommerce"))
        self._network.follow(account, truth, shop, shares.PRESENTED)
        return truth

    def _charge_again(self, at: int, subject: tuple[Spender, Merchant]) -> Labelled | None:
        """Believed declined: nothing follows."""
        account, shop = subject
        if account.lost:
            return None
        return Labelled(self._requests.write(at, account.person, shop, self._rng.randint(500, 5_000), "ecommerce"))

    def _end(self, at: int, account: Spender) -> Labelled:
        return self._controls(at, account)

    def _controls(
        self, at: int, account: Spender, *, single_use: bool = False, merchant_lock: bool = False
    ) -> Labelled:
        person, message_id = account.person, f"{self._run}-k{self._agenda.number()}"
        message = ControlsSet("controls-set", 1, message_id, person.account_id, at, person.card_token)
        message.single_use, message.merchant_lock = single_use, merchant_lock
        return Labelled(message)
